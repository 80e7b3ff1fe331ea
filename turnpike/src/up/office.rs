//! The control plane and billing of this process: database, admin API, escrow desk, and what data planes talk to.

use super::end;
use super::fleet::{self, Carrier};
use super::ops::Ops;
use crate::config::{Config, Secrets};
use anyhow::Context;
use billing::consumer::{Consumer, ConsumerSettings};
use billing::desk::Desk;
use billing::retention::{self, RetentionSettings};
use control_plane::{AdminLimits, ContentSettings, ControlPlane, ControlPlaneSettings, Secret};
use domain::key::Pepper;
use domain::network::Networks;
use links::content::{ContentKey, ContentListener};
use links::spool::Spool;
use links::tcp::TcpSettings;
use links::usage::{UsageListener, UsageSource};
use std::net::SocketAddr;
use storage::{Database, DatabaseSettings, Holding};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// What runs until the process stops.
pub(super) struct Office {
    pub(super) admin: SocketAddr,
    pub(super) control: ControlPlane,
    database: Database,
    usage: ConsumerSettings,
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Office {
    /// Opens the database and serves operators and data planes.
    pub(super) async fn start(
        config: &Config,
        networks: Networks,
        secrets: &Secrets,
        carrier: Carrier,
        ops: &Ops,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let database = open_database(config).await?;
        let control = start_control_plane(config, secrets, networks, &database, stop).await?;
        let (admin, serving) = serve_admin(config, &control, stop).await?;
        let observed = control.clone();
        ops.observe(move || observed.observe());
        let fleet = fleet::serve(config, &control, carrier, stop);
        let desk = Desk::start(database.clone(), fleet.escrow, stop.clone());
        let contents = keep_contents(config, secrets, &control, fleet.contents, stop).await?;
        let retention =
            retention::start(retention_settings(config), database.clone(), stop.clone());
        let mut office = Self {
            admin,
            control,
            database,
            usage: consumer_settings(config),
            stop: stop.clone(),
            tasks: vec![
                ("escrow", desk),
                ("retention", retention),
                ("fleet", fleet.task),
                ("admin", serving),
                ("contents", contents),
            ],
        };
        office.bill_what_is_shipped(fleet.usage);
        Ok(office)
    }

    /// Bills what the data plane of this process writes down.
    pub(super) fn bill(&mut self, spool: Spool) {
        let consumer = self.consume(UsageSource::spool(spool));
        self.tasks.push(("usage", consumer));
    }

    /// Refuses operators and sends data planes away.
    pub(super) async fn stop_serving(&self) {
        self.control.stop_serving().await;
    }

    /// Waits for what was told to stop.
    pub(super) async fn end(self) {
        futures::future::join_all(self.tasks.into_iter().map(|(what, task)| end(what, task))).await;
    }

    fn consume(&self, source: UsageSource) -> JoinHandle<()> {
        Consumer::start_with(self.usage, self.database.clone(), source, self.stop.clone())
    }

    /// Each data plane that connects is billed for itself: one that has much to tell makes no other wait.
    fn bill_what_is_shipped(&mut self, mut listener: UsageListener) {
        let (usage, database, stop) = (self.usage, self.database.clone(), self.stop.clone());
        let billing = tokio::spawn(async move {
            let mut consumers = JoinSet::new();
            while let Some(connection) = stop.run_until_cancelled(listener.accept()).await.flatten()
            {
                tracing::info!(data_plane = connection.data_plane(), "a data plane ships usage");
                let source = UsageSource::Link(Box::new(connection));
                consumers.spawn(Consumer::start_with(
                    usage,
                    database.clone(),
                    source,
                    stop.clone(),
                ));
                while consumers.try_join_next().is_some() {}
            }
            while consumers.join_next().await.is_some() {}
        });
        self.tasks.push(("shipped usage", billing));
    }
}

async fn open_database(config: &Config) -> anyhow::Result<Database> {
    let url = config.database_url();
    let database =
        Database::open(&url).await.with_context(|| format!("the database {url} does not open"))?;
    database.migrate().await.context("the database schema could not be created or upgraded")?;
    Ok(database)
}

async fn start_control_plane(
    config: &Config,
    secrets: &Secrets,
    networks: Networks,
    database: &Database,
    stop: &CancellationToken,
) -> anyhow::Result<ControlPlane> {
    let settings = ControlPlaneSettings {
        operator_token: Secret::new(secrets.operator_token.clone()),
        pepper: Pepper(secrets.pepper),
        seal_key: secrets.seal_key,
        networks,
        limits: AdminLimits::from(&config.control_plane.limits),
        feed: config.links.publisher(),
    };
    ControlPlane::start(settings, database.clone(), stop.clone())
        .await
        .context("the control plane does not start")
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

/// Opens the database of contents, and keeps what comes.
async fn keep_contents(
    config: &Config,
    secrets: &Secrets,
    control: &ControlPlane,
    listener: ContentListener,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let url = format!("sqlite://{}", config.data_dir.join("content.db").display());
    let settings = DatabaseSettings { erases: true, ..DatabaseSettings::default() };
    let opened = Database::open_with(&url, settings).await;
    let database = opened.with_context(|| format!("the database {url} does not open"))?;
    database.migrate_to(Holding::Content).await.context("the schema of contents is not ours")?;
    let from = &config.control_plane.content;
    let settings = ContentSettings { keep: from.retention, sweep_every: from.sweep_interval };
    let key = ContentKey::derive(&secrets.seal_key);
    Ok(control.keep_contents(settings, (database, key), listener, stop.clone()))
}

fn consumer_settings(config: &Config) -> ConsumerSettings {
    let from = &config.billing;
    ConsumerSettings {
        batch: from.batch_events.get(),
        linger: from.linger,
        retry_after: from.retry_after,
        retry_after_max: from.retry_after_max,
        look_again: from.look_again,
    }
}

fn retention_settings(config: &Config) -> RetentionSettings {
    RetentionSettings {
        keep: config.billing.usage_retention,
        sweep_every: config.billing.retention_sweep,
        ..RetentionSettings::default()
    }
}
