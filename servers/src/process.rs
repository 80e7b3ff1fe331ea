//! One server process: it dies with whoever started it, and its output is at hand when something goes wrong.

use crate::Host;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::iter::Cycle;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
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

/// Ports that the system gives nobody by itself: one of those may be taken by any connection before its server starts.
const PORTS: Range<u16> = 10_000..30_000;

/// A port that nobody uses right now, and that this process is told once.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: OnceLock<Mutex<Cycle<Range<u16>>>> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        // Test binaries that run at once begin elsewhere.
        let mut all = PORTS.cycle();
        all.nth(rand::random_range(0..PORTS.len()));
        Mutex::new(all)
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    next.lock().unwrap().find(is_free).unwrap()
}

/// A command that runs as this user, if we are root, and dies when we die; on a host, or on none.
pub(crate) fn command_as(user: &str, program: &Path, host: Option<&Host>) -> Command {
    let mut command = dies_with_us(host);
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

/// A command that dies when we die; on a host, or on none.
pub(crate) fn command(program: &Path, host: Option<&Host>) -> Command {
    let mut command = dies_with_us(host);
    command.arg("--").arg(program);
    command
}

fn dies_with_us(host: Option<&Host>) -> Command {
    let setpriv = "setpriv";
    let mut command =
        host.map_or_else(|| Command::new(setpriv), |host| host.command(Path::new(setpriv)));
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

    /// Sends a signal to it and all its children, also to those that have left its group.
    pub fn signal(&self, signal: Signal) {
        for process in family(self.group) {
            // A child may have ended meanwhile.
            let _ = kill_process(process, signal);
        }
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
        kill_process(self.group, signal).unwrap();
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

/// A process and all that descend from it, it first: one that stands still or is gone starts no others.
fn family(head: Pid) -> Vec<Pid> {
    let mut family = vec![head];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        // As proc(5) describes it; of a process that has ended there is none.
        let listed = format!("/proc/{0}/task/{0}/children", parent.as_raw_nonzero());
        let listed = fs::read_to_string(listed).unwrap_or_default();
        family.extend(listed.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)));
        at += 1;
    }
    family
}

impl Drop for Server {
    /// Waits, too: what it kept is removed next, and must not grow meanwhile.
    fn drop(&mut self) {
        if self.ended.get().is_none() {
            self.signal(Signal::KILL);
            self.wait();
        }
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}
