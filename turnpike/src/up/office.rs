//! The control plane of this process: admin API, escrow desk, contents, and what data planes talk to.

use super::drain::ended;
use super::fleet::{self, Carrier, Parting};
use super::ops::Ops;
use super::{coordination, database};
use crate::config::{Config, Secrets};
use anyhow::Context;
use billing::desk::{Desk, DeskSettings};
use control_plane::{AdminLimits, ContentSettings, ControlPlane, ControlPlaneSettings, Secret};
use domain::key::Pepper;
use domain::network::Networks;
use links::content::{ContentKey, ContentListener};
use links::coordination::Coordination;
use links::tcp::TcpSettings;
use std::net::SocketAddr;
use storage::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// What runs until the process stops.
pub(super) struct Office {
    pub(super) admin: SocketAddr,
    pub(super) control: ControlPlane,
    /// Where data planes of other processes come, if they do.
    pub(super) fleet: Option<SocketAddr>,
    /// How these are sent away.
    parting: Option<Parting>,
    pub(super) secrets: Secrets,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

/// What it is started with, beside what is configured.
pub(super) struct OfficeParts {
    pub(super) networks: Networks,
    pub(super) database: Database,
    /// For `--demo`.
    pub(super) is_demo: bool,
    pub(super) carrier: Carrier,
    /// What else data planes find at the same address.
    pub(super) beside: Routes,
}

impl Office {
    /// Serves operators and data planes.
    pub(super) async fn start(
        config: &Config,
        parts: OfficeParts,
        ops: &Ops,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let OfficeParts { networks, database, is_demo, carrier, beside } = parts;
        let secrets = Secrets::load(config, is_demo || !database.is_shared())?;
        let (coordination, coordinating) = coordination::start(config, &carrier, stop)?;
        let beside_rows = (networks, coordination);
        let control = start_control_plane(config, &secrets, beside_rows, &database, stop).await?;
        let (admin, serving) = serve_admin(config, &control, stop).await?;
        let observed = control.clone();
        ops.observe(move || observed.observe());
        let address = carrier.address();
        let fleet = fleet::serve(config, &control, beside, carrier, stop);
        let desk = desk_settings(config, &database);
        let desk = Desk::start_with(desk, database, fleet.escrow, stop.clone());
        let contents = database::open_contents(config, is_demo).await?;
        let contents = keep_contents(config, &secrets, &control, (contents, fleet.contents), stop);
        let mut tasks = vec![
            ("escrow", desk),
            ("fleet", fleet.task),
            ("admin", serving),
            ("contents", contents),
        ];
        tasks.extend(coordinating.map(|task| ("coordination", task)));
        let parting = fleet.parting;
        Ok(Self { admin, control, fleet: address, parting, secrets, tasks })
    }

    /// Refuses operators and sends data planes away.
    pub(super) async fn stop_serving(&self) {
        self.control.stop_serving().await;
        if let Some(parting) = &self.parting {
            parting.send_away().await;
        }
    }

    /// Waits for what was told to stop.
    pub(super) async fn end(self, latest: Instant) {
        let ends = self.tasks.into_iter().map(|(what, task)| ended(what, task, latest));
        futures::future::join_all(ends).await;
    }
}

async fn start_control_plane(
    config: &Config,
    secrets: &Secrets,
    (networks, coordination): (Networks, Coordination),
    database: &Database,
    stop: &CancellationToken,
) -> anyhow::Result<ControlPlane> {
    let settings = ControlPlaneSettings {
        operator_token: Secret::new(secrets.operator_token.clone()),
        pepper: Pepper(secrets.pepper),
        seal_key: secrets.seal_key,
        networks,
        limits: AdminLimits::from(&config.control_plane.limits),
        follow_every: config.control_plane.follow_interval,
        coordination,
        feed: config.links.publisher(),
        patience: desk_settings(config, database).patience(),
    };
    ControlPlane::start(settings, database.clone(), stop.clone())
        .await
        .context("the control plane does not start")
}

/// In a database of its own nobody else waits to hear of anyone, and each time is a write.
const HEARD_LESS_OFTEN: u32 = 12;

fn desk_settings(config: &Config, database: &Database) -> DeskSettings {
    let from = &config.billing.escrow;
    let less_often = if database.is_shared() { 1 } else { HEARD_LESS_OFTEN };
    let topic = &config.links.usage.topic;
    DeskSettings {
        // Data planes that ship into a topic hear nothing back from it.
        marks_every: (!topic.brokers.is_empty()).then_some(topic.marks_interval),
        recall_wait: from.recall_wait,
        heard_every: from.heard_interval.saturating_mul(less_often),
        suspect_after: from.suspect_after,
        give_up_after: from.give_up_after,
        ..DeskSettings::default()
    }
}

async fn serve_admin(
    config: &Config,
    control: &ControlPlane,
    stop: &CancellationToken,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let wanted = config.control_plane.admin_listen;
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!(
            "cannot listen on {wanted} for operators: choose another control_plane.admin_listen"
        )
    })?;
    let address = listener.local_addr()?;
    let routes = control.admin_router();
    let settings = TcpSettings::from(&config.control_plane.connections);
    let stopped = stop.clone().cancelled_owned();
    let task = tokio::spawn(async move {
        let incoming = links::tcp::incoming(listener, settings);
        let server = links::tcp::server(settings).add_routes(routes);
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped).await {
            tracing::error!(%error, "the admin API stopped");
        }
    });
    Ok((address, task))
}

/// Keeps what comes of contents.
fn keep_contents(
    config: &Config,
    secrets: &Secrets,
    control: &ControlPlane,
    (database, listener): (Database, ContentListener),
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let from = &config.control_plane.content;
    let settings = ContentSettings { keep: from.retention, sweep_every: from.sweep_interval };
    let key = ContentKey::derive(&secrets.seal_key);
    control.keep_contents(settings, (database, key), listener, stop.clone())
}
