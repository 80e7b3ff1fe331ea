//! `turnpike up`: all roles in one process, or the data plane apart from the others: the same code, on other carriers.
//!
//! Data planes serve clients on threads of their own; control plane and billing share a runtime, so that they never steal
//! from the path. What each role does is its own crate's business.

mod core_dumps;
mod data_dir;
mod demo;
mod fleet;
mod office;
mod ops;
mod planes;
mod telemetry;

use crate::cli::{Role, UpOptions};
use crate::config::{CellSecrets, Config, Secrets};
use crate::output;
use anyhow::bail;
use data_dir::DataDir;
use domain::network::Networks;
use fleet::Carrier;
use links::pipe::pipe;
use office::Office;
use planes::Planes;
use simulator::Simulator;
use std::net::SocketAddr;
use std::time::Duration;
use telemetry::Telemetry;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// Which part of the whole a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// Control plane and billing, for data planes of other processes.
    Office,
    /// A data plane, whose control plane is another process.
    Planes,
}

impl Part {
    fn of(options: &UpOptions) -> anyhow::Result<Self> {
        let part = match options.roles.as_slice() {
            [Role::ControlPlane, Role::DataPlane, Role::Billing] => Self::Whole,
            [Role::ControlPlane, Role::Billing] => Self::Office,
            [Role::DataPlane] => Self::Planes,
            _ => bail!(
                "these roles cannot share a process without the others yet: use --roles control-plane,billing and, in \
                 another process, --roles data-plane; or leave --roles out"
            ),
        };
        if options.demo && part == Self::Planes {
            bail!("--demo seeds a control plane, which is in another process: give it there");
        }
        Ok(part)
    }

    /// What no other process may be on the same data directory.
    const fn locks(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &["control-plane", "data-plane"],
            Self::Office => &["control-plane"],
            Self::Planes => &["data-plane"],
        }
    }
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(config: Config, options: UpOptions) -> anyhow::Result<()> {
    let part = Part::of(&options)?;
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
    let data_dir = DataDir::take(&config.data_dir, part.locks())?;
    let served = runtime.block_on(serve(&config, part, options.demo));
    telemetry.end(LAST_SPANS);
    runtime.shutdown_timeout(Duration::from_millis(500));
    drop(data_dir);
    served
}

/// Where everything listens, with real ports.
pub(crate) struct Addresses {
    pub(crate) clients: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    /// Only when data planes are in other processes.
    pub(crate) fleet: Option<SocketAddr>,
    pub(crate) ops: SocketAddr,
    pub(crate) simulator: Option<SocketAddr>,
}

async fn serve(config: &Config, part: Part, is_demo: bool) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let ops = ops::Ops::start(config.ops.listen, stop.clone()).await?;
    let networks = config.networks(is_demo)?;
    let roles = Roles::start(config, networks, part, &ops, &stop).await?;
    let simulator = if is_demo { Some(demo::start_simulator(config).await?) } else { None };
    let addresses = roles.addresses(&ops, simulator.as_ref());
    let seeded = match (&roles.office, addresses.simulator) {
        (Some(office), Some(address)) => {
            Some(demo::seed(config, &office.office.control, address).await?)
        }
        _ => None,
    };
    ops.waiting_for("the data plane has no configuration yet: the control plane has not sent it");
    let stopped = tokio::select! {
        () = roles.configured() => false,
        () = signals.stop() => true,
    };
    if !stopped {
        announce(config, &addresses, seeded.as_ref(), roles.office.as_ref())?;
        ops.ready();
        signals.stop().await;
    }
    ops.stopping();
    output::note("stopping: running requests may end, new ones are refused");
    roles.end(&stop).await;
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
    office: Option<StaffedOffice>,
    planes: Option<Planes>,
}

/// The control plane with what it was started with.
struct StaffedOffice {
    office: Office,
    secrets: Secrets,
    fleet: Option<SocketAddr>,
}

impl Roles {
    async fn start(
        config: &Config,
        networks: Networks,
        part: Part,
        ops: &ops::Ops,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        match part {
            Part::Whole => {
                let (listener, connector) = pipe();
                let carrier = Carrier::Pipe(listener);
                let carrier = (None, carrier);
                let mut office =
                    StaffedOffice::start(config, networks.clone(), carrier, ops, stop).await?;
                let secrets = CellSecrets::from(&office.secrets);
                let planes = Planes::start(config, networks, &secrets, connector.channel(), stop)?;
                planes.show(ops);
                office.office.bill(planes.spool.clone());
                Ok(Self { office: Some(office), planes: Some(planes) })
            }
            Part::Office => {
                let (address, carrier) = fleet::listen(config).await?;
                let carrier = (Some(address), carrier);
                let office = StaffedOffice::start(config, networks, carrier, ops, stop).await?;
                Ok(Self { office: Some(office), planes: None })
            }
            Part::Planes => {
                let channel = fleet::channel(config)?;
                let secrets = CellSecrets::load(config)?;
                let planes = Planes::start(config, networks, &secrets, channel.clone(), stop)?;
                planes.show(ops);
                planes.ship_usage(config, channel, stop);
                Ok(Self { office: None, planes: Some(planes) })
            }
        }
    }

    fn addresses(&self, ops: &ops::Ops, simulator: Option<&Simulator>) -> Addresses {
        Addresses {
            clients: self.planes.as_ref().map(|planes| planes.address),
            admin: self.office.as_ref().map(|staffed| staffed.office.admin),
            fleet: self.office.as_ref().and_then(|staffed| staffed.fleet),
            ops: ops.address,
            simulator: simulator.map(Simulator::addr),
        }
    }

    /// Waits until there is a configuration to serve by; next to its control plane, until it is what is configured now:
    /// clients may come with a key that was just made.
    async fn configured(&self) {
        let Some(planes) = &self.planes else { return };
        planes.configuration.loaded().await;
        if let Some(staffed) = &self.office {
            let publisher = staffed.office.control.publisher();
            publisher.applied_everywhere(publisher.head()).await;
        }
    }

    /// Lets running requests end, then everything else.
    async fn end(self, stop: &CancellationToken) {
        if let Some(staffed) = &self.office {
            staffed.office.stop_serving().await;
        }
        if let Some(planes) = &self.planes {
            planes.drain(DRAIN, LAST_WORDS).await;
        }
        stop.cancel();
        if let Some(staffed) = self.office {
            staffed.office.end().await;
        }
        if let Some(planes) = self.planes {
            planes.close(LAST_WORDS).await;
        }
    }
}

impl StaffedOffice {
    async fn start(
        config: &Config,
        networks: Networks,
        (fleet, carrier): (Option<SocketAddr>, Carrier),
        ops: &ops::Ops,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let secrets = Secrets::load(config)?;
        let office = Office::start(config, networks, &secrets, carrier, ops, stop).await?;
        Ok(Self { office, secrets, fleet })
    }
}

fn announce(
    config: &Config,
    addresses: &Addresses,
    seeded: Option<&demo::Seeded>,
    office: Option<&StaffedOffice>,
) -> anyhow::Result<()> {
    let shown = |address: Option<SocketAddr>| address.map(tracing::field::display);
    tracing::info!(
        clients = shown(addresses.clients),
        admin = shown(addresses.admin),
        fleet = shown(addresses.fleet),
        ops = %addresses.ops,
        "ready"
    );
    if let (Some(seeded), Some(office)) = (seeded, office) {
        return demo::announce(config, addresses, seeded, &office.secrets);
    }
    match (addresses.clients, addresses.fleet) {
        (Some(clients), _) => output::note(&format!("serving clients on http://{clients}/v1")),
        (None, Some(fleet)) => output::note(&format!("serving data planes on http://{fleet}")),
        (None, None) => {}
    }
    Ok(())
}

/// Waits for a task that was told to stop; one that does not listen is left behind.
async fn end(what: &str, task: JoinHandle<()>) {
    match tokio::time::timeout(LAST_WORDS, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, what, "a task failed"),
        Err(_) => tracing::warn!(what, "a task did not stop in time"),
    }
}
