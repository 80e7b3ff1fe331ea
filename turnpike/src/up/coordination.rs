//! How this control plane tells the others, and who it says that it is.

use super::fleet::Carrier;
use crate::config::Config;
use anyhow::Context;
use links::coordination::{Coordination, EtcdCoordination, LocalCoordination, Member};
use std::net::SocketAddr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where its rows may lie: there is one zone until zones are configured.
const ZONE: &str = "local";

/// Begins to coordinate. etcd need not be there, but what is configured of it must make sense.
pub(super) fn start(
    config: &Config,
    carrier: &Carrier,
    stop: &CancellationToken,
) -> anyhow::Result<(Coordination, Option<JoinHandle<()>>)> {
    let address = carrier.address().map(url).unwrap_or_default();
    let me = Member::new(&address, ZONE, env!("CARGO_PKG_VERSION"));
    let Some(settings) = config.coordination.etcd.settings() else {
        return Ok((Coordination::Local(LocalCoordination::new(&me)), None));
    };
    let (coordination, task) = EtcdCoordination::start(settings, me, stop.clone())
        .context("coordination.etcd cannot be used")?;
    Ok((coordination, Some(task)))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
