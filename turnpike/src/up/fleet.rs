//! What data planes talk to: feed, escrow, usage, accounts and contents, over an in-memory pipe or, when the roles are in several processes,
//! over TCP. The same services and the same protocol either way.

use crate::config::Config;
use anyhow::{Context, bail};
use control_plane::ControlPlane;
use links::content::{ContentListener, content_listener};
use links::escrow::{EscrowListener, escrow_listener_with};
use links::pipe::PipeListener;
use links::tcp;
use links::usage::{UsageListener, usage_listener};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Uri};

/// On what data planes come.
pub(super) enum Carrier {
    /// The one of this process.
    Pipe(PipeListener),
    /// Those of other processes.
    Tcp(TcpListener),
}

/// The services at work, and where what comes is taken.
pub(super) struct Fleet {
    pub(super) escrow: EscrowListener,
    pub(super) usage: UsageListener,
    /// Prompts and completions to be kept.
    pub(super) contents: ContentListener,
    pub(super) task: JoinHandle<()>,
}

/// Serves data planes until told to stop.
pub(super) fn serve(
    config: &Config,
    control: &ControlPlane,
    carrier: Carrier,
    stop: &CancellationToken,
) -> Fleet {
    let (escrow_service, escrow) = escrow_listener_with(config.links.escrow_listener());
    let (usage_service, usage) = usage_listener(config.links.usage_listener());
    let (content_service, contents) = content_listener();
    let feed_service = control.publisher().service();
    let account_service = control.account_service();
    let routes = Routes::new(feed_service)
        .add_service(escrow_service)
        .add_service(usage_service)
        .add_service(content_service)
        .add_service(account_service);
    let stopped = stop.clone().cancelled_owned();
    let settings = config.links.tcp();
    let task = tokio::spawn(async move {
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
    });
    Fleet { escrow, usage, contents, task }
}

/// Listens for data planes of other processes on this machine. Without TLS, nobody else's must be let in.
pub(super) async fn listen(config: &Config) -> anyhow::Result<(SocketAddr, Carrier)> {
    let wanted = config.control_plane.fleet_listen;
    if !wanted.ip().is_loopback() {
        bail!(
            "control_plane.fleet_listen is {wanted}, but data planes of other machines need TLS, which this version does not \
             have yet: use 127.0.0.1"
        );
    }
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!(
            "cannot listen on {wanted} for data planes: choose another control_plane.fleet_listen"
        )
    })?;
    Ok((listener.local_addr()?, Carrier::Tcp(listener)))
}

/// The way to a control plane in another process on this machine.
pub(super) fn channel(config: &Config) -> anyhow::Result<Channel> {
    let address = &config.data_plane.control_plane_addr;
    let wrong =
        || format!("data_plane.control_plane_addr is {address}: write it as http://127.0.0.1:7071");
    let uri: Uri = address.parse().with_context(wrong)?;
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !is_here {
        bail!(
            "data_plane.control_plane_addr is {address}, but a control plane on another machine needs TLS, which this \
             version does not have yet: use http://127.0.0.1 and a port"
        );
    }
    tcp::channel(address, config.links.tcp()).with_context(wrong)
}
