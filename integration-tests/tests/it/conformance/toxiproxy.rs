//! Toxiproxy: a proxy that cuts what passes into slices of a few bytes, either way.

use super::mock::free_port;
use crate::sdk::installed;
use integration_tests::{Client, Request, eventually};
use serde_json::json;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Bytes of a slice, more or less.
const SLICE_BYTES: u64 = 7;
const VARIATION_BYTES: u64 = 3;
/// Between two slices, in microseconds: enough for each to be read alone.
const PAUSE_US: u64 = 20;

/// A running proxy; killed when dropped.
pub(crate) struct Toxiproxy {
    control: Client,
    _process: Child,
}

impl Toxiproxy {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let process = Command::new(installed("TURNPIKE_TEST_TOXIPROXY", ".tools/bin/toxiproxy"))
            .args(["-host", "127.0.0.1", "-port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let control = Client::new(&format!("http://127.0.0.1:{port}"));
        eventually("toxiproxy answers", async || {
            let asked = control.try_send(&Request::get("/version")).await;
            asked.is_ok_and(|reply| reply.status == 200).then_some(())
        })
        .await;
        Self { control, _process: process }
    }

    /// The same address, through a proxy that slices.
    pub(crate) async fn slicing(&self, name: &str, url: &str) -> String {
        let address = url.strip_prefix("http://").unwrap();
        let (address, path) = address.split_once('/').unwrap_or((address, ""));
        let proxy = json!({"name": name, "listen": "127.0.0.1:0", "upstream": address});
        let made = self.ask("/proxies", &proxy).await;
        for stream in ["upstream", "downstream"] {
            let toxic = json!({"name": stream, "type": "slicer", "stream": stream, "attributes": {
                "average_size": SLICE_BYTES, "size_variation": VARIATION_BYTES, "delay": PAUSE_US,
            }});
            self.ask(&format!("/proxies/{name}/toxics"), &toxic).await;
        }
        let listen = made["listen"].as_str().unwrap();
        format!("http://{listen}/{path}").trim_end_matches('/').to_owned()
    }

    async fn ask(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let request = Request::post(path, body.to_string());
        let reply = self.control.try_send(&request).await.unwrap();
        assert!((200..300).contains(&reply.status), "{path}: {}", reply.text());
        reply.json()
    }
}
