//! How a gateway is to be started: settings, data directory, which simulator.

use crate::client::Client;
use crate::demo_env::{self, DemoEnv, Edition};
use crate::gateway::Gateway;
use crate::http::Request;
use crate::patience::{PATIENCE, eventually};
use crate::process::{Exited, Process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const LISTENERS: [&str; 6] = [
    "DATA_PLANE__LISTEN",
    "CONTROL_PLANE__ADMIN_LISTEN",
    "CONTROL_PLANE__FLEET_LISTEN",
    "CONTROL_PLANE__CONSOLE_LISTEN",
    "OPS__LISTEN",
    "SIMULATOR__LISTEN",
];

/// How a gateway is to be started.
#[derive(Clone, Debug)]
pub struct GatewayBuilder {
    variables: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    external_simulator: Option<String>,
}

/// What stays the same from one life of a gateway to the next.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) data_dir: PathBuf,
    pub(crate) external_simulator: Option<String>,
    variables: Vec<(String, String)>,
    /// Output of the process, and the data directory unless one was given.
    folder: Arc<TempDir>,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        let any_port = |name: &&str| (format!("TURNPIKE__{name}"), "127.0.0.1:0".to_owned());
        // How long a busy machine takes for a grant decides no test.
        let patient = ("TURNPIKE__DATA_PLANE__MONEY__WAIT_MAX".to_owned(), "20 s".to_owned());
        Self {
            variables: LISTENERS.iter().map(any_port).chain([patient]).collect(),
            data_dir: None,
            external_simulator: None,
        }
    }
}

impl GatewayBuilder {
    /// Sets a variable of its environment, for instance `TURNPIKE__DATA_PLANE__CORES`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Uses this data directory instead of one of its own.
    #[must_use]
    pub fn data_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.data_dir = Some(path.as_ref().to_owned());
        self
    }

    /// Points the demo's upstreams at a simulator elsewhere, `http://host:port`.
    #[must_use]
    pub fn external_simulator(mut self, url: &str) -> Self {
        self.external_simulator = Some(url.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let setup = self.setup();
        match setup.launch().await {
            Ok((process, face)) => Gateway::new(setup, process, face).await,
            Err(exited) => panic!("turnpike up ended instead of getting ready: {exited:?}"),
        }
    }

    /// Starts what cannot start, and returns how it ended.
    pub async fn fails(self) -> Exited {
        match self.setup().launch().await {
            Ok(_) => panic!("turnpike up is ready; it should have refused to start"),
            Err(exited) => exited,
        }
    }

    fn setup(self) -> Setup {
        let folder = TempDir::with_prefix("turnpike-it-").unwrap();
        let data_dir = self.data_dir.unwrap_or_else(|| folder.path().join("data"));
        let Self { variables, external_simulator, .. } = self;
        Setup { data_dir, external_simulator, variables, folder: Arc::new(folder) }
    }
}

impl Setup {
    pub(crate) fn spawn(&self) -> Process {
        let data_dir = self.data_dir.to_str().unwrap();
        let arguments = ["up", "--demo", "--data-dir", data_dir];
        Process::spawn(&arguments, &self.variables, self.folder.path())
    }

    pub(crate) fn spawn_without_demo(&self) -> Process {
        let arguments = ["up", "--data-dir", self.data_dir.to_str().unwrap()];
        Process::spawn(&arguments, &self.variables, self.folder.path())
    }

    /// One life: a process that is ready, or how it ended before it was.
    pub(crate) async fn launch(&self) -> Result<(Process, DemoEnv), Exited> {
        let before = demo_env::edition(&self.data_dir);
        let mut process = self.spawn();
        let face = self.ready(&mut process, before).await?;
        Ok((process, face))
    }

    /// What a process tells of itself once it is ready, or how it ended before it was.
    pub(crate) async fn ready(
        &self,
        process: &mut Process,
        before: Option<Edition>,
    ) -> Result<DemoEnv, Exited> {
        let face = eventually("turnpike up is ready", async || {
            if let Some(exited) = process.has_ended() {
                return Some(Err(exited));
            }
            let is_new = demo_env::edition(&self.data_dir) != before;
            let face = is_new.then(|| DemoEnv::read(&self.data_dir))?;
            is_ready(face.get("TURNPIKE_OPS_ADDR")).await.then_some(Ok(face))
        });
        let face = tokio::time::timeout(PATIENCE, face).await;
        face.unwrap_or_else(|_| panic!("not ready; it said:\n{}", process.stderr()))
    }
}

async fn is_ready(ops: &str) -> bool {
    let asked = Client::new(ops).try_send(&Request::get("/readyz")).await;
    asked.is_ok_and(|reply| reply.status == 200)
}
