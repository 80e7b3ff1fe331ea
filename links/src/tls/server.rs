//! The serving end: connections whose TLS is done, with who is at their other end.

use super::gate::{GateLayer, Peer};
use super::identity::Identity;
use super::material::{Material, Pieces};
use crate::tcp::{self, Guest, TcpSettings};
use futures::{Stream, StreamExt};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tower::layer::util::{Identity as Nothing, Stack};

/// Handshakes at once; more clients wait.
const HANDSHAKES: usize = 64;

/// What a connection is once its TLS is done.
pub type Secured = Guest<TlsStream<TcpStream>>;

/// A server without services yet, to be run over `incoming`: it lets in data planes of this zone alone.
#[must_use]
pub fn server(settings: TcpSettings, material: &Material) -> Server<Stack<GateLayer, Nothing>> {
    tcp::server(settings).layer(GateLayer::new(material))
}

/// The connections of a listener, for `serve_with_incoming`. One that does not come through its handshake, or takes too long,
/// is logged and closed.
pub fn incoming(
    listener: TcpListener,
    settings: TcpSettings,
    material: Material,
) -> impl Stream<Item = io::Result<Secured>> {
    tcp::accepted(listener, settings)
        .map(move |accepted| {
            let material = material.clone();
            async move {
                match accepted {
                    Ok((socket, place)) => secure(socket, place, settings, &material).await.map(Ok),
                    Err(error) => Some(Err(error)),
                }
            }
        })
        .buffer_unordered(HANDSHAKES)
        .filter_map(std::future::ready)
}

async fn secure(
    socket: TcpStream,
    place: OwnedSemaphorePermit,
    settings: TcpSettings,
    material: &Material,
) -> Option<Secured> {
    let address = socket.peer_addr().ok();
    let acceptor = TlsAcceptor::from(material.current().server.clone());
    let shaken = timeout(settings.connect_timeout, acceptor.accept(socket)).await;
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(Guest::new(stream, place, settings.connect_timeout)),
        Err(error) => {
            // Whoever only looks whether somebody listens is no news.
            if error.kind() == io::ErrorKind::InvalidData {
                tracing::warn!(?address, %error, "a connection to the fleet services was refused");
            } else {
                tracing::debug!(?address, %error, "a connection to the fleet services came to nothing");
            }
            None
        }
    }
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let (_, connection) = self.inside().get_ref();
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        shown.map_or(Peer::Anonymous, |shown| match Identity::of(shown) {
            Ok(identity) => Peer::Known(Arc::new(identity)),
            Err(cause) => {
                tracing::warn!(%cause, "a certificate that we trust speaks for nobody of a fleet");
                Peer::Anonymous
            }
        })
    }
}

/// Each handshake is a whole one: a session that went on would go by a certificate that nobody has looked at since.
pub(super) fn config(pieces: &Pieces) -> Result<Arc<ServerConfig>, rustls::Error> {
    let verifier = verifier(&pieces.authorities, &pieces.provider)?;
    let mut config = ServerConfig::builder_with_provider(pieces.provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from((*pieces.own).clone())));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Whether a server with the same authorities would let this one in.
pub(super) fn would_take(pieces: &Pieces) -> Result<(), rustls::Error> {
    let (first, between) = chain(&pieces.own)?;
    let verifier = verifier(&pieces.authorities, &pieces.provider)?;
    verifier.verify_client_cert(first, between, UnixTime::now()).map(drop)
}

/// A certificate, and those between it and the authority.
pub(super) fn chain(
    own: &CertifiedKey,
) -> Result<(&CertificateDer<'static>, &[CertificateDer<'static>]), rustls::Error> {
    own.cert.split_first().ok_or(rustls::Error::NoCertificatesPresented)
}

/// Whoever shows none is turned away by the gate, which can say why.
fn verifier(
    authorities: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}
