//! gRPC over TCP: channels and servers that notice a dead peer, and servers that one peer cannot take for itself.
//!
//! Both sides send HTTP/2 pings, so that a connection whose other end vanished is given up within
//! `heartbeat_interval + heartbeat_timeout`, whoever of the two is still alive.

mod guest;

pub use guest::Guest;

use futures::{Stream, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::{Channel, Endpoint, Server};

/// Pause after the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a connection over TCP is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// How often each side pings the other.
    pub heartbeat_interval: Duration,
    /// How long it waits for the answer.
    pub heartbeat_timeout: Duration,
    /// How long a connection attempt may take, and a client's greeting once it is connected.
    pub connect_timeout: Duration,
    /// What one client may ask of a server.
    pub limits: TcpLimits,
}

/// What one client may ask of a server, beyond which it waits or its connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Most connections; more wait until one ends.
    pub connections: usize,
    /// Most calls at once on one of them. A client that was told waits; one that does not wait is refused the call.
    pub calls: u32,
    /// Most bytes of a call's head.
    pub head_bytes: u32,
    /// Most calls that a client has begun and given up before we came to look at them. More close the connection.
    pub given_up_calls: usize,
    /// Most calls that we had to break off since they broke the rules, over a connection's life. More close it.
    pub broken_calls: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            calls: 256,
            head_bytes: 16 << 10,
            given_up_calls: 20,
            broken_calls: 1024,
        }
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            limits: TcpLimits::default(),
        }
    }
}

/// A channel to `http://host:port` that connects when it is first used, and again after each break. Must be called inside a
/// tokio runtime.
///
/// # Errors
/// When the address is not a URL.
pub fn channel(address: &str, settings: TcpSettings) -> Result<Channel, tonic::transport::Error> {
    Ok(endpoint(address, settings)?.connect_lazy())
}

/// The same, as long as nothing says how it connects.
pub(crate) fn endpoint(
    address: &str,
    settings: TcpSettings,
) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .http2_keep_alive_interval(settings.heartbeat_interval)
        .keep_alive_timeout(settings.heartbeat_timeout)
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

/// A server without services yet, to be run over `incoming`.
#[must_use]
pub fn server(settings: TcpSettings) -> Server {
    let limits = settings.limits;
    Server::builder()
        .http2_keepalive_interval(Some(settings.heartbeat_interval))
        .http2_keepalive_timeout(Some(settings.heartbeat_timeout))
        .max_concurrent_streams(limits.calls)
        .http2_max_header_list_size(limits.head_bytes)
        .http2_max_pending_accept_reset_streams(Some(limits.given_up_calls))
        .http2_max_local_error_reset_streams(Some(limits.broken_calls))
}

/// The connections of a listener, for `serve_with_incoming`: each has a place of its own, and must greet in time.
pub fn incoming(
    listener: TcpListener,
    settings: TcpSettings,
) -> impl Stream<Item = io::Result<Guest<TcpStream>>> {
    accepted(listener, settings).map(move |accepted| {
        accepted.map(|(socket, place)| Guest::new(socket, place, settings.connect_timeout))
    })
}

/// The same before anything was said, each with its place.
pub(crate) fn accepted(
    listener: TcpListener,
    settings: TcpSettings,
) -> impl Stream<Item = io::Result<(TcpStream, OwnedSemaphorePermit)>> {
    let places = Arc::new(Semaphore::new(settings.limits.connections));
    futures::stream::unfold((listener, places), move |(listener, places)| async move {
        // A full house leaves new clients in the backlog. The semaphore is never closed.
        let place = places.clone().acquire_owned().await.ok()?;
        let accepted = listener.accept().await.map(|(socket, _)| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            (socket, place)
        });
        if accepted.is_err() {
            // The system has none to give, and would say so again at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        Some((accepted, (listener, places)))
    })
}
