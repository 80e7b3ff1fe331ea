//! Servers that can be started, stopped and started again at the same place.

use links::ReconnectSettings;
use links::pipe::{PipeConnector, PipeListener, pipe};
use links::tcp::{self, TcpSettings};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Channel;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Pipe,
    Tcp,
}

/// Where a server is to be found.
pub(crate) struct Site {
    place: Place,
}

enum Place {
    Pipe { listener: Option<PipeListener>, connector: PipeConnector },
    Tcp { listener: Option<TcpListener>, address: SocketAddr },
}

/// A server at work.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Option<PipeListener>>,
}

impl Site {
    pub(crate) async fn new(carrier: Carrier) -> Self {
        let place = match carrier {
            Carrier::Pipe => {
                let (listener, connector) = pipe();
                Place::Pipe { listener: Some(listener), connector }
            }
            Carrier::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                Place::Tcp { listener: Some(listener), address }
            }
        };
        Self { place }
    }

    pub(crate) fn channel(&self) -> Channel {
        match &self.place {
            Place::Pipe { connector, .. } => connector.channel(),
            Place::Tcp { address, .. } => {
                tcp::channel(&format!("http://{address}"), TcpSettings::default()).unwrap()
            }
        }
    }

    pub(crate) async fn serve(&mut self, routes: Routes) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tcp::server(TcpSettings::default()).add_routes(routes);
        let stopped = async { drop(stopped.await) };
        let task = match &mut self.place {
            Place::Pipe { listener, .. } => {
                let mut listener = listener.take().expect("the server before was stopped");
                tokio::spawn(async move {
                    server.serve_with_incoming_shutdown(&mut listener, stopped).await.unwrap();
                    Some(listener)
                })
            }
            Place::Tcp { listener, address } => {
                let listener = match listener.take() {
                    Some(listener) => listener,
                    None => TcpListener::bind(*address).await.unwrap(),
                };
                let incoming = tcp::incoming(listener, TcpSettings::default());
                tokio::spawn(async move {
                    server.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
                    None
                })
            }
        };
        Running { stop, task }
    }

    /// From now on nobody is there to connect to; before, whoever connected found silence.
    pub(crate) fn abandon(&mut self) {
        match &mut self.place {
            Place::Pipe { listener, .. } => drop(listener.take()),
            Place::Tcp { listener, .. } => drop(listener.take()),
        }
    }

    /// Returns once no connection is left.
    pub(crate) async fn stop(&mut self, running: Running) {
        running.stop.send(()).unwrap();
        let freed = running.task.await.unwrap();
        if let Place::Pipe { listener, .. } = &mut self.place {
            *listener = freed;
        }
    }
}

/// Waits of a few milliseconds, so that tests that break connections are quick.
pub(crate) fn impatient() -> ReconnectSettings {
    ReconnectSettings {
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(20),
        ..ReconnectSettings::default()
    }
}

/// A deadline for what is sure to happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens within a minute")
}
