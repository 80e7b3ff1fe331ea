//! The command line, run as an operator runs it.

use crate::patience::PATIENCE;
use crate::process::command;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// `turnpike` with the address and token of one control plane.
#[derive(Clone, Debug)]
pub struct Cli {
    address: String,
    token: String,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code.
    pub status: i32,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Cli {
    /// For a control plane elsewhere, or with another token.
    #[must_use]
    pub fn new(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: token.to_owned() }
    }

    /// Where its control plane is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a shell has to know to be the same operator.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [("TURNPIKE_ADMIN_ADDR", &self.address), ("TURNPIKE_ADMIN_TOKEN", &self.token)]
    }

    /// Runs a command.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "").await
    }

    /// Runs a command that reads stdin.
    pub async fn run_with(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = command()
            .args(arguments)
            .envs(self.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A command that reads nothing may have ended before it was given anything.
        let _written = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let ended = timeout(PATIENCE, child.wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("turnpike {arguments:?} hangs")).unwrap();
        Output {
            status: ended.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(ended.stdout).unwrap(),
            stderr: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    /// Runs a command that must be done, and reads its one document (`-o json` is the caller's to ask for).
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).await;
        assert_eq!(output.status, 0, "turnpike {arguments:?}: {}", output.stderr);
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("turnpike {arguments:?}: {error} in {}", output.stdout))
    }

    /// Applies documents and waits until the data plane has them.
    pub async fn apply(&self, documents: &str) {
        let output = self.run_with(&["apply", "-f", "-", "--wait"], documents).await;
        assert_eq!(output.status, 0, "{}\n{documents}", output.stderr);
    }
}
