//! A running `turnpike up --demo` on free ports, its lives and its ends.

use crate::builder::{GatewayBuilder, Setup};
use crate::cli::Cli;
use crate::client::Client;
use crate::demo_env::{self, DemoEnv};
use crate::events::EventStream;
use crate::http::{Reply, Request};
use crate::patience::eventually;
use crate::process::{Exited, Process};
use crate::simulator::SimulatorClient;
use crate::strace::Tripwire;
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// DESIGN part 4: `up` drains and exits 0 within this time.
const STOP: Duration = Duration::from_secs(10);

/// A gateway, ready to serve. Killed when dropped.
pub struct Gateway {
    // Before the folder that holds what it said.
    process: Process,
    setup: Setup,
    face: DemoEnv,
}

impl Gateway {
    /// `turnpike up --demo`, as it comes or with settings.
    #[must_use]
    pub fn demo() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    pub(crate) async fn new(setup: Setup, process: Process, face: DemoEnv) -> Self {
        let gateway = Self { setup, process, face };
        gateway.redirect_upstreams().await;
        gateway
    }

    /// Ends in `/v1`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.face.get("OPENAI_BASE_URL")
    }

    /// The demo org's key.
    #[must_use]
    pub fn api_key(&self) -> &str {
        self.face.get("OPENAI_API_KEY")
    }

    /// Health and metrics.
    #[must_use]
    pub fn ops_url(&self) -> &str {
        self.face.get("TURNPIKE_OPS_ADDR")
    }

    /// All that `demo.env` says.
    #[must_use]
    pub fn demo_env(&self) -> &DemoEnv {
        &self.face
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.setup.data_dir
    }

    /// Its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// What it wrote to stderr, in all its lives.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// What it wrote to stdout, in all its lives.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// The command line, as the operator.
    #[must_use]
    pub fn admin(&self) -> Cli {
        Cli::new(self.face.get("TURNPIKE_ADMIN_ADDR"), self.face.get("TURNPIKE_ADMIN_TOKEN"))
    }

    /// The simulator that serves its upstreams.
    #[must_use]
    pub fn simulator(&self) -> SimulatorClient {
        let external = self.setup.external_simulator.as_deref();
        SimulatorClient::new(external.unwrap_or_else(|| self.face.get("TURNPIKE_SIMULATOR_ADDR")))
    }

    /// A client of its API, to be cloned into tasks.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.base_url())
    }

    /// `POST /v1/chat/completions`, the whole answer.
    pub async fn chat(&self, key: &str, body: Value) -> Reply {
        self.client().chat(key, body).await.unwrap()
    }

    /// The same as a stream.
    pub async fn stream(&self, key: &str, body: Value) -> EventStream {
        self.client().stream(key, body).await.unwrap()
    }

    /// `POST` with a key, the whole answer.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(&Request::post(path, body.to_string()).bearer(key)).await
    }

    /// Any request.
    pub async fn send(&self, request: &Request) -> Reply {
        self.client().try_send(request).await.unwrap()
    }

    /// Ends the process at once, as a power cut or the kernel would.
    pub async fn kill9(&mut self) {
        self.process.kill9().await;
    }

    /// From now on the process dies of the write that would make any file longer than this, as by `kill -9` before it.
    pub fn dies_of_files_beyond(&self, bytes: u64) {
        self.process.dies_of_files_beyond(bytes);
    }

    /// Ends the process at once, if it has not died of such a write.
    pub async fn is_dead(&mut self) {
        self.process.is_dead().await;
    }

    /// Begins another life on the same data directory, with the same settings.
    pub async fn restart(&mut self) {
        assert!(self.process.has_ended().is_some(), "kill or stop it first");
        match self.setup.launch().await {
            Ok((process, face)) => (self.process, self.face) = (process, face),
            Err(exited) => panic!("turnpike up does not start again: {exited:?}"),
        }
        self.redirect_upstreams().await;
    }

    /// Begins another life without `--demo`: what was seeded stays, but neither the simulator nor what is open to it does.
    pub async fn restart_without_demo(&mut self) {
        assert!(self.process.has_ended().is_some(), "kill or stop it first");
        let said_before = self.process.stderr().len();
        self.process = self.setup.spawn_without_demo();
        let url = eventually("it tells where it serves clients", async || {
            let said = self.process.stderr().split_off(said_before);
            let (_, url) = said.split_once("serving clients on ")?;
            url.split_once('\n').map(|(url, _)| url.to_owned())
        });
        self.face.set("OPENAI_BASE_URL", url.await);
    }

    /// Begins another life and ends it at once after a while, wherever its start has got to.
    pub async fn restart_and_kill9(&mut self, after: Duration) {
        assert!(self.process.has_ended().is_some(), "kill or stop it first");
        self.process = self.setup.spawn();
        sleep(after).await;
        self.kill9().await;
    }

    /// Begins another life that ends at once when one of its threads makes a system call for the so-manieth time, or when
    /// it is ready. Whether it came to that call.
    pub async fn restart_and_kill9_at(&mut self, call: &str, nth: u64) -> bool {
        assert!(self.process.has_ended().is_some(), "kill or stop it first");
        let before = demo_env::edition(&self.setup.data_dir);
        self.process = self.setup.spawn();
        let tripwire = Tripwire::set(self.process_id(), call, nth).await;
        let is_ready = self.setup.ready(&mut self.process, before).await.is_ok();
        drop(tripwire);
        if is_ready {
            self.kill9().await;
        }
        !is_ready
    }

    /// SIGTERM; it must end well and in time.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let exited = self.ended_within(STOP).await;
        assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    }

    /// Sends a signal and does not wait.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the process to end.
    pub async fn ended_within(&mut self, within: Duration) -> Exited {
        self.process.end(within).await
    }

    async fn redirect_upstreams(&self) {
        if let Some(url) = &self.setup.external_simulator {
            redirect_upstreams(&self.admin(), url).await;
        }
    }
}

/// The demo's upstreams are called the same wherever they are.
pub(crate) async fn redirect_upstreams(admin: &Cli, url: &str) {
    let upstream = |(name, jurisdiction)| {
        format!(
            "---\nkind: Upstream\nname: {name}\nspec:\n  vendor: simulator\n  dialect: openai\n  \
                 base_url: {url}/v1\n  credential: elsewhere-{name}\n  jurisdiction: {jurisdiction}\n  \
                 stops_on_abort: true\n"
        )
    };
    let all = [("demo-a", "SG"), ("demo-b", "SG"), ("demo-cn", "CN")].map(upstream);
    admin.apply(&all.concat()).await;
}
