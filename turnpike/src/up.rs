//! The roles as processes: all in one (`turnpike up`), or each in one of its own: the same code, on other carriers.
//!
//! Data planes serve clients on threads of their own; control plane and billing share a runtime, so that they never steal
//! from the path. What each role does is its own crate's business.

mod billing;
mod coordination;
mod core_dumps;
mod data_dir;
mod database;
mod demo;
mod fleet;
mod office;
mod ops;
mod parts;
mod planes;
mod drain;
mod telemetry;

use self::billing::BillingRole;
use crate::cli::UpOptions;
use crate::config::{CellSecrets, Config, FleetTls};
use crate::output;
use anyhow::bail;
use data_dir::DataDir;
use fleet::{Calls, Carrier};
use links::Ways;
use links::pipe::pipe;
use office::{Office, OfficeParts};
use parts::Parts;
use planes::Planes;
use simulator::Simulator;
use std::net::SocketAddr;
use std::time::Duration;
use telemetry::Telemetry;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Threads of the runtime that control plane and billing share.
const CONTROL_THREADS: usize = 2;
/// How long the collector may take for the last spans.
const LAST_SPANS: Duration = Duration::from_millis(400);
/// How long threads that nobody waits for may take.
const LAST_THREADS: Duration = Duration::from_millis(100);

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(config: Config, options: UpOptions) -> anyhow::Result<()> {
    let parts = Parts::of(&options, &config)?;
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
    let data_dir = DataDir::take(&config.data_dir, &parts.locks())?;
    let served = runtime.block_on(serve(&config, parts, options.demo));
    telemetry.end(LAST_SPANS);
    runtime.shutdown_timeout(LAST_THREADS);
    drop(data_dir);
    served
}

/// Where everything listens, with real ports.
pub(crate) struct Addresses {
    pub(crate) clients: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    /// Only when data planes are in other processes.
    pub(crate) fleet: Option<SocketAddr>,
    /// Only when billing is apart from the control plane.
    pub(crate) usage: Option<SocketAddr>,
    pub(crate) ops: SocketAddr,
    pub(crate) simulator: Option<SocketAddr>,
}

async fn serve(config: &Config, parts: Parts, is_demo: bool) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let ops = ops::Ops::start(config.ops.listen, stop.clone()).await?;
    let roles = Roles::start(config, parts, is_demo, &ops, &stop).await?;
    let simulator = if is_demo { Some(demo::start_simulator(config).await?) } else { None };
    let addresses = roles.addresses(&ops, simulator.as_ref());
    let seeded = match (&roles.office, addresses.simulator) {
        (Some(office), Some(address)) => Some(demo::seed(config, &office.control, address).await?),
        _ => None,
    };
    ops.waiting_for("the data plane has no configuration yet: the control plane has not sent it");
    let mut pace = drain::Pace::of(config, parts);
    let stopped = tokio::select! {
        () = roles.configured() => false,
        () = signals.stop() => true,
    };
    if stopped {
        pace = pace.unheard_of();
    } else {
        announce(config, &addresses, seeded.as_ref(), roles.office.as_ref())?;
        ops.ready();
        signals.stop().await;
    }
    output::note(
        "stopping: running requests may end, new ones are refused; a second signal ends it at once",
    );
    tokio::select! {
        () = drain::end(roles, pace, &ops, &stop) => {}
        () = signals.stop() => {
            bail!("a second signal ended it at once: what was still running is closed by the next start");
        }
    }
    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    Ok(())
}

/// What asks the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The roles of this process.
struct Roles {
    office: Option<Office>,
    billing: Option<BillingRole>,
    /// Where data planes of other processes ship to, when that is not the control plane.
    usage: Option<SocketAddr>,
    planes: Option<Planes>,
}

impl Roles {
    async fn start(
        config: &Config,
        parts: Parts,
        is_demo: bool,
        ops: &ops::Ops,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut roles = Self { office: None, billing: None, usage: None, planes: None };
        let (listener, connector) = pipe();
        if parts.keeps_rows() {
            let database = database::open(config, is_demo).await?;
            let mut usage = None;
            if parts.billing {
                let (billing, routes) = BillingRole::start(config, database.clone(), stop).await?;
                roles.billing = Some(billing);
                usage = Some(routes);
            }
            if parts.control {
                let carrier = if parts.planes {
                    Carrier::Pipe(listener)
                } else {
                    fleet::listen(config, stop).await?
                };
                let networks = config.networks(is_demo)?;
                let beside = usage.unwrap_or_default();
                let office = OfficeParts { networks, database, is_demo, carrier, beside };
                roles.office = Some(Office::start(config, office, ops, stop).await?);
            } else if let Some(usage) = usage {
                roles.take_usage(config, usage, stop).await?;
            }
        }
        if parts.planes {
            let calls = Calls::new(config, stop)?;
            let ways = match parts.control {
                true => connector.channel().into(),
                false => calls.to_control_plane()?,
            };
            roles.serve_clients(config, is_demo, (ways, &calls), stop)?;
        }
        if let Some(planes) = &roles.planes {
            planes.show(ops);
        }
        Ok(roles)
    }

    /// Listens for what data planes ship, where no control plane does.
    async fn take_usage(
        &mut self,
        config: &Config,
        usage: Routes,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let carrier = fleet::listen_for_usage(config, stop).await?;
        self.usage = carrier.address();
        let task = fleet::serve_routes(config, usage, carrier, stop);
        if let Some(billing) = &mut self.billing {
            billing.and("usage", task);
        }
        Ok(())
    }

    /// Starts the data plane, whose control plane is at the end of these ways.
    fn serve_clients(
        &mut self,
        config: &Config,
        is_demo: bool,
        (ways, calls): (Ways, &Calls<'_>),
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let secrets = match &self.office {
            Some(office) => CellSecrets::from(&office.secrets),
            None => CellSecrets::load(config)?,
        };
        // What is billed in the same process need not go anywhere.
        let topic = match self.billing {
            Some(_) => None,
            None => config.links.topic(&config.data_plane.cell),
        };
        let (networks, ships) = (config.networks(is_demo)?, topic.is_some());
        let mut planes = Planes::start(config, networks, &secrets, ways, topic, stop)?;
        match &mut self.billing {
            Some(billing) => billing.bill(planes.spool.clone()),
            None if ships => {}
            None => planes.ship_usage(config, calls.to_billing()?, stop),
        }
        self.planes = Some(planes);
        Ok(())
    }

    fn addresses(&self, ops: &ops::Ops, simulator: Option<&Simulator>) -> Addresses {
        Addresses {
            clients: self.planes.as_ref().map(|planes| planes.address),
            admin: self.office.as_ref().map(|office| office.admin),
            fleet: self.office.as_ref().and_then(|office| office.fleet),
            usage: self.usage,
            ops: ops.address,
            simulator: simulator.map(Simulator::addr),
        }
    }

    /// Waits until there is a configuration to serve by; next to its control plane, until it is what is configured now:
    /// clients may come with a key that was just made.
    async fn configured(&self) {
        let Some(planes) = &self.planes else { return };
        planes.configuration.loaded().await;
        if let Some(office) = &self.office {
            let publisher = office.control.publisher();
            publisher.applied_everywhere(publisher.head()).await;
        }
    }
}

fn announce(
    config: &Config,
    addresses: &Addresses,
    seeded: Option<&demo::Seeded>,
    office: Option<&Office>,
) -> anyhow::Result<()> {
    let shown = |address: Option<SocketAddr>| address.map(tracing::field::display);
    tracing::info!(
        clients = shown(addresses.clients),
        admin = shown(addresses.admin),
        fleet = shown(addresses.fleet),
        usage = shown(addresses.usage),
        ops = %addresses.ops,
        "ready"
    );
    if let (Some(seeded), Some(office)) = (seeded, office) {
        return demo::announce(config, addresses, seeded, &office.secrets);
    }
    let scheme = |tls: &FleetTls| if tls.files().is_some() { "https" } else { "http" };
    let (to_fleet, to_usage) =
        (scheme(&config.control_plane.fleet_tls), scheme(&config.billing.fleet_tls));
    let served = [
        ("serving clients on", addresses.clients, "http", "/v1"),
        ("serving operators on", addresses.admin, "http", ""),
        ("serving data planes on", addresses.fleet, to_fleet, ""),
        ("billing what is shipped to", addresses.usage, to_usage, ""),
    ];
    for (what, address, scheme, path) in served {
        if let Some(address) = address {
            output::note(&format!("{what} {scheme}://{address}{path}"));
        }
    }
    Ok(())
}
