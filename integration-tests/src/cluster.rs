//! `turnpike` as a cluster on one machine: control plane, billing and data plane as processes of their own, with a database
//! on a real Postgres. Each can die and come back alone; the simulator is one more process. Where they are is `footing`'s.

mod footing;
mod member;

pub use footing::Footing;
pub use member::{ClusterSize, Member, Role};

use crate::cli::{Cli, Output};
use crate::client::Client;
use crate::http::{Reply, Request};
use crate::metrics::Metrics;
use crate::org::{NewOrg, OrgHandle, create, knows};
use crate::patience::{PATIENCE, eventually};
use crate::process::{Exited, Process, command};
use crate::simulator::SimulatorProcess;
use footing::Places;
use rustix::process::Signal;
use serde_json::Value;
use servers::{Host, Postgres};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long any role may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// What operators authenticate with.
const TOKEN: &str = "the operator of the cluster";

/// Its processes, each running or not. Killed when dropped.
pub struct Cluster {
    // Before the folder that holds what they said.
    running: BTreeMap<Member, Process>,
    variables: Vec<(String, String)>,
    places: Places,
    simulator: SimulatorProcess,
    folder: TempDir,
}

impl Cluster {
    /// One of each role.
    pub async fn start() -> Self {
        Self::start_with(ClusterSize::SMALLEST).await
    }

    /// All of them on a database of their own, ready to serve, with the demo's plans, models and prices.
    pub async fn start_with(size: ClusterSize) -> Self {
        Self::start_set(size, &[]).await
    }

    /// The same with settings for all processes, by what their variables are called after `TURNPIKE__`.
    pub async fn start_set(size: ClusterSize, settings: &[(&str, &str)]) -> Self {
        let database = Postgres::shared().database();
        Self::start_on(Footing::Dealt, size, &database, settings).await
    }

    /// The same somewhere, over a database that is still empty.
    pub async fn start_on(
        footing: Footing<'_>,
        size: ClusterSize,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut cluster = Self::prepare_on(footing, size, database).await;
        let named =
            |(name, value): &(&str, &str)| (format!("TURNPIKE__{name}"), (*value).to_owned());
        cluster.variables.extend(settings.iter().map(named));
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
        Self::prepare_on(Footing::Dealt, size, database).await
    }

    async fn prepare_on(footing: Footing<'_>, size: ClusterSize, database: &str) -> Self {
        let folder = TempDir::with_prefix("turnpike-it-").unwrap();
        let members = size.members();
        for member in &members {
            fs::create_dir(folder.path().join(member.name())).unwrap();
        }
        let mut variables = secrets(folder.path());
        variables.push(("TURNPIKE__DATABASE__URL".to_owned(), database.to_owned()));
        let places = Places::new(footing, &members);
        let allowed = "TURNPIKE__EGRESS__ALLOWED_NETWORKS";
        variables.push((allowed.to_owned(), format!("[{}]", places.upstreams())));
        let simulator = SimulatorProcess::start_at(places.simulator()).await;
        Self { running: BTreeMap::new(), variables, places, simulator, folder }
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
        let address = &self.places.of(Member(Role::ControlPlane, number)).people;
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
        let address = &self.places.of(Member(Role::DataPlane, number)).people;
        Client::new(&format!("http://{address}/v1"))
    }

    /// `host:port` of each data plane, for clients.
    #[must_use]
    pub fn data_planes(&self) -> Vec<String> {
        self.places
            .count(Role::DataPlane)
            .map(|number| self.client_of(number).address().to_owned())
            .collect()
    }

    /// The simulator that serves its upstreams.
    #[must_use]
    pub const fn simulator(&self) -> &SimulatorProcess {
        &self.simulator
    }

    /// A customer of `global` on the plan `demo`, with money and a key that every data plane knows.
    pub async fn new_org(&self, name: &str, credit: &str) -> OrgHandle {
        let org = NewOrg { credit, ..NewOrg::named(name) };
        let org = create(&self.admin(), &self.client(), org).await;
        for number in self.places.count(Role::DataPlane) {
            knows(&self.client_of(number), &org.key).await;
        }
        org
    }

    /// A customer as it is described.
    pub async fn create_org(&self, org: NewOrg<'_>) -> OrgHandle {
        create(&self.admin(), &self.client(), org).await
    }

    /// Waits until a data plane knows a key.
    pub async fn knows(&self, number: usize, key: &str) {
        knows(&self.client_of(number), key).await;
    }

    /// Its database, as `servers` calls it.
    #[must_use]
    pub fn database(&self) -> &str {
        let is_url = |(name, _): &&(String, String)| name == "TURNPIKE__DATABASE__URL";
        &self.variables.iter().find(is_url).unwrap().1
    }

    /// All that a process kept is gone.
    pub fn lose_disk(&self, member: Member) {
        fs::remove_dir_all(self.folder_of(member).join("data")).unwrap();
    }

    /// `POST /v1/chat/completions`, the whole answer.
    pub async fn chat(&self, key: &str, body: Value) -> Reply {
        self.client().chat(key, body).await.unwrap()
    }

    /// What `/metrics` of a process shows.
    pub async fn metrics_of(&self, member: Member) -> Metrics {
        let ops = Client::new(&format!("http://{}", self.places.of(member).ops));
        Metrics::read(ops.try_send(&Request::get("/metrics")).await.unwrap().text())
    }

    /// Begins a life of a process; returns once it is ready.
    pub async fn start_member(&mut self, member: Member) {
        self.launch(member);
        let ops = Client::new(&format!("http://{}", self.places.of(member).ops));
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

    /// SIGTERM to all processes: first those that clients talk to, last those that the others need. Each must end well.
    pub async fn stop_all(&mut self) {
        for role in [Role::DataPlane, Role::Billing, Role::ControlPlane] {
            for number in self.places.count(role) {
                self.stop(Member(role, number)).await;
            }
        }
    }

    /// Sends a signal to a process.
    pub fn signal(&self, member: Member, signal: Signal) {
        self.running[&member].signal(signal);
    }

    /// The host of a process, where each has one of its own.
    #[must_use]
    pub fn host(&self, member: Member) -> &Host {
        self.places.host(member).unwrap()
    }

    fn launch(&mut self, member: Member) {
        let folder = self.folder_of(member);
        let data_dir = folder.join("data");
        let arguments = [member.0.command(), "--data-dir", data_dir.to_str().unwrap()];
        let mut variables = self.variables.clone();
        variables.extend(self.places.variables_of(member));
        self.running.insert(
            member,
            Process::spawn_on(self.places.host(member), &arguments, &variables, &folder),
        );
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
