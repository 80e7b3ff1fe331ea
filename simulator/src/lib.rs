//! A scriptable fake provider on the OpenAI wire: tests, the demo and benchmarks talk to it.
//!
//! In reading order: what a caller may ask for (`config`, `script`, `fault`, `raw`), what is said (`text`,
//! `count`, `schema`, `answer`), how it is said (`error`, `reply` and the endpoints), how it reaches
//! the socket (`player`, `wire`, `step`), what is remembered (`attempts`, `log`), and `server`.
//! `README.md` beside this crate's manifest lists the script's fields and the log's.

mod config;
mod script;
mod fault;
mod raw;
mod text;
mod count;
mod schema;
mod answer;
mod error;
mod reply;
mod stream;
mod call;
mod chat;
mod completions;
mod embeddings;
mod models;
mod player;
mod wire;
mod step;
mod attempts;
mod log;
mod control;
mod server;

use std::{io, net::SocketAddr};

use tokio::{sync::oneshot, task::JoinHandle};

pub use config::SimulatorConfig;
pub use count::{count_tokens, prompt_tokens};
pub use fault::Fault;
pub use text::text;

/// A running simulator. Dropping it stops it too, but only [`Simulator::shutdown`] waits until the
/// attempts that were still open are in the log.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Simulator {
    /// Binds `config.listen` and serves on the current Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound or the log file cannot be opened for appending.
    pub async fn start(config: SimulatorConfig) -> io::Result<Self> {
        let server = server::Server::bind(&config).await?;
        // The first use of the tokeniser costs a second or so; no test should have it in a timing.
        tokio::task::spawn_blocking(count::warm_up).await?;
        let addr = server.addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(stopped));
        Ok(Self { addr, stop: Some(stop), serving })
    }

    /// The bound address; the real port where the configuration said 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts every connection, logs the open attempts as ended by `shutdown`, and returns.
    pub async fn shutdown(mut self) {
        self.stop.take();
        if let Err(failure) = (&mut self.serving).await {
            tracing::error!(%failure, "the simulator's accept loop failed");
        }
    }
}
