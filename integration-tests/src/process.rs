//! One `turnpike` process: its output in files, so that nothing of it is lost when it is killed, and its signals.

use crate::binary::turnpike;
use crate::patience::PATIENCE;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use servers::Host;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How a process ended, and all that it said.
#[derive(Clone, Debug)]
pub struct Exited {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stderr, in all its lives.
    pub stderr: String,
}

pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// `turnpike` with none of the settings that the one who runs the tests may have.
pub(crate) fn command() -> Command {
    command_on(None)
}

/// The same on a host, or on none.
fn command_on(host: Option<&Host>) -> Command {
    let mut command =
        host.map_or_else(|| Command::new(turnpike()), |host| host.command(turnpike()).into());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TURNPIKE")) {
            command.env_remove(name);
        }
    }
    command.env("RUST_BACKTRACE", "1").kill_on_drop(true);
    command
}

impl Process {
    /// Starts it; its output is appended to files in `logs`.
    pub(crate) fn spawn(arguments: &[&str], variables: &[(String, String)], logs: &Path) -> Self {
        Self::spawn_on(None, arguments, variables, logs)
    }

    /// The same on a host, or on none.
    pub(crate) fn spawn_on(
        host: Option<&Host>,
        arguments: &[&str],
        variables: &[(String, String)],
        logs: &Path,
    ) -> Self {
        let (stdout, stderr) = (logs.join("stdout.log"), logs.join("stderr.log"));
        let child = command_on(host)
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .spawn()
            .unwrap();
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> Option<Exited> {
        let status = self.child.try_wait().unwrap()?;
        Some(self.exited(status))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("the process has not been waited for");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    /// From now on it dies of the write that would make any file longer than this, before anything of it is written.
    pub(crate) fn dies_of_files_beyond(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self, within: Duration) -> Exited {
        match timeout(within, self.child.wait()).await {
            Ok(status) => self.exited(status.unwrap()),
            Err(_) => panic!("turnpike did not end within {within:?}; it said:\n{}", self.stderr()),
        }
    }

    pub(crate) async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(9), "it had ended by itself:\n{}", self.stderr());
    }

    /// Ends it at once, unless it died of such a write already.
    pub(crate) async fn is_dead(&mut self) {
        self.signal(Signal::KILL);
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        let deaths = [Signal::KILL, Signal::XFSZ].map(|signal| Some(signal.as_raw()));
        assert!(deaths.contains(&status.signal()), "{status:?}:\n{}", self.stderr());
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn exited(&self, status: ExitStatus) -> Exited {
        Exited { code: status.code(), stderr: self.stderr() }
    }
}

/// What the process said is what a failed test must be explained with.
impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
            eprintln!("the last lines of {}:\n{}", self.stderr.display(), last.join("\n"));
        }
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
