//! Servers that can be started, stopped and started again at the same place.

use crate::certificates::{CONTROL_PLANE, FLEET, data_plane};
use links::ReconnectSettings;
use links::pipe::{PipeConnector, PipeListener, pipe};
use links::tcp::{self, TcpSettings};
use links::tls::{self, Material, Served};
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
    Tls,
}

/// Where a server is to be found.
pub(crate) struct Site {
    place: Place,
}

enum Place {
    Pipe { listener: Option<PipeListener>, connector: PipeConnector },
    Tcp { listener: Option<TcpListener>, address: SocketAddr, material: Option<Material> },
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
            Carrier::Tcp => bound(None).await,
            Carrier::Tls => bound(Some(FLEET.serving(CONTROL_PLANE))).await,
        };
        Self { place }
    }

    /// One by TLS, with this certificate.
    pub(crate) async fn secured(material: Material) -> Self {
        Self { place: bound(Some(material)).await }
    }

    /// That of the data plane `dp` in the cell `sg`.
    pub(crate) fn channel(&self) -> Channel {
        self.channel_of("dp")
    }

    /// That of another data plane there.
    pub(crate) fn channel_of(&self, name: &str) -> Channel {
        self.channel_in("sg", name)
    }

    /// That of any data plane. Where it shows no certificate, it is who it says it is.
    pub(crate) fn channel_in(&self, cell: &str, name: &str) -> Channel {
        match &self.place {
            Place::Pipe { connector, .. } => connector.channel(),
            Place::Tcp { address, material: None, .. } => {
                tcp::channel(&format!("http://{address}"), TcpSettings::default()).unwrap()
            }
            Place::Tcp { material: Some(_), .. } => {
                self.channel_with(&FLEET.calling(&data_plane(cell, name)), Served::ByControlPlane)
            }
        }
    }

    /// One by TLS, with this certificate.
    pub(crate) fn channel_with(&self, material: &Material, served: Served) -> Channel {
        let address = format!("https://{}", self.address());
        tls::channel(&address, TcpSettings::default(), material, served).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Pipe { .. } => panic!("a pipe has no address"),
            Place::Tcp { address, .. } => *address,
        }
    }

    pub(crate) async fn serve(&mut self, routes: Routes) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = TcpSettings::default();
        let stopped = async { drop(stopped.await) };
        let task = match &mut self.place {
            Place::Pipe { listener, .. } => {
                let mut listener = listener.take().expect("the server before was stopped");
                let server = tcp::server(settings).add_routes(routes);
                tokio::spawn(async move {
                    server.serve_with_incoming_shutdown(&mut listener, stopped).await.unwrap();
                    Some(listener)
                })
            }
            Place::Tcp { listener, address, material } => {
                let listener = match listener.take() {
                    Some(listener) => listener,
                    None => TcpListener::bind(*address).await.unwrap(),
                };
                let material = material.clone();
                tokio::spawn(async move {
                    let served = match material {
                        None => {
                            let server = tcp::server(settings).add_routes(routes);
                            let incoming = tcp::incoming(listener, settings);
                            server.serve_with_incoming_shutdown(incoming, stopped).await
                        }
                        Some(material) => {
                            let server = tls::server(settings, &material).add_routes(routes);
                            let incoming = tls::incoming(listener, settings, material);
                            server.serve_with_incoming_shutdown(incoming, stopped).await
                        }
                    };
                    served.unwrap();
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

async fn bound(material: Option<Material>) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Place::Tcp { listener: Some(listener), address, material }
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
