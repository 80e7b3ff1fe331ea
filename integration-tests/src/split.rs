//! `turnpike` as two processes on one data directory: the control plane with billing, and a data plane; further data planes beside
//! them, if wanted. Each can die and come back alone; the simulator is one more.

use crate::cli::Cli;
use crate::client::Client;
use crate::demo_env::{self, DemoEnv};
use crate::gateway::redirect_upstreams;
use crate::http::{Reply, Request};
use crate::metrics::Metrics;
use crate::org::{NewOrg, OrgHandle, create};
use crate::patience::eventually;
use crate::plane::Plane;
use crate::process::Process;
use crate::simulator::SimulatorProcess;
use rustix::process::Signal;
use serde_json::Value;
use servers::free_port;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long the control plane may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// Two processes, each running or not. Killed when dropped.
pub struct SplitGateway {
    // Before the folder that holds what they said.
    office: Option<Process>,
    plane: Plane,
    face: DemoEnv,
    variables: Vec<(String, String)>,
    simulator: SimulatorProcess,
    folder: TempDir,
}

impl SplitGateway {
    /// Both, with these settings, ready to serve.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("turnpike-it-").unwrap();
        fs::create_dir(folder.path().join("office")).unwrap();
        let simulator = SimulatorProcess::start().await;
        let has_tls = settings.iter().any(|(name, _)| name.contains("DATA_PLANE__FLEET_TLS"));
        let mut variables = listeners(if has_tls { "https" } else { "http" });
        let named = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.extend(settings.iter().map(named));
        let office = spawn_office(&variables, folder.path());
        let data_dir = folder.path().join("data");
        let face = office_ready(&data_dir, None).await;
        let plane = Plane::new("local", folder.path(), data_dir, &variables);
        let mut split = Self { office: Some(office), plane, face, variables, simulator, folder };
        redirect_upstreams(&split.admin(), split.simulator.url()).await;
        split.start_plane().await;
        split
    }

    /// The data directory of both.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The command line, as the operator.
    #[must_use]
    pub fn admin(&self) -> Cli {
        Cli::new(self.face.get("TURNPIKE_ADMIN_ADDR"), self.face.get("TURNPIKE_ADMIN_TOKEN"))
    }

    /// A client of the data plane.
    #[must_use]
    pub fn client(&self) -> Client {
        self.plane.client()
    }

    /// The data plane.
    #[must_use]
    pub fn plane(&mut self) -> &mut Plane {
        &mut self.plane
    }

    /// One more data plane, not started yet, on a disk of its own.
    #[must_use]
    pub fn another_plane(&self, name: &str) -> Plane {
        let data_dir = self.folder.path().join(format!("data-of-{name}"));
        let mut plane = Plane::new(name, self.folder.path(), data_dir, &self.variables);
        for (setting, secret) in [("SEAL_KEY_FILE", "seal.key"), ("PEPPER_FILE", "pepper.key")] {
            let secret = self.data_dir().join(secret);
            let setting = format!("TURNPIKE__CONTROL_PLANE__{setting}");
            plane.set(&setting, secret.to_str().unwrap());
        }
        plane
    }

    /// The simulator that serves its upstreams.
    #[must_use]
    pub fn simulator(&self) -> &SimulatorProcess {
        &self.simulator
    }

    /// What the data plane said, in all its lives.
    #[must_use]
    pub fn plane_said(&self) -> String {
        self.plane.said()
    }

    /// A customer of `global` on the plan `demo`, with money and a key.
    pub async fn new_org(&self, name: &str, credit: &str) -> OrgHandle {
        create(&self.admin(), &self.client(), NewOrg { credit, ..NewOrg::named(name) }).await
    }

    /// `POST /v1/chat/completions`, the whole answer.
    pub async fn chat(&self, key: &str, body: Value) -> Reply {
        self.client().chat(key, body).await.unwrap()
    }

    /// What the data plane's ops listener answers.
    pub async fn plane_ops(&self, path: &str) -> Reply {
        self.plane.ops(path).await
    }

    /// What the control plane's ops listener answers.
    pub async fn office_ops(&self, path: &str) -> Reply {
        let ops = Client::new(self.face.get("TURNPIKE_OPS_ADDR"));
        ops.try_send(&Request::get(path)).await.unwrap()
    }

    /// What the data plane shows of itself.
    pub async fn plane_metrics(&self) -> Metrics {
        Metrics::read(self.plane_ops("/metrics").await.text())
    }

    /// What the control plane shows of itself.
    pub async fn office_metrics(&self) -> Metrics {
        Metrics::read(self.office_ops("/metrics").await.text())
    }

    /// Sends a signal to the data plane.
    pub fn signal_plane(&self, signal: Signal) {
        self.plane.signal(signal);
    }

    /// Begins another life of the control plane.
    pub async fn start_office(&mut self) {
        let before = demo_env::edition(&self.data_dir());
        self.office = Some(spawn_office(&self.variables, self.folder.path()));
        self.face = office_ready(&self.data_dir(), before).await;
    }

    /// Ends the control plane at once.
    pub async fn kill_office(&mut self) {
        self.office.take().unwrap().kill9().await;
    }

    /// SIGTERM to the control plane; it must end well and in time.
    pub async fn stop_office(&mut self) {
        let mut office = self.office.take().unwrap();
        office.signal(Signal::TERM);
        let exited = office.end(STOP).await;
        assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    }

    /// The lives of the data plane that begin from here on know of control planes at these addresses, too.
    pub fn name_control_planes(&mut self, others: &[&str]) {
        let fleet = format!("http://{}", self.variable("TURNPIKE__CONTROL_PLANE__FLEET_LISTEN"));
        let all: Vec<&str> = others.iter().copied().chain([fleet.as_str()]).collect();
        self.set("TURNPIKE__DATA_PLANE__CONTROL_PLANE_ADDR", "");
        self.set("TURNPIKE__DATA_PLANE__CONTROL_PLANE_ADDRS", &format!("{all:?}"));
    }

    /// Begins another life of the data plane; returns once it serves.
    pub async fn start_plane(&mut self) {
        self.plane.start().await;
    }

    /// The same without waiting for it to be ready.
    pub fn launch_plane(&mut self) {
        self.plane.launch();
    }

    /// Ends the data plane at once.
    pub async fn kill_plane(&mut self) {
        self.plane.kill().await;
    }

    /// SIGTERM to the data plane; it must end well and in time.
    pub async fn stop_plane(&mut self) {
        self.plane.stop().await;
    }

    /// Changes a setting of the lives that begin from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
        self.plane.set(name, value);
    }

    fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    }
}

/// Ports that stay the same from one life to the next.
fn listeners(fleet_scheme: &str) -> Vec<(String, String)> {
    let [fleet, simulator] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let any = "127.0.0.1:0".to_owned();
    let named = [
        ("TURNPIKE__CONTROL_PLANE__FLEET_LISTEN", fleet.clone()),
        ("TURNPIKE__DATA_PLANE__CONTROL_PLANE_ADDR", format!("{fleet_scheme}://{fleet}")),
        ("TURNPIKE__CONTROL_PLANE__ADMIN_LISTEN", any.clone()),
        ("TURNPIKE__CONTROL_PLANE__CONSOLE_LISTEN", any.clone()),
        ("TURNPIKE__OPS__LISTEN", any),
        // No balancer has to hear of a stop.
        ("TURNPIKE__DATA_PLANE__DRAIN__GRACE", "0 s".to_owned()),
        // Where the simulator is; a data plane apart from the demo has to be told.
        ("TURNPIKE__EGRESS__ALLOWED_NETWORKS", "[127.0.0.0/8]".to_owned()),
        // On another port than last time, the demo would lead its upstreams back to its own simulator.
        ("TURNPIKE__SIMULATOR__LISTEN", simulator),
    ];
    named.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn spawn_office(variables: &[(String, String)], folder: &Path) -> Process {
    let data_dir = folder.join("data");
    let data_dir = data_dir.to_str().unwrap();
    let arguments = ["up", "--demo", "--roles", "control-plane,billing", "--data-dir", data_dir];
    Process::spawn(&arguments, variables, &folder.join("office"))
}

async fn office_ready(data_dir: &Path, before: Option<demo_env::Edition>) -> DemoEnv {
    eventually("the control plane is ready", async || {
        let is_new = demo_env::edition(data_dir) != before;
        let face = is_new.then(|| DemoEnv::read(data_dir))?;
        let ops = Client::new(face.get("TURNPIKE_OPS_ADDR"));
        let ready = ops.try_send(&Request::get("/readyz")).await;
        ready.is_ok_and(|reply| reply.status == 200).then_some(face)
    })
    .await
}
