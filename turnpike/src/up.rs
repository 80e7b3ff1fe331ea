//! `turnpike up`: all roles in one process, the same code as when they are apart, on other carriers.
//!
//! Data planes serve clients on threads of their own; control plane and billing share a runtime, so that they never steal
//! from the path. What each role does is its own crate's business.

mod core_dumps;
mod data_dir;
mod demo;
mod ops;
mod planes;
mod telemetry;

use crate::cli::UpOptions;
use crate::config::{Config, Secrets};
use crate::output;
use anyhow::{Context, bail};
use billing::consumer::{Consumer, ConsumerSettings};
use billing::desk::Desk;
use billing::retention::{self, RetentionSettings};
use control_plane::{AdminLimits, ContentSettings, ControlPlane, ControlPlaneSettings, Secret};
use data_dir::DataDir;
use domain::key::Pepper;
use domain::network::Networks;
use links::content::{ContentKey, ContentListener};
use links::tcp::TcpSettings;
use links::usage::UsageSource;
use planes::Planes;
use std::net::SocketAddr;
use std::time::Duration;
use storage::{Database, DatabaseSettings, Holding};
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Threads of the runtime that control plane and billing share.
const CONTROL_THREADS: usize = 2;
/// How long running requests may go on after a stop was asked for; then streams end with an error event.
const DRAIN: Duration = Duration::from_secs(5);
/// How long ended streams may take to be settled. With `DRAIN` it stays below ten seconds.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long the collector may take for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(config: Config, options: UpOptions) -> anyhow::Result<()> {
    if options.roles.len() < 3 {
        bail!(
            "a process with only some roles needs the others over the network, which this version does not offer yet: \
             leave --roles out"
        );
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    let telemetry = {
        let _inside = runtime.enter();
        Telemetry::start(&config)?
    };
    core_dumps::forbid();
    let data_dir = DataDir::take(&config.data_dir)?;
    let served = runtime.block_on(serve(&config, options.demo));
    telemetry.end(LAST_SPANS);
    runtime.shutdown_timeout(Duration::from_millis(500));
    drop(data_dir);
    served
}

/// Where everything listens, with real ports.
pub(crate) struct Addresses {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) simulator: Option<SocketAddr>,
}

async fn serve(config: &Config, is_demo: bool) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ops = ops::Ops::start(config.ops.listen, stop.clone()).await?;
    let secrets = Secrets::load(config)?;
    let database = open_database(config).await?;
    let networks = config.networks(is_demo)?;
    let control = start_control_plane(config, &secrets, networks.clone(), &database, &stop).await?;
    let admin = serve_admin(config, &control, &stop).await?;
    let observed = control.clone();
    ops.observe(move || observed.observe());
    let fleet = planes::fleet(&control, &stop);
    let desk = Desk::start(database.clone(), fleet.escrow, stop.clone());
    let contents = keep_contents(config, &secrets, &control, fleet.contents, &stop).await?;
    let planes = Planes::start(config, networks, &secrets, fleet.channel, &stop)?;
    planes.show(&ops);
    let source = UsageSource::spool(planes.spool.clone());
    let consumer = start_consumer(config, &database, source, &stop);
    let retention = retention::start(retention_settings(config), database.clone(), stop.clone());
    let simulator = if is_demo { Some(demo::start_simulator(config).await?) } else { None };
    let addresses = Addresses {
        clients: planes.address,
        admin: admin.address,
        ops: ops.address,
        simulator: simulator.as_ref().map(simulator::Simulator::addr),
    };
    let seeded = match addresses.simulator {
        Some(address) => Some(demo::seed(config, &control, address).await?),
        None => None,
    };
    ops.waiting_for("the data plane has no configuration yet: the control plane has not sent it");
    let stopped = tokio::select! {
        () = configured(&control, &planes) => false,
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    };
    if !stopped {
        announce(config, &addresses, seeded.as_ref(), &secrets)?;
        ops.ready();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    ops.stopping();
    control.stop_serving().await;
    output::note("stopping: running requests may end, new ones are refused");
    planes.drain(DRAIN, LAST_WORDS).await;
    stop.cancel();
    tokio::join!(
        end("usage", consumer),
        end("retention", retention),
        end("escrow", desk),
        end("fleet", fleet.task),
        end("contents", contents),
        end("admin", admin.task),
    );
    planes.close(LAST_WORDS).await;
    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    Ok(())
}

/// Waits until the data plane goes by what is configured now: clients may come with a key that was just made.
async fn configured(control: &ControlPlane, planes: &Planes) {
    planes.configuration.loaded().await;
    let publisher = control.publisher();
    publisher.applied_everywhere(publisher.head()).await;
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
    };
    ControlPlane::start(settings, database.clone(), stop.clone())
        .await
        .context("the control plane does not start")
}

fn start_consumer(
    config: &Config,
    database: &Database,
    source: UsageSource,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let batch = config.billing.batch_events.get();
    let settings = ConsumerSettings { batch, ..ConsumerSettings::default() };
    Consumer::start_with(settings, database.clone(), source, stop.clone())
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

fn retention_settings(config: &Config) -> RetentionSettings {
    RetentionSettings {
        keep: config.billing.usage_retention,
        sweep_every: config.billing.retention_sweep,
        ..RetentionSettings::default()
    }
}

/// The admin listener and its task.
struct Admin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

async fn serve_admin(
    config: &Config,
    control: &ControlPlane,
    stop: &CancellationToken,
) -> anyhow::Result<Admin> {
    let wanted = config.control_plane.admin_listen;
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!(
            "cannot listen on {wanted} for operators: choose another control_plane.admin_listen"
        )
    })?;
    let address = listener.local_addr()?;
    let routes = control.admin_router();
    let stopped = stop.clone().cancelled_owned();
    let task = tokio::spawn(async move {
        let incoming = links::tcp::incoming(listener);
        let server = links::tcp::server(TcpSettings::default()).add_routes(routes);
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped).await {
            tracing::error!(%error, "the admin API stopped");
        }
    });
    Ok(Admin { address, task })
}

fn announce(
    config: &Config,
    addresses: &Addresses,
    seeded: Option<&demo::Seeded>,
    secrets: &Secrets,
) -> anyhow::Result<()> {
    tracing::info!(
        clients = %addresses.clients,
        admin = %addresses.admin,
        ops = %addresses.ops,
        "ready"
    );
    match seeded {
        Some(seeded) => demo::announce(config, addresses, seeded, secrets),
        None => {
            output::note(&format!("serving clients on http://{}/v1", addresses.clients));
            Ok(())
        }
    }
}

/// Waits for a task that was told to stop; one that does not listen is left behind.
async fn end(what: &str, task: JoinHandle<()>) {
    match tokio::time::timeout(LAST_WORDS, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, what, "a task failed"),
        Err(_) => tracing::warn!(what, "a task did not stop in time"),
    }
}
