//! One core's way out: pooled connections that no other core shares, with prepared addresses and credentials.
//!
//! Follows no redirect, unpacks no compression, and sends only the headers named here.

use crate::body::splice::Spliced;
use crate::settings::DataPlaneSettings;
use crate::upstream::resolver::Resolver;
use domain::config::{Dialect, Upstream};
use domain::network::Networks;
use domain::operation::Operation;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

const AGENT: &str = concat!("turnpike/", env!("CARGO_PKG_VERSION"));

/// An upstream that cannot be called as it is configured.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    #[error("its base_url with the path is no address")]
    Address,
    #[error("its base_url is not permitted")]
    Closed,
    #[error("its credential does not open with this cell's key")]
    Credential,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("no connection")]
    Connect,
    #[error("the connection broke before an answer")]
    Broken,
}

/// An upstream ready to be called.
struct Prepared {
    upstream: Arc<Upstream>,
    addresses: HashMap<Operation, Uri>,
    credential: Option<HeaderValue>,
}

/// What is sent, beside what the upstream's configuration says.
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) request_id: &'a str,
    pub(crate) streams: bool,
    /// Where it may know of our trace.
    pub(crate) traceparent: Option<HeaderValue>,
    pub(crate) body: Spliced,
}

/// One core's clients.
pub(crate) struct Upstreams {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Spliced>,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
    networks: Arc<Networks>,
    seal_key: [u8; 32],
}

impl Upstreams {
    /// Must be called on the core's own runtime.
    pub(crate) fn new(settings: &DataPlaneSettings, seal_key: [u8; 32]) -> std::io::Result<Self> {
        let networks = Arc::new(settings.networks.clone());
        let patience = settings.pace.connect;
        let mut connector =
            HttpConnector::new_with_resolver(Resolver::new(networks.clone(), patience));
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(patience));
        connector.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(https);
        Ok(Self { client, prepared: Mutex::default(), networks, seal_key })
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        upstream: &Arc<Upstream>,
        call: Call<'_>,
    ) -> Result<Response<Incoming>, SendError> {
        let Call { operation, request_id, streams, traceparent, body } = call;
        let prepared = self.prepare(upstream)?;
        let accept = if streams { "text/event-stream" } else { "application/json" };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            prepared.addresses.get(&operation).cloned().ok_or(PrepareError::Address)?;
        let length = request.body().length();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", id);
        }
        if let Some(traceparent) = traceparent {
            headers.insert("traceparent", traceparent);
        }
        if let Some(credential) = &prepared.credential {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() { SendError::Connect } else { SendError::Broken }
        })
    }

    fn prepare(&self, upstream: &Arc<Upstream>) -> Result<Arc<Prepared>, PrepareError> {
        let mut prepared = self.prepared.lock();
        if let Some(known) = prepared.get(&upstream.name)
            && Arc::ptr_eq(&known.upstream, upstream)
        {
            return Ok(known.clone());
        }
        // The connector asks its resolver about names only.
        if let Err(closed) = self.networks.permit_url(&upstream.base_url) {
            tracing::warn!(upstream = upstream.name, %closed, "an upstream is not called");
            return Err(PrepareError::Closed);
        }
        let fresh = Arc::new(Prepared {
            upstream: upstream.clone(),
            addresses: addresses(upstream)?,
            credential: self.credential(upstream)?,
        });
        prepared.insert(upstream.name.clone(), fresh.clone());
        Ok(fresh)
    }

    fn credential(&self, upstream: &Upstream) -> Result<Option<HeaderValue>, PrepareError> {
        if upstream.sealed_credential.is_empty() {
            return Ok(None);
        }
        let plain =
            links::seal::unseal(&self.seal_key, &upstream.name, &upstream.sealed_credential)
                .map_err(|_| PrepareError::Credential)?;
        let plain = zeroize::Zeroizing::new(plain);
        let bearer = zeroize::Zeroizing::new([b"Bearer ".as_slice(), &plain].concat());
        let mut value = HeaderValue::from_bytes(&bearer).map_err(|_| PrepareError::Credential)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn addresses(upstream: &Upstream) -> Result<HashMap<Operation, Uri>, PrepareError> {
    let base = upstream.base_url.trim_end_matches('/');
    let path = |operation: Operation| match upstream.dialect {
        Dialect::OpenAi => operation.path(),
    };
    let address = |operation: Operation| {
        let address = format!("{base}{}", path(operation)).parse();
        address.map(|address| (operation, address)).map_err(|_| PrepareError::Address)
    };
    Operation::ALL.into_iter().map(address).collect()
}
