//! gRPC between roles of different processes: channels and servers that notice a dead peer.
//!
//! Both sides send HTTP/2 pings, so that a connection whose other end vanished is given up within
//! `heartbeat_interval + heartbeat_timeout`, whoever of the two is still alive.

use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

/// How a connection over TCP is kept.
#[derive(Clone, Copy, Debug)]
pub struct TcpSettings {
    /// How often each side pings the other.
    pub heartbeat_interval: Duration,
    /// How long it waits for the answer.
    pub heartbeat_timeout: Duration,
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// A channel to `http://host:port` that connects when it is first used, and again after each break. Must be called inside a
/// tokio runtime.
///
/// # Errors
/// When the address is not a URL.
pub fn channel(address: &str, settings: TcpSettings) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .http2_keep_alive_interval(settings.heartbeat_interval)
        .keep_alive_timeout(settings.heartbeat_timeout)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
}

/// A server without services yet, to be run over `incoming`.
#[must_use]
pub fn server(settings: TcpSettings) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(settings.heartbeat_interval))
        .http2_keepalive_timeout(Some(settings.heartbeat_timeout))
}

/// The connections of a listener, for `serve_with_incoming`: that one would ignore what a `Server` says of TCP.
#[must_use]
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
