//! Who calls, and who may: over TLS, data planes of this zone alone.

use super::identity::{Identity, Role};
use super::material::Material;
use futures::FutureExt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::{BoxFuture, Service, http};
use tower::Layer;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A process of this machine, over memory or the loopback interface. It is who it says it is.
    Local,
    /// Whoever showed no certificate of a fleet.
    Anonymous,
    /// Whoever a certificate speaks for.
    Known(Arc<Identity>),
}

/// Who says that it is a certain data plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// None where its messages do not say it.
    pub(crate) cell: Option<&'a str>,
    pub(crate) data_plane: &'a str,
}

impl Peer {
    /// Whose call this is. Only connections by TLS are told of.
    pub(crate) fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or(Self::Local)
    }

    /// Whether it is who it says it is.
    pub(crate) fn expect(&self, claim: Claim<'_>) -> Result<(), Status> {
        match self {
            Self::Local => Ok(()),
            Self::Anonymous => Err(no_certificate()),
            Self::Known(identity) => {
                if let Role::DataPlane { cell, name } = &identity.role
                    && name == claim.data_plane
                    && claim.cell.is_none_or(|claimed| claimed == cell)
                {
                    return Ok(());
                }
                let Claim { cell, data_plane } = claim;
                tracing::warn!(%identity, data_plane, ?cell, "somebody says to be another data plane");
                Err(Status::permission_denied(format!(
                    "the certificate is that of {identity}, which is not the data plane and cell of the hello"
                )))
            }
        }
    }
}

/// Puts the gate in front of services.
#[derive(Clone, Debug)]
pub struct GateLayer {
    zone: Arc<str>,
}

/// Turns away whoever is no data plane of this zone.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    inside: S,
    zone: Arc<str>,
}

impl GateLayer {
    pub(super) fn new(material: &Material) -> Self {
        Self { zone: material.identity().zone.as_str().into() }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inside: S) -> Gate<S> {
        Gate { inside, zone: self.zone.clone() }
    }
}

impl<S, B, Answer> Service<http::Request<B>> for Gate<S>
where
    S: Service<http::Request<B>, Response = http::Response<Answer>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Answer: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inside.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match may_call(&Peer::of(request.extensions()), &self.zone) {
            Ok(()) => self.inside.call(request).boxed(),
            Err(refusal) => std::future::ready(Ok(refusal.into_http())).boxed(),
        }
    }
}

fn may_call(peer: &Peer, zone: &str) -> Result<(), Status> {
    match peer {
        // None of these comes here: this stands in front of connections by TLS.
        Peer::Local | Peer::Anonymous => Err(no_certificate()),
        Peer::Known(identity) => {
            if identity.zone == zone && matches!(identity.role, Role::DataPlane { .. }) {
                return Ok(());
            }
            tracing::warn!(%identity, zone, "somebody calls who is no data plane of this zone");
            Err(Status::permission_denied(format!(
                "the certificate is that of {identity}: here, data planes of zone {zone} are served"
            )))
        }
    }
}

fn no_certificate() -> Status {
    Status::unauthenticated("a certificate of this fleet is needed")
}
