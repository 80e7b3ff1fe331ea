//! The simulator's settings. What a single request may ask for is `script`'s business.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::Deserialize;

/// Where the simulator listens and logs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A file that gets the log as JSON lines, appended; without it the log is in memory only.
    pub log: Option<PathBuf>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8099)), log: None }
    }
}
