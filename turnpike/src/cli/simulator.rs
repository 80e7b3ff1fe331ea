//! `turnpike simulator`: the fake provider in a process of its own.

use crate::failure::Failure;
use crate::output;
use clap::Args;
use simulator::{Simulator, SimulatorConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike simulator
  turnpike simulator --listen 127.0.0.1:0 --log attempts.jsonl";

#[derive(Args)]
pub(super) struct SimulatorArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8099",
        env = "TURNPIKE__SIMULATOR__LISTEN"
    )]
    #[arg(hide_env_values = true)]
    listen: SocketAddr,
    /// File to which each attempt is appended as a JSON line
    #[arg(long, value_name = "FILE", env = "TURNPIKE__SIMULATOR__LOG", hide_env_values = true)]
    log: Option<PathBuf>,
}

/// Prints its address once it listens, and runs until SIGINT or SIGTERM.
pub(super) async fn run(args: SimulatorArgs) -> Result<(), Failure> {
    let listen = args.listen;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let config = SimulatorConfig { listen, log: args.log };
    let simulator = Simulator::start(config).await.map_err(|error| {
        Failure::failed(format!(
            "the simulator cannot start on {listen}: {error}; choose another --listen or --log"
        ))
    })?;
    output::print(&format!("http://{}", simulator.addr()))?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    simulator.shutdown().await;
    Ok(())
}
