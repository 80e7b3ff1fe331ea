//! `kill -9` at a system call of choice: `strace` stops the process there, before the kernel does what was asked.

use crate::gateway::Gateway;
use crate::patience::PATIENCE;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A tracer that is attached to a process, and leaves it when dropped.
#[derive(Debug)]
pub struct Tripwire(Child);

impl Gateway {
    /// Kills the process as soon as one of its threads makes a system call for the so-manieth time from now on.
    pub async fn kill9_at(&self, call: &str, nth: u64) -> Tripwire {
        Tripwire::set(self.process_id(), call, nth).await
    }
}

impl Tripwire {
    pub(crate) async fn set(process_id: u32, call: &str, nth: u64) -> Self {
        let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
        let mut child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            .args(["-p", &process_id.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("strace is installed: see scripts/setup");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap();
        let first = first.unwrap_or_default();
        assert!(first.contains("attached"), "strace cannot trace it: {first}");
        // It goes on to name each thread, and must find a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self(child)
    }

    /// Waits until the tracer has nothing more to trace.
    pub async fn gone(mut self) {
        timeout(PATIENCE, self.0.wait()).await.unwrap().unwrap();
    }
}
