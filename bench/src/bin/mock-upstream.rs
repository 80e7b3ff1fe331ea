//! `mock-upstream`: the upstream that gateways are measured in front of.

use bench::mock;
use clap::Parser;
use std::io;
use std::net::SocketAddr;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// An OpenAI-compatible upstream that costs as little as possible; the name of the model says what its answers are like.
///
/// mock-l20-s512: 20 ms, 512 bytes of text. mock-c100-d20-t4: a stream of 100 events of 4 bytes, 20 ms apart, on a fixed
/// schedule; with d0 as fast as the socket takes them.
#[derive(Parser)]
#[command(max_term_width = 110)]
struct Options {
    /// Where it listens
    #[arg(default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, mock::serve(options.listen))
}
