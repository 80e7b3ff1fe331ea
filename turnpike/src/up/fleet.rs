//! What data planes talk to: feed, escrow, accounts, contents and usage, over an in-memory pipe or, when the roles are in
//! several processes, over TCP. The same services and the same protocol either way.

use crate::config::Config;
use anyhow::{Context, bail};
use control_plane::ControlPlane;
use futures::future::join_all;
use links::content::{ContentListener, content_listener};
use links::escrow::{EscrowListener, escrow_listener_with};
use links::feed::FeedPublisher;
use links::pipe::PipeListener;
use links::tcp;
use links::{Farewell, Ways};
use std::net::SocketAddr;
use std::slice;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Uri};

/// How much longer than it was told a data plane may take to leave.
const STRAGGLE: Duration = Duration::from_secs(2);

/// On what data planes come.
pub(super) enum Carrier {
    /// The one of this process.
    Pipe(PipeListener),
    /// Those of other processes.
    Tcp(TcpListener),
}

impl Carrier {
    /// Where those of other processes come.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
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
    let parting = matches!(carrier, Carrier::Tcp(_)).then(|| Parting {
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
        let server = tcp::server(settings).add_routes(routes);
        let served = match carrier {
            Carrier::Pipe(listener) => server.serve_with_incoming_shutdown(listener, stopped).await,
            Carrier::Tcp(listener) => {
                let incoming = tcp::incoming(listener, settings);
                server.serve_with_incoming_shutdown(incoming, stopped).await
            }
        };
        if let Err(error) = served {
            tracing::error!(%error, "the fleet services stopped");
        }
    })
}

/// Listens for data planes of other processes, as a control plane.
pub(super) async fn listen(config: &Config) -> anyhow::Result<Carrier> {
    listen_on("control_plane.fleet_listen", config.control_plane.fleet_listen).await
}

/// The same for billing alone.
pub(super) async fn listen_for_usage(config: &Config) -> anyhow::Result<Carrier> {
    listen_on("billing.fleet_listen", config.billing.fleet_listen).await
}

/// Without TLS, nobody of another machine must be let in.
async fn listen_on(setting: &str, wanted: SocketAddr) -> anyhow::Result<Carrier> {
    if !wanted.ip().is_loopback() {
        bail!(
            "{setting} is {wanted}, but data planes of other machines need TLS, which this version does not have yet: use \
             127.0.0.1"
        );
    }
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!("cannot listen on {wanted} for data planes: choose another {setting}")
    })?;
    Ok(Carrier::Tcp(listener))
}

/// The ways to a control plane in other processes on this machine.
pub(super) fn ways(config: &Config) -> anyhow::Result<Ways> {
    let addresses = config.data_plane.control_planes();
    ways_to(config, "data_plane.control_plane_addrs", &addresses)
}

/// The way to billing in another process: where the control plane is, unless it has an address of its own.
pub(super) fn ways_to_billing(config: &Config) -> anyhow::Result<Ways> {
    match &config.data_plane.billing_addr {
        Some(address) => ways_to(config, "data_plane.billing_addr", slice::from_ref(address)),
        None => ways(config),
    }
}

fn ways_to(config: &Config, setting: &str, addresses: &[String]) -> anyhow::Result<Ways> {
    let channels: Vec<(String, Channel)> = addresses
        .iter()
        .map(|address| Ok((address.clone(), channel_to(config, setting, address)?)))
        .collect::<anyhow::Result<_>>()?;
    Ways::to(&config.data_plane.name, channels)
        .with_context(|| format!("{setting} names no address"))
}

fn channel_to(config: &Config, setting: &str, address: &str) -> anyhow::Result<Channel> {
    let wrong = || format!("{setting} holds {address}: write it as http://127.0.0.1:7071");
    let uri: Uri = address.parse().with_context(wrong)?;
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !is_here {
        bail!(
            "{setting} holds {address}, but what is on another machine needs TLS, which this version does not have yet: use \
             http://127.0.0.1 and a port"
        );
    }
    tcp::channel(address, config.links.tcp()).with_context(wrong)
}
