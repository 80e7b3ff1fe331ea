//! A data plane in a process of its own, whose control plane is in another one: it can die or be stopped, and comes back where it was.

use crate::client::Client;
use crate::http::{Reply, Request};
use crate::org;
use crate::patience::eventually;
use crate::process::{Exited, Process};
use rustix::process::Signal;
use servers::free_port;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A data plane with nobody to wait for has ended by then.
const STOP: Duration = Duration::from_secs(10);

/// One data plane, running or not. Killed when dropped.
pub struct Plane {
    process: Option<Process>,
    clients: String,
    ops: String,
    variables: Vec<(String, String)>,
    data_dir: PathBuf,
    logs: PathBuf,
}

impl Plane {
    /// On free ports, not started yet; what it says goes into a folder of its name.
    pub(crate) fn new(
        name: &str,
        folder: &Path,
        data_dir: PathBuf,
        variables: &[(String, String)],
    ) -> Self {
        let [clients, ops] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let logs = folder.join(name);
        fs::create_dir(&logs).unwrap();
        let own = [
            ("TURNPIKE__DATA_PLANE__NAME", name),
            ("TURNPIKE__DATA_PLANE__LISTEN", &clients),
            ("TURNPIKE__OPS__LISTEN", &ops),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = variables.iter().cloned().chain(own).collect();
        let [clients, ops] = [clients, ops].map(|address| format!("http://{address}"));
        Self { process: None, clients, ops, variables, data_dir, logs }
    }

    /// `http://host:port`, for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.clients
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.clients)
    }

    /// What its ops listener answers; `None` if nobody does.
    pub async fn try_ops(&self, path: &str) -> Option<Reply> {
        Client::new(&self.ops).try_send(&Request::get(path)).await.ok()
    }

    /// What its ops listener answers.
    pub async fn ops(&self, path: &str) -> Reply {
        self.try_ops(path).await.unwrap()
    }

    /// Waits until it says that it is ready, or no more.
    pub async fn is_ready(&self, ready: bool) {
        let status = if ready { 200 } else { 503 };
        eventually("the data plane is ready, or no more", async || {
            self.try_ops("/readyz").await.filter(|reply| reply.status == status)
        })
        .await;
    }

    /// Waits until it knows a key.
    pub async fn knows(&self, key: &str) {
        org::knows(&self.client(), key).await;
    }

    /// What it said, in all its lives.
    #[must_use]
    pub fn said(&self) -> String {
        let said = fs::read(self.logs.join("stderr.log")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Changes a setting of the lives that begin from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Begins another life; returns once it serves.
    pub async fn start(&mut self) {
        self.launch();
        self.is_ready(true).await;
    }

    /// The same without waiting for it to be ready.
    pub fn launch(&mut self) {
        let data_dir = self.data_dir.to_str().unwrap();
        let arguments = ["up", "--roles", "data-plane", "--data-dir", data_dir];
        self.process = Some(Process::spawn(&arguments, &self.variables, &self.logs));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Waits for its end.
    pub async fn ended_within(&mut self, within: Duration) -> Exited {
        self.process.take().unwrap().end(within).await
    }

    /// SIGTERM; it must end well and in time.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let exited = self.ended_within(STOP).await;
        assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        self.process.take().unwrap().kill9().await;
    }
}
