//! `parts`: what the driver needs of our own crates: a sink for spans, the key table on its own, and the admin API's client.
//!
//! Findings are numbers by name, as JSON on stdout.

mod keys;
mod office;
mod sink;

use bench::say;
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers by name.
type Figures = BTreeMap<&'static str, f64>;

/// Parts of Turnpike, measured on their own.
#[derive(Parser)]
#[command(max_term_width = 110)]
struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Takes spans and forgets them
    Sink {
        /// Where it listens
        listen: SocketAddr,
    },
    /// Gives a data plane many keys by the feed, until they are on its disk
    WriteKeys {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        keys: u32,
    },
    /// Starts a data plane's configuration from that disk: time, memory, look-ups
    ReadKeys {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Changes, cold orgs and grants, on a gateway that runs
    Office(office::Options),
}

fn main() -> anyhow::Result<()> {
    let part = Options::parse().part;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        match part {
            Part::Sink { listen } => sink::serve(listen).await,
            Part::WriteKeys { dir, keys } => keys::write(dir, keys).await,
            Part::ReadKeys { dir } => keys::read(dir).await,
            Part::Office(options) => office::measure(options).await,
        }
    })?;
    Ok(say::print(&serde_json::to_string(&figures)?)?)
}
