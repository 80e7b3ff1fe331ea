//! gRPC between roles of one process: the same protocol, over memory instead of a socket.
//!
//! A connection is a pair of byte pipes, so HTTP/2 with its flow control runs as it does over TCP.

use futures::Stream;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

/// Sizes of an in-memory carrier.
#[derive(Clone, Copy, Debug)]
pub struct PipeSettings {
    /// Bytes that one direction of a connection holds before its writer waits.
    pub buffer_bytes: usize,
    /// Connections that may wait to be accepted.
    pub backlog: usize,
}

impl Default for PipeSettings {
    fn default() -> Self {
        Self { buffer_bytes: 256 * 1024, backlog: 16 }
    }
}

/// The server's end: a stream of connections for `tonic::transport::Server::serve_with_incoming`.
#[derive(Debug)]
pub struct PipeListener {
    connections: mpsc::Receiver<DuplexStream>,
}

/// The client's end.
#[derive(Clone, Debug)]
pub struct PipeConnector {
    connections: mpsc::Sender<DuplexStream>,
    buffer_bytes: usize,
}

/// A carrier with the default sizes.
#[must_use]
pub fn pipe() -> (PipeListener, PipeConnector) {
    pipe_with(PipeSettings::default())
}

/// A carrier.
#[must_use]
pub fn pipe_with(settings: PipeSettings) -> (PipeListener, PipeConnector) {
    let (sender, connections) = mpsc::channel(settings.backlog.max(1));
    let connector = PipeConnector { connections: sender, buffer_bytes: settings.buffer_bytes };
    (PipeListener { connections }, connector)
}

impl Stream for PipeListener {
    type Item = io::Result<DuplexStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl PipeConnector {
    /// A channel that connects when it is first used, and again after each break. Must be called inside a tokio runtime.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let connector = self.clone();
        let connect = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move { connector.connect().await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://pipe").connect_with_connector_lazy(connect)
    }

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(self.buffer_bytes);
        self.connections.send(far).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}
