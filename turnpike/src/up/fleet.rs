//! What data planes talk to: feed, escrow, accounts, contents and usage, over an in-memory pipe or, when the roles are in
//! several processes, over TCP with or without TLS. The same services and the same protocol either way.

mod calls;
mod certificates;

pub(super) use calls::Calls;
pub(super) use certificates::describe_metrics;

use crate::config::{Config, FleetTls};
use anyhow::{Context, bail};
use control_plane::ControlPlane;
use futures::future::join_all;
use links::Farewell;
use links::content::{ContentListener, content_listener};
use links::escrow::{EscrowListener, escrow_listener_with};
use links::feed::FeedPublisher;
use links::pipe::PipeListener;
use links::tcp;
use links::tls::{self, Material};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How much longer than it was told a data plane may take to leave.
const STRAGGLE: Duration = Duration::from_secs(2);

/// On what data planes come.
pub(super) enum Carrier {
    /// The one of this process.
    Pipe(PipeListener),
    /// Those of other processes on this machine.
    Tcp(TcpListener),
    /// Those of other processes anywhere.
    Tls(TcpListener, Material),
}

impl Carrier {
    /// Where those of other processes come.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(listener) | Self::Tls(listener, _) => listener.local_addr().ok(),
        }
    }
}

/// The services at work, and where what comes is taken.
pub(super) struct Fleet {
    pub(super) escrow: EscrowListener,
    /// Prompts and completions to be kept.
    pub(super) contents: ContentListener,
    pub(super) parting: Option<Parting>,
    pub(super) task: JoinHandle<()>,
}

/// How data planes of other processes are sent away before all ends. That of this process stops with it.
pub(super) struct Parting {
    farewells: [Farewell; 2],
    publisher: FeedPublisher,
    within: Duration,
}

impl Parting {
    /// Tells them, and waits until they have left.
    pub(super) async fn send_away(&self) {
        self.farewells.iter().for_each(|farewell| farewell.say(self.within));
        let all_left = join_all(self.farewells.iter().map(Farewell::all_left));
        if timeout(self.within.saturating_add(STRAGGLE), all_left).await.is_err() {
            tracing::warn!("some data planes did not leave in time; their connections are ended");
        }
        self.publisher.close();
    }
}

/// Serves data planes until told to stop, with what else is found at the same address.
pub(super) fn serve(
    config: &Config,
    control: &ControlPlane,
    beside: Routes,
    carrier: Carrier,
    stop: &CancellationToken,
) -> Fleet {
    let (escrow_service, escrow) = escrow_listener_with(config.links.escrow_listener());
    let (content_service, contents) = content_listener();
    let publisher = control.publisher();
    let routes = beside
        .add_service(publisher.service())
        .add_service(escrow_service)
        .add_service(content_service)
        .add_service(control.account_service());
    let parting = carrier.address().map(|_| Parting {
        farewells: [publisher.farewell(), escrow.farewell()],
        publisher,
        within: config.links.goaway_within,
    });
    let task = serve_routes(config, routes, carrier, stop);
    Fleet { escrow, contents, parting, task }
}

/// Serves these until told to stop.
pub(super) fn serve_routes(
    config: &Config,
    routes: Routes,
    carrier: Carrier,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let stopped = stop.clone().cancelled_owned();
    let settings = config.links.tcp();
    tokio::spawn(async move {
        let bare = || tcp::server(settings).add_routes(routes.clone());
        let served = match carrier {
            Carrier::Pipe(listener) => bare().serve_with_incoming_shutdown(listener, stopped).await,
            Carrier::Tcp(listener) => {
                let incoming = tcp::incoming(listener, settings);
                bare().serve_with_incoming_shutdown(incoming, stopped).await
            }
            Carrier::Tls(listener, material) => {
                let server = tls::server(settings, &material).add_routes(routes);
                let incoming = tls::incoming(listener, settings, material);
                server.serve_with_incoming_shutdown(incoming, stopped).await
            }
        };
        if let Err(error) = served {
            tracing::error!(%error, "the fleet services stopped");
        }
    })
}

/// Listens for data planes of other processes, as a control plane.
pub(super) async fn listen(config: &Config, stop: &CancellationToken) -> anyhow::Result<Carrier> {
    let from = &config.control_plane;
    listen_on(config, ("control_plane", from.fleet_listen, &from.fleet_tls), stop).await
}

/// The same for billing alone.
pub(super) async fn listen_for_usage(
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<Carrier> {
    let from = &config.billing;
    listen_on(config, ("billing", from.fleet_listen, &from.fleet_tls), stop).await
}

/// Without TLS, nobody of another machine must be let in.
async fn listen_on(
    config: &Config,
    (section, wanted, tls): (&str, SocketAddr, &FleetTls),
    stop: &CancellationToken,
) -> anyhow::Result<Carrier> {
    let material = certificates::serving(config, tls, stop)?;
    if material.is_none() && !wanted.ip().is_loopback() {
        bail!(
            "{section}.fleet_listen is {wanted}, but data planes of other machines are only spoken to by TLS, for which \
             {section}.fleet_tls must be set; without it use 127.0.0.1"
        );
    }
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!("cannot listen on {wanted} for data planes: choose another {section}.fleet_listen")
    })?;
    Ok(match material {
        Some(material) => Carrier::Tls(listener, material),
        None => Carrier::Tcp(listener),
    })
}
