//! Steady: a mock of OpenAI's API that checks what it is asked against the specification.

use super::suite::place;
use crate::sdk::installed;
use integration_tests::{Client, Request, eventually};
use std::env::consts::{ARCH, OS};
use std::env::var_os;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A running mock; killed when dropped.
pub(crate) struct Mock {
    url: String,
    _process: Child,
}

impl Mock {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let named = var_os("TURNPIKE_TEST_OPENAI_SPEC").map(PathBuf::from);
        let specification = named.unwrap_or_else(|| place().join("openapi.json"));
        let formats = ["query-array", "query-object", "form-array", "form-object"];
        let process = Command::new(program())
            .args(["--host", "127.0.0.1", "-p", &port.to_string()])
            .args(formats.map(|what| format!("--validator-{what}-format=brackets")))
            .arg(specification)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::new(&url);
        eventually("the mock answers", async || {
            let asked = client.try_send(&Request::get("/_x-steady/health")).await;
            asked.is_ok_and(|reply| reply.status == 200).then_some(())
        })
        .await;
        Self { url, _process: process }
    }

    /// Without a path: the mock has none before those of the API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// The program itself: the one that npm links would leave it running when it is killed.
fn program() -> PathBuf {
    let modules = installed("TURNPIKE_TEST_NODE_MODULES", ".tools/clients/node_modules");
    let system = if OS == "macos" { "darwin" } else { OS };
    let machine = if ARCH == "aarch64" { "arm64" } else { "x64" };
    modules.join(format!("@stdy/cli-{system}-{machine}/bin/steady"))
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
