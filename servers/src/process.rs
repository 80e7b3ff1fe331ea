//! One server process: it dies with whoever started it, and its output is at hand when something goes wrong.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    group: Pid,
    ended: Arc<OnceLock<ExitStatus>>,
    log: PathBuf,
}

/// A port that nobody uses right now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command that dies when we die.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = bound_to_us();
    command.arg("--").arg(program);
    command
}

/// The same, as this user, if we are root.
pub(crate) fn command_as(user: &str, program: &Path) -> Command {
    let mut command = bound_to_us();
    if rustix::process::geteuid().is_root() {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_postgres(name.as_encoded_bytes()))
    {
        command.env_remove(name);
    }
    command
}

fn bound_to_us() -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    command
}

/// What would lead its programs elsewhere.
fn is_of_postgres(name: &[u8]) -> bool {
    name.starts_with(b"PG")
}

impl Server {
    /// Starts it, as the head of a process group of its own; its output is appended to a file.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(append(log)).stderr(append(log)).process_group(0);
        let (tell_id, id) = channel();
        let ended = Arc::new(OnceLock::new());
        let tell_end = Arc::clone(&ended);
        // The kernel ends the child when the thread that started it ends: it gets one that waits for it.
        thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            tell_id.send(child.id()).unwrap();
            let status = child.wait().unwrap();
            tell_end.set(status).unwrap();
        });
        let id = id.recv().unwrap();
        Self { group: Pid::from_raw(id.try_into().unwrap()).unwrap(), ended, log: log.to_owned() }
    }

    /// Waits until `is_ready` says so; panics when the server ends meanwhile.
    pub(crate) fn wait_until(&self, is_ready: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_ready() {
            if let Some(status) = self.ended.get() {
                panic!("the server ended with {status}; it said:\n{}", self.said());
            }
            assert!(Instant::now() < until, "the server is not ready; it said:\n{}", self.said());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// All that it said.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal to it and all its children.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.group, signal).unwrap();
    }

    /// Stops it and all its children where they stand, until `resume`.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it, as `kill -9` does, with all its children, and waits until it is gone.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asks it to end with this signal, and waits until it has.
    pub(crate) fn end(self, signal: Signal) {
        rustix::process::kill_process(self.group, signal).unwrap();
        self.wait();
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while self.ended.get().is_none() {
            assert!(Instant::now() < until, "it did not end; it said:\n{}", self.said());
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}
