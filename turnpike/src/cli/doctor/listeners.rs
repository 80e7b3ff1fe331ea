//! Ports: free to listen on, or answered by the process that holds the data directory.

use super::finding::Finding;
use crate::config::Config;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the address of each listener; `holder` is the process that should listen there, if one runs.
pub(super) async fn examine(config: &Config, holder: Option<String>) -> Vec<Finding> {
    let listeners = [
        ("data_plane.listen", config.data_plane.listen),
        ("control_plane.admin_listen", config.control_plane.admin_listen),
        ("ops.listen", config.ops.listen),
    ];
    let mut findings = Vec::new();
    for (setting, address) in listeners {
        findings.push(match &holder {
            _ if address.port() == 0 => {
                Finding::skipped("ports", format!("{setting} takes any free port"))
            }
            Some(process) => answers(setting, address, process).await,
            None => is_free(setting, address).await,
        });
    }
    findings
}

async fn answers(setting: &str, address: SocketAddr, process: &str) -> Finding {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => {
            Finding::ok("ports", format!("{setting} {address} is open; process {process} runs"))
        }
        Ok(Err(_)) | Err(_) => {
            let found =
                format!("process {process} runs, but nobody listens on {address} ({setting})");
            let mend =
                "give doctor the --config and the variables that the process was started with";
            Finding::warning("ports", found, mend)
        }
    }
}

async fn is_free(setting: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::ok("ports", format!("{setting} {address} is free")),
        Err(error) => {
            let found = format!("{setting} {address} cannot be listened on: {error}");
            let mend =
                format!("stop who listens there (`ss -ltnp` tells), or choose another {setting}");
            Finding::wrong("ports", found, mend)
        }
    }
}
