//! What a whole cluster is put through while clients use it: a part of it dies, stands still for a while, or is cut off from all
//! others. A poller looks at all money meanwhile; afterwards the books must be exact.

use crate::auditor::{Attempts, Books};
use crate::cluster::{Cluster, ClusterSize, Footing, Member};
use crate::load::{Load, Told};
use crate::patience::PATIENCE;
use crate::poller::Poller;
use rustix::process::Signal;
use servers::{Etcd, Host, Network, Postgres};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

/// Clients at work, and how many of their requests are waited for before something happens, and after it.
const CLIENTS: usize = 12;
const SERVED: usize = 60;
const CREDIT: &str = "1000.00 USD";
/// How often somebody looks at the money afterwards, until which all goes on.
const LOOKS: u64 = 100;
/// How often data planes measure what their clients use, and how long that is watched until their slices cover it: whoever has no
/// money at hand is not spared.
const MEASURED: &str = "1 s";
const LEARNT: Duration = Duration::from_secs(5);
/// How often it is looked whether all is in the books.
const LOOK: Duration = Duration::from_millis(100);

const SIZE: ClusterSize = ClusterSize { control_planes: 2, billing: 2, data_planes: 3 };

/// What it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One of two.
    ControlPlane,
    /// One of two.
    Billing,
    /// One of three.
    DataPlane,
    /// The only one.
    Postgres,
    /// The only one.
    Etcd,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; it is started again after the while.
    Kill,
    /// It stands still for the while, and goes on.
    Stop,
    /// Its network is cut for the while.
    Cut,
}

/// What it is: a process of the cluster, or a server.
enum Part {
    Member(Member),
    Postgres,
    Etcd,
}

/// How long the part is away.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// What it happens to.
    pub target: Target,
    /// What happens.
    pub fault: Fault,
    /// How long.
    pub lasting: Duration,
}

/// How it went, and all of it was found to be right.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What clients were told.
    pub told: Told,
    /// Requests in the books.
    pub records: usize,
    /// How often somebody looked at all accounts.
    pub looks: u64,
}

/// A cluster under load.
pub struct Ordeal {
    load: Load,
    poller: Poller,
    cluster: Cluster,
    postgres: Postgres,
    etcd: Etcd,
    database: String,
}

impl Target {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::ControlPlane, Self::Postgres, Self::Etcd, Self::DataPlane, Self::Billing];

    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Billing => "billing",
            Self::DataPlane => "data-plane",
            Self::Postgres => "postgres",
            Self::Etcd => "etcd",
        }
    }

    const fn part(self) -> Part {
        match self {
            Self::ControlPlane => Part::Member(Member::CONTROL_PLANE),
            Self::Billing => Part::Member(Member::BILLING),
            Self::DataPlane => Part::Member(Member::DATA_PLANE),
            Self::Postgres => Part::Postgres,
            Self::Etcd => Part::Etcd,
        }
    }
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Stop, Self::Cut];

    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Cut => "cut",
        }
    }
}

impl Ordeal {
    /// Everything runs, and clients are served by all data planes.
    async fn begin() -> Self {
        let network = block_in_place(Network::start);
        let postgres = block_in_place(|| Postgres::start_on(network.host()));
        let etcd = block_in_place(|| Etcd::start_on(network.host()));
        let database = postgres.database();
        let settings = [
            ("COORDINATION__ETCD__ENDPOINTS", &*format!("[{}]", etcd.url())),
            ("DATA_PLANE__MONEY__REPORT_EVERY", MEASURED),
        ];
        let apart = Footing::Apart(&network);
        let cluster = Cluster::start_on(apart, SIZE, &database, &settings).await;
        let org = cluster.new_org("tried", CREDIT).await;
        let poller = Poller::start(&database);
        let mut load = Load::start(&cluster.data_planes(), &org.key, CLIENTS);
        load.serves(SERVED).await;
        sleep(LEARNT).await;
        Self { load, poller, cluster, postgres, etcd, database }
    }

    /// From the beginning to the end: panics if anything is not as it has to be.
    pub async fn of(trial: Trial) -> Outcome {
        let mut ordeal = Self::begin().await;
        ordeal.suffer(trial).await;
        let outcome = ordeal.end().await;
        nobody_noticed(&outcome.told, trial);
        outcome
    }

    /// Lets it happen, and waits until clients have been served for some time afterwards.
    async fn suffer(&mut self, Trial { target, fault, lasting }: Trial) {
        match fault {
            Fault::Kill => {
                self.kill(target).await;
                sleep(lasting).await;
                self.start_again(target).await;
            }
            Fault::Stop => {
                self.signal(target, Signal::STOP);
                sleep(lasting).await;
                self.signal(target, Signal::CONT);
            }
            Fault::Cut => {
                self.host(target).cut();
                sleep(lasting).await;
                self.host(target).mend();
            }
        }
        self.load.serves(SERVED).await;
        self.poller.looks(LOOKS).await;
    }

    async fn kill(&mut self, target: Target) {
        match target.part() {
            Part::Member(member) => self.cluster.kill(member).await,
            Part::Postgres => block_in_place(|| self.postgres.kill()),
            Part::Etcd => block_in_place(|| self.etcd.kill()),
        }
    }

    async fn start_again(&mut self, target: Target) {
        match target.part() {
            Part::Member(member) => self.cluster.start_member(member).await,
            Part::Postgres => block_in_place(|| self.postgres.run()),
            Part::Etcd => block_in_place(|| self.etcd.run()),
        }
    }

    fn signal(&self, target: Target, signal: Signal) {
        match target.part() {
            Part::Member(member) => self.cluster.signal(member, signal),
            Part::Postgres => self.postgres.server().signal(signal),
            Part::Etcd => self.etcd.server().signal(signal),
        }
    }

    fn host(&self, target: Target) -> &Host {
        match target.part() {
            Part::Member(member) => self.cluster.host(member),
            Part::Postgres => self.postgres.host(),
            Part::Etcd => self.etcd.host(),
        }
    }

    /// Lets clients go, and looks into the books: every request that was served is there once, and all adds up.
    async fn end(self) -> Outcome {
        // The servers go last: what needs them ends first.
        let Self { load, poller, cluster, postgres: _postgres, etcd: _etcd, database } = self;
        let told = load.end().await;
        let looks = poller.end().await;
        let admin = cluster.admin();
        let (books, attempts) = books(&cluster, &database).await;
        books.audit(&attempts);
        let completed = books.completed();
        let served: BTreeSet<&str> = told.served.iter().map(|id| &**id).collect();
        assert!(served.is_subset(&completed), "a served request is not in the books as such");
        let records = books.records();
        admin.reconciled_with(u64::try_from(records).unwrap()).await;
        admin.audited().await;
        Outcome { told, records, looks }
    }
}

/// The books, once every request is in them. Panics when one never is.
pub(crate) async fn books(cluster: &Cluster, database: &str) -> (Books, Attempts) {
    let until = Instant::now() + PATIENCE;
    loop {
        let attempts = Attempts::of(cluster.simulator().log_lines());
        let books = Books::read(database).await;
        let missing = books.missing(&attempts);
        if missing.is_empty() {
            return (books, attempts);
        }
        assert!(Instant::now() < until, "{} are not in the books: {missing:?}", missing.len());
        sleep(LOOK).await;
    }
}

/// Of those whose money is at hand, no request is lost but what ran on a data plane that was killed.
fn nobody_noticed(told: &Told, trial: Trial) {
    let most =
        if (trial.target, trial.fault) == (Target::DataPlane, Fault::Kill) { CLIENTS } else { 0 };
    assert!(told.cut.len() <= most, "{:?}", told.cut);
    assert!(told.refused.is_empty(), "{:?}", told.refused);
    assert!(told.sent_away.is_empty(), "{:?}", told.sent_away);
}
