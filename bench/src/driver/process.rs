//! A process that the driver started: pinned to a processor, its output in a file, gone when the driver is.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Longest that a process may take to end by itself.
const LAST_WORDS: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);
/// How much of a log an error tells.
const LOG_LINES: usize = 8;

/// A program on some processors, which dies with the driver even when that is killed.
pub(super) fn pinned(program: &Path, cpus: &[u32]) -> Command {
    let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", &cpus.join(",")]).arg(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TURNPIKE")) {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// A process to be started.
pub(super) struct Spawn {
    name: String,
    command: Command,
    log: PathBuf,
}

impl Spawn {
    pub(super) fn new(name: &str, program: &Path, cpu: u32, log: &Path) -> Self {
        let command = pinned(program, &[cpu]);
        Self { name: name.to_owned(), command, log: log.to_owned() }
    }

    pub(super) fn args<T: AsRef<std::ffi::OsStr>>(
        mut self,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        self.command.args(arguments);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(super) fn start(mut self) -> anyhow::Result<Process> {
        let log = File::create(&self.log)?;
        self.command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let started = self.command.spawn();
        let child = started.with_context(|| format!("{} does not start", self.name))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Process { name: self.name, child, pid, log: self.log })
    }
}

/// A process that runs. Dropping it ends it and all that it started.
pub(super) struct Process {
    name: String,
    child: Child,
    pub(super) pid: u32,
    log: PathBuf,
}

impl Process {
    /// Waits until something is so.
    pub(super) async fn until(
        &mut self,
        patience: Duration,
        mut is_so: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !is_so().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) instead of getting ready:\n{}", self.name, self.said());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {patience:?}:\n{}", self.name, self.said());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Lets it end well.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.id() {
            kill_process(pid, Signal::TERM)?;
        }
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            bail!("{} does not stop:\n{}", self.name, self.said());
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    fn id(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.id() {
            // Its group is its own; one that is empty already is no loss.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
    }
}
