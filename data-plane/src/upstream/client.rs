//! One core's way out: free connections that no other core shares, with prepared addresses and credentials.
//!
//! Follows no redirect, unpacks no compression, and sends only the headers named here.

use crate::body::splice::Spliced;
use crate::settings::DataPlaneSettings;
use crate::upstream::connector::{ConnectError, Connection, Connector};
#[cfg(test)]
use crate::upstream::wire::Stream;
use crate::upstream::wire::{BrokenOff, ExchangeError, Head, Incoming, Wire};
use bytes::{BufMut, Bytes, BytesMut};
use domain::config::{Dialect, Upstream};
use domain::network::Networks;
use domain::operation::Operation;
use hashbrown::HashMap;
use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A body up to this size is copied behind its head: that costs less than to write it in pieces.
const JOINED_BYTES_MAX: usize = 2 << 10;

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
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
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

/// One core's connections.
pub(crate) struct Upstreams {
    connector: Connector,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
    networks: Arc<Networks>,
    seal_key: [u8; 32],
    idle_max: Duration,
    head_bytes_max: usize,
}

/// An upstream ready to be called, with the connections to it that are free.
struct Prepared {
    upstream: Arc<Upstream>,
    origin: Uri,
    /// The head of every request, up to where they differ. In the order of the operations.
    heads: Vec<Zeroizing<Vec<u8>>>,
    free: Mutex<Vec<Free>>,
}

/// Waits for the next request. The last one used is the first one taken, so that few are kept warm.
struct Free {
    wire: Wire<Connection>,
    since: Instant,
}

/// What an upstream answered: its head, and a body that gives its connection back when it has been read.
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: AnswerBody,
}

/// The rest of an answer. Dropping it before its end closes the connection, which tells the upstream to stop.
pub(crate) struct AnswerBody {
    incoming: Option<Incoming<Connection>>,
    home: Arc<Prepared>,
}

impl Upstreams {
    /// Must be called on the core's own runtime.
    pub(crate) fn new(settings: &DataPlaneSettings, seal_key: [u8; 32]) -> std::io::Result<Self> {
        let networks = Arc::new(settings.networks.clone());
        let connector = Connector::new(networks.clone(), settings.pace.connect)?;
        let idle_max = settings.pace.upstream_idle;
        let head_bytes_max = settings.limits.answer_head_bytes;
        let prepared = Mutex::default();
        Ok(Self { connector, prepared, networks, seal_key, idle_max, head_bytes_max })
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        upstream: &Arc<Upstream>,
        call: Call<'_>,
    ) -> Result<Answer, SendError> {
        let home = self.prepare(upstream)?;
        let mut request = home.request(call)?;
        while let Some(wire) = home.take_free() {
            match wire.exchange(&mut request).await {
                Ok((head, incoming)) => return Ok(home.answer(head, incoming)),
                // It was closed before it could take a byte of this request: nobody has seen it.
                Err(_) if request.is_untouched() => {}
                Err(broken) => return Err(broken.into()),
            }
        }
        let wire = Wire::new(self.connector.connect(&home.origin).await?, self.head_bytes_max);
        let (head, incoming) = wire.exchange(&mut request).await?;
        Ok(home.answer(head, incoming))
    }

    /// Gives it a free connection to an upstream.
    #[cfg(test)]
    pub(crate) fn lend(&self, upstream: &Arc<Upstream>, stream: impl Stream) {
        let home = self.prepare(upstream).unwrap();
        let wire = Wire::new(Box::new(stream) as Connection, self.head_bytes_max);
        home.free.lock().push(Free { wire, since: Instant::now() });
    }

    /// Closes the connections that were free for too long, or that the other end has closed. To be called now and then.
    pub(crate) fn sweep(&self) {
        let prepared: Vec<_> = self.prepared.lock().values().cloned().collect();
        for home in prepared {
            home.free
                .lock()
                .retain_mut(|free| free.since.elapsed() < self.idle_max && free.wire.is_open());
        }
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
        let fresh = Arc::new(Prepared::new(upstream, &self.seal_key)?);
        prepared.insert(upstream.name.clone(), fresh.clone());
        Ok(fresh)
    }
}

impl Prepared {
    fn new(upstream: &Arc<Upstream>, seal_key: &[u8; 32]) -> Result<Self, PrepareError> {
        let credential = credential(upstream, seal_key)?;
        let base = upstream.base_url.trim_end_matches('/');
        let origin = base.parse().map_err(|_| PrepareError::Address)?;
        let head = |operation: Operation| {
            let path = match upstream.dialect {
                Dialect::OpenAi => operation.path(),
            };
            let address = format!("{base}{path}").parse().map_err(|_| PrepareError::Address)?;
            head(&address, credential.as_ref().map(|it| it.as_slice()))
        };
        let heads = Operation::ALL.into_iter().map(head).collect::<Result<_, PrepareError>>()?;
        Ok(Self { upstream: upstream.clone(), origin, heads, free: Mutex::default() })
    }

    /// The whole request.
    fn request(&self, call: Call<'_>) -> Result<Spliced, PrepareError> {
        let Call { operation, request_id, streams, traceparent, mut body } = call;
        let prefix = self.heads.get(operation as usize).ok_or(PrepareError::Address)?;
        let accept = if streams { "text/event-stream" } else { "application/json" };
        let room = prefix.len() + 256 + body.length().min(JOINED_BYTES_MAX);
        let mut head = BytesMut::with_capacity(room);
        head.extend_from_slice(prefix);
        put(&mut head, "accept", accept.as_bytes());
        put(&mut head, "x-request-id", request_id.as_bytes());
        if let Some(traceparent) = traceparent {
            put(&mut head, "traceparent", traceparent.as_bytes());
        }
        put(&mut head, "content-length", body.length().to_string().as_bytes());
        head.put_slice(b"\r\n");
        if body.length() > JOINED_BYTES_MAX {
            body.put_before(head.freeze());
            return Ok(body);
        }
        body.append_to(&mut head);
        Ok(Spliced::of(head.freeze()))
    }

    fn take_free(&self) -> Option<Wire<Connection>> {
        loop {
            let mut wire = self.free.lock().pop()?.wire;
            if wire.is_open() {
                return Some(wire);
            }
        }
    }

    fn answer(self: Arc<Self>, head: Head, incoming: Incoming<Connection>) -> Answer {
        let mut body = AnswerBody { incoming: Some(incoming), home: self };
        body.give_back();
        Answer { head, body }
    }
}

impl AnswerBody {
    /// The next part, whatever of it has come; `None` after the end.
    pub(crate) async fn part(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        poll_fn(|context| self.poll_part(context)).await
    }

    /// The same, for who waits for other things, too.
    pub(crate) fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let Some(incoming) = self.incoming.as_mut() else { return Poll::Ready(None) };
        let part = incoming.poll_part(context);
        self.give_back();
        part
    }

    /// Bytes that are still to come, as far as that is known.
    pub(crate) fn expected(&self) -> usize {
        self.incoming.as_ref().map_or(0, Incoming::expected)
    }

    /// Frees the connection once all was read, whoever holds on to the rest of this.
    fn give_back(&mut self) {
        if let Some(incoming) = self.incoming.take_if(|incoming| incoming.is_over())
            && let Some(wire) = incoming.into_free()
        {
            self.home.free.lock().push(Free { wire, since: Instant::now() });
        }
    }
}

fn credential(
    upstream: &Upstream,
    seal_key: &[u8; 32],
) -> Result<Option<Zeroizing<Vec<u8>>>, PrepareError> {
    if upstream.sealed_credential.is_empty() {
        return Ok(None);
    }
    let plain = links::seal::unseal(seal_key, &upstream.name, &upstream.sealed_credential);
    let plain = Zeroizing::new(plain.map_err(|_| PrepareError::Credential)?);
    // What is no header value could end the head, and begin another one.
    HeaderValue::from_bytes(&plain).map_err(|_| PrepareError::Credential)?;
    Ok(Some(plain))
}

/// The head of a request, up to where requests differ.
fn head(address: &Uri, credential: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, PrepareError> {
    let path = address.path_and_query().ok_or(PrepareError::Address)?;
    let host = address.host().ok_or(PrepareError::Address)?;
    let usual = if address.scheme_str() == Some("https") { 443 } else { 80 };
    let port = address.port_u16().filter(|port| *port != usual);
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    // Room for all of it, so that no copy of the credential is left behind.
    let room = path.as_str().len() + host.len() + credential.map_or(0, <[u8]>::len) + 256;
    let mut head = Zeroizing::new(Vec::with_capacity(room));
    head.put_slice(format!("POST {path} HTTP/1.1\r\n").as_bytes());
    put(&mut *head, "host", host.as_bytes());
    put(&mut *head, "user-agent", AGENT.as_bytes());
    put(&mut *head, "content-type", b"application/json");
    if let Some(credential) = credential {
        let bearer = Zeroizing::new([b"Bearer ".as_slice(), credential].concat());
        put(&mut *head, "authorization", &bearer);
    }
    Ok(head)
}

fn put(head: &mut impl BufMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}
