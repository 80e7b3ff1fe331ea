//! `turnpike` as a cluster on one machine: control plane, billing and data plane as processes of their own, with a database
//! on a real Postgres. Each can die and come back alone; the simulator is one more process.

use crate::cli::{Cli, Output};
use crate::client::Client;
use crate::http::{Reply, Request};
use crate::metrics::Metrics;
use crate::org::{NewOrg, OrgHandle, create};
use crate::patience::{PATIENCE, eventually};
use crate::process::{Exited, Process, command};
use crate::simulator::SimulatorProcess;
use rustix::process::Signal;
use serde_json::Value;
use servers::Postgres;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long any role may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// What operators authenticate with.
const TOKEN: &str = "the operator of the cluster";

/// What a process of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Operators' side.
    ControlPlane,
    /// The ledger.
    Billing,
    /// Clients' side.
    DataPlane,
}

/// A process of the cluster: the so-manieth of its role, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub Role, pub usize);

/// How many there are of each role.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSize {
    /// Operators' side.
    pub control_planes: usize,
    /// The ledger.
    pub billing: usize,
    /// Clients' side.
    pub data_planes: usize,
}

impl Role {
    /// The command that runs it.
    const fn command(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Billing => "billing",
            Self::DataPlane => "data-plane",
        }
    }
}

impl Member {
    /// The first control plane.
    pub const CONTROL_PLANE: Self = Self(Role::ControlPlane, 0);
    /// The first billing.
    pub const BILLING: Self = Self(Role::Billing, 0);
    /// The first data plane.
    pub const DATA_PLANE: Self = Self(Role::DataPlane, 0);

    fn name(self) -> String {
        format!("{}-{}", self.0.command(), self.1)
    }
}

impl ClusterSize {
    /// One of each.
    pub const SMALLEST: Self = Self { control_planes: 1, billing: 1, data_planes: 1 };

    /// All processes, in the order in which they are started.
    fn members(self) -> Vec<Member> {
        let several = |role, count| (0..count).map(move |number| Member(role, number));
        several(Role::ControlPlane, self.control_planes)
            .chain(several(Role::Billing, self.billing))
            .chain(several(Role::DataPlane, self.data_planes))
            .collect()
    }
}

/// Its processes, each running or not. Killed when dropped.
pub struct Cluster {
    // Before the folder that holds what they said.
    running: BTreeMap<Member, Process>,
    variables: Vec<(String, String)>,
    addresses: BTreeMap<Member, Addresses>,
    simulator: SimulatorProcess,
    folder: TempDir,
}

/// Where a process listens, from one life to the next.
#[derive(Clone, Debug)]
struct Addresses {
    /// For clients, or operators.
    people: String,
    /// For data planes.
    fleet: String,
    ops: String,
}

impl Cluster {
    /// One of each role.
    pub async fn start() -> Self {
        Self::start_with(ClusterSize::SMALLEST).await
    }

    /// All of them on a database of their own, ready to serve, with the demo's plans, models and prices.
    pub async fn start_with(size: ClusterSize) -> Self {
        Self::start_as(size, &[]).await
    }

    /// The same, with more variables for every process.
    pub async fn start_as(size: ClusterSize, variables: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(size, &Postgres::shared().database()).await;
        let named = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        cluster.variables.extend(named);
        let migrated = cluster.migrate(&[]).await;
        assert_eq!(migrated.status, 0, "{}", migrated.stderr);
        for member in size.members() {
            if member == Member::DATA_PLANE {
                cluster.seed().await;
            }
            cluster.start_member(member).await;
        }
        cluster
    }

    /// None of them, over a database that has no schema yet.
    pub async fn prepare(size: ClusterSize, database: &str) -> Self {
        let folder = TempDir::with_prefix("turnpike-it-").unwrap();
        let members = size.members();
        for member in &members {
            fs::create_dir(folder.path().join(member.name())).unwrap();
        }
        let mut variables = secrets(folder.path());
        variables.push(("TURNPIKE__DATABASE__URL".to_owned(), database.to_owned()));
        // Where the simulator is.
        let allowed = "TURNPIKE__EGRESS__ALLOWED_NETWORKS";
        variables.push((allowed.to_owned(), "[127.0.0.0/8]".to_owned()));
        let simulator = SimulatorProcess::start().await;
        let addresses = addresses(&members);
        Self { running: BTreeMap::new(), variables, addresses, simulator, folder }
    }

    /// `turnpike migrate`.
    pub async fn migrate(&self, arguments: &[&str]) -> Output {
        let folder = self.folder_of(Member::CONTROL_PLANE);
        let ran = command()
            .args(["migrate", "--data-dir", folder.to_str().unwrap()])
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .await
            .unwrap();
        Output {
            status: ran.status.code().unwrap(),
            stdout: String::from_utf8(ran.stdout).unwrap(),
            stderr: String::from_utf8(ran.stderr).unwrap(),
        }
    }

    /// The command line, as the operator.
    #[must_use]
    pub fn admin(&self) -> Cli {
        self.admin_of(0)
    }

    /// The same, at one of several control planes.
    #[must_use]
    pub fn admin_of(&self, number: usize) -> Cli {
        let address = &self.addresses[&Member(Role::ControlPlane, number)].people;
        Cli::new(&format!("http://{address}"), TOKEN)
    }

    /// A client of the data plane.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// The same, at one of several data planes.
    #[must_use]
    pub fn client_of(&self, number: usize) -> Client {
        let address = &self.addresses[&Member(Role::DataPlane, number)].people;
        Client::new(&format!("http://{address}/v1"))
    }

    /// The simulator that serves its upstreams.
    #[must_use]
    pub const fn simulator(&self) -> &SimulatorProcess {
        &self.simulator
    }

    /// A customer of `global` on the plan `demo`, with money and a key.
    pub async fn new_org(&self, name: &str, credit: &str) -> OrgHandle {
        create(&self.admin(), &self.client(), NewOrg { credit, ..NewOrg::named(name) }).await
    }

    /// `POST /v1/chat/completions`, the whole answer.
    pub async fn chat(&self, key: &str, body: Value) -> Reply {
        self.client().chat(key, body).await.unwrap()
    }

    /// Begins a life of a process; returns once it is ready.
    pub async fn start_member(&mut self, member: Member) {
        self.launch(member);
        let ops = Client::new(&format!("http://{}", self.addresses[&member].ops));
        eventually(&format!("{} is ready", member.name()), async || {
            let ready = ops.try_send(&Request::get("/readyz")).await;
            ready.is_ok_and(|reply| reply.status == 200).then_some(())
        })
        .await;
    }

    /// Begins a life of a process that cannot come to much; returns how it ended.
    pub async fn start_in_vain(&mut self, member: Member) -> Exited {
        self.launch(member);
        self.running.remove(&member).unwrap().end(PATIENCE).await
    }

    /// Ends a process at once.
    pub async fn kill(&mut self, member: Member) {
        self.running.remove(&member).unwrap().kill9().await;
    }

    /// SIGTERM to a process; it must end well and in time.
    pub async fn stop(&mut self, member: Member) {
        let mut process = self.running.remove(&member).unwrap();
        process.signal(Signal::TERM);
        let exited = process.end(STOP).await;
        assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    }

    /// Sends a signal to a process.
    pub fn signal(&self, member: Member, signal: Signal) {
        self.running[&member].signal(signal);
    }

    /// What a process shows of itself.
    pub async fn metrics_of(&self, member: Member) -> Metrics {
        let ops = Client::new(&format!("http://{}", self.addresses[&member].ops));
        Metrics::read(ops.try_send(&Request::get("/metrics")).await.unwrap().text())
    }

    fn launch(&mut self, member: Member) {
        let folder = self.folder_of(member);
        let data_dir = folder.join("data");
        let arguments = [member.0.command(), "--data-dir", data_dir.to_str().unwrap()];
        let mut variables = self.variables.clone();
        variables.extend(self.variables_of(member));
        self.running.insert(member, Process::spawn(&arguments, &variables, &folder));
    }

    /// Where it listens, and where others do.
    fn variables_of(&self, member: Member) -> Vec<(String, String)> {
        let own = &self.addresses[&member];
        let fleet = |member| format!("http://{}", self.addresses[&member].fleet);
        let mut named = vec![("OPS__LISTEN", own.ops.clone())];
        named.extend(match member.0 {
            Role::ControlPlane => vec![
                ("CONTROL_PLANE__ADMIN_LISTEN", own.people.clone()),
                ("CONTROL_PLANE__FLEET_LISTEN", own.fleet.clone()),
            ],
            Role::Billing => vec![("BILLING__FLEET_LISTEN", own.fleet.clone())],
            Role::DataPlane => vec![
                ("DATA_PLANE__NAME", member.name()),
                ("DATA_PLANE__LISTEN", own.people.clone()),
                ("DATA_PLANE__CONTROL_PLANE_ADDR", fleet(Member::CONTROL_PLANE)),
                ("DATA_PLANE__BILLING_ADDR", fleet(Member::BILLING)),
            ],
        });
        named.into_iter().map(|(name, value)| (format!("TURNPIKE__{name}"), value)).collect()
    }

    fn folder_of(&self, member: Member) -> PathBuf {
        self.folder.path().join(member.name())
    }

    /// What the demo is about, without its org: each test makes its own.
    async fn seed(&self) {
        let admin = self.admin();
        let demo = crate::binary::workspace().join("turnpike/demo");
        let mut objects = String::new();
        for name in ["entities", "upstreams", "models", "prices", "plans"] {
            let text = fs::read_to_string(demo.join(format!("{name}.yaml"))).unwrap();
            objects.push_str(&text.replace("${SIMULATOR}", self.simulator.url()));
            objects.push_str("\n---\n");
        }
        let applied = admin.run_with(&["apply", "-f", "-"], &objects).await;
        assert_eq!(applied.status, 0, "{}", applied.stderr);
    }
}

/// Ports that were free at once.
fn addresses(members: &[Member]) -> BTreeMap<Member, Addresses> {
    let listeners = members.iter().map(|_| [(); 3].map(|()| TcpListener::bind("127.0.0.1:0")));
    let listeners: Vec<_> = listeners.collect();
    let addresses = listeners.iter().map(|three| {
        let [people, fleet, ops] = three
            .each_ref()
            .map(|listener| listener.as_ref().unwrap().local_addr().unwrap().to_string());
        Addresses { people, fleet, ops }
    });
    members.iter().copied().zip(addresses).collect()
}

/// What every replica has the same of.
fn secrets(folder: &Path) -> Vec<(String, String)> {
    let named = [
        ("OPERATOR_TOKEN", TOKEN.to_owned()),
        ("SEAL_KEY", "5e".repeat(32)),
        ("PEPPER", "9a".repeat(32)),
    ];
    let write = |(name, text): (&str, String)| {
        let file = folder.join(name.to_lowercase());
        fs::write(&file, text).unwrap();
        let variable = format!("TURNPIKE__CONTROL_PLANE__{name}_FILE");
        (variable, file.to_str().unwrap().to_owned())
    };
    named.map(write).to_vec()
}
