//! The simulator: its control endpoints, and one that runs as a process of its own.

use crate::client::Client;
use crate::http::{Reply, Request};
use crate::patience::eventually;
use crate::process::Process;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tempfile::TempDir;

/// How long one look at the log waits for something new, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// The control endpoints of a simulator.
#[derive(Clone, Debug)]
pub struct SimulatorClient {
    client: Client,
}

/// A simulator in a process of its own, with a file that holds its whole log. Killed when dropped.
pub struct SimulatorProcess {
    url: String,
    log: PathBuf,
    _process: Process,
    _folder: TempDir,
}

/// Attempts by number, as far as the log was read: each once it began, with its end once it ended.
#[derive(Debug)]
pub struct LogReader {
    simulator: SimulatorClient,
    read: u64,
    /// What the log holds of each attempt: `begin`, then `end` in its place.
    pub attempts: BTreeMap<u64, Value>,
}

impl SimulatorClient {
    pub(crate) fn new(url: &str) -> Self {
        Self { client: Client::new(url) }
    }

    /// The entries after number `n`, waiting a moment for the first.
    pub async fn log_after(&self, n: u64) -> Vec<Value> {
        let path = format!("/_log?after={n}&wait_ms={LOOK_MS}");
        let reply = self.client.try_send(&Request::get(&path)).await.unwrap();
        reply.json().as_array().unwrap().clone()
    }

    /// Lets a stream in lock-step say its next chunk; returns when that is in the socket.
    pub async fn step(&self, name: &str) -> Reply {
        let request = Request::post(&format!("/_step/{name}"), "");
        self.client.try_send(&request).await.unwrap()
    }

    /// A reader that starts at the log's beginning.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader { simulator: self.clone(), read: 0, attempts: BTreeMap::new() }
    }

    /// Every attempt of one request, once as many as that have ended.
    pub async fn attempts_of(&self, request_id: &str, count: usize) -> Vec<Value> {
        let mut log = self.reader();
        eventually("the simulator has ended the request's attempts", async || {
            log.read_on().await;
            let ended = log
                .attempts
                .values()
                .filter(|attempt| attempt["event"] == "end" && attempt["request_id"] == request_id);
            let ended: Vec<Value> = ended.cloned().collect();
            (ended.len() >= count).then_some(ended)
        })
        .await
    }
}

impl LogReader {
    /// Takes in what is new, waiting a moment for it.
    pub async fn read_on(&mut self) {
        for entry in self.simulator.log_after(self.read).await {
            self.read = entry["n"].as_u64().unwrap();
            self.attempts.insert(entry["attempt"].as_u64().unwrap(), entry);
        }
    }

    /// The attempts that have begun and not ended.
    pub fn running(&self) -> impl Iterator<Item = &Value> {
        self.attempts.values().filter(|attempt| attempt["event"] == "begin")
    }
}

impl SimulatorProcess {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    /// The same at another address of this machine.
    pub async fn start_at(address: Ipv4Addr) -> Self {
        let folder = TempDir::with_prefix("turnpike-simulator-").unwrap();
        let log = folder.path().join("attempts.jsonl");
        let listen = format!("{address}:0");
        let arguments = ["simulator", "--listen", &*listen, "--log", log.to_str().unwrap()];
        let mut process = Process::spawn(&arguments, &[], folder.path());
        let url = eventually("the simulator tells where it listens", async || {
            assert!(process.has_ended().is_none(), "the simulator ended: {}", process.stderr());
            let told = process.stdout();
            told.split_once('\n').map(|(line, _)| line.to_owned())
        })
        .await;
        Self { url, log, _process: process, _folder: folder }
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its control endpoints.
    #[must_use]
    pub fn client(&self) -> SimulatorClient {
        SimulatorClient::new(&self.url)
    }

    /// Every line of its log file so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        // The last line may still be being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
