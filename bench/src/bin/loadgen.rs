//! `loadgen`: one measurement from the command line, its findings as JSON on stdout.

use bench::awake::awake;
use bench::load::request::Asked;
use bench::load::{self, Arrival, Call, Plan, Rhythm};
use bench::say;
use clap::{Parser, ValueEnum};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

const EXAMPLES: &str = "\
Examples:
  loadgen --connections 64                                       as fast as 64 connections go
  loadgen --mode open --rate 500 --pid 4711                      latency at 500 a second, and CPU of process 4711
  loadgen --stream --model mock-c100-d20 --connections 100       100 streams at a time

Only requests that are due inside the window count. Times are microseconds; in the open loop they count from when a request
was due. `loadgen_cpu_share` near 1 says that the generator was the limit.";

/// Loads an OpenAI-compatible gateway and measures it.
#[derive(Parser)]
#[command(after_help = EXAMPLES, max_term_width = 110)]
struct Options {
    /// Where to ask
    #[arg(long, default_value = "http://127.0.0.1:9100/v1/chat/completions")]
    url: String,
    /// A line of each request's head; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Do not rest between answers: a gateway that is slower than its load does not pay for waking it then
    #[arg(long)]
    awake: bool,
    #[arg(long, default_value = "mock-s512")]
    model: String,
    /// Bytes of the user's message
    #[arg(long, default_value_t = 200)]
    prompt_bytes: usize,
    #[arg(long, default_value_t = 256)]
    max_tokens: u64,
    /// Ask for streams
    #[arg(long)]
    stream: bool,
    /// closed: each connection asks again once it is answered; open: at a rate, whatever the answers do
    #[arg(long, value_enum, default_value = "closed")]
    mode: Mode,
    /// closed: how many; open: most at once, beyond which a request is an error
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// open: requests a second
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// open: as independent clients, instead of evenly
    #[arg(long)]
    poisson: bool,
    /// closed: seconds over which connections begin
    #[arg(long, default_value_t = 0.0)]
    ramp: f64,
    /// closed: one request for each connection
    #[arg(long)]
    once: bool,
    /// Seconds whose requests do not count
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Seconds whose requests count
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds that an answer may take
    #[arg(long, default_value_t = 60.0)]
    timeout: f64,
    /// Bytes a second that are read of an answer at most
    #[arg(long)]
    read_rate: Option<u64>,
    /// Count steps: how far apart the upstream sends events, in milliseconds
    #[arg(long)]
    every: Option<f64>,
    /// Milliseconds beyond which an event that is late is a step
    #[arg(long, default_value_t = 5.0)]
    late: f64,
    /// A process whose CPU time and memory are read, with its descendants
    #[arg(long)]
    pid: Option<u32>,
    /// Seconds after the start from which memory is looked at
    #[arg(long, default_value_t = 0.0)]
    memory_after: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Closed,
    Open,
}

impl Options {
    fn plan(self) -> anyhow::Result<Plan> {
        let asked = Asked {
            url: self.url,
            headers: self.header,
            model: self.model,
            prompt_bytes: self.prompt_bytes,
            max_tokens: self.max_tokens,
            streams: self.stream,
        };
        let (address, request) = asked.bytes()?;
        let rhythm = match self.every {
            Some(every) => {
                Some(Rhythm { every: milliseconds(every)?, late: milliseconds(self.late)? })
            }
            None => None,
        };
        let call = Call {
            address,
            request,
            streams: self.stream,
            timeout: seconds(self.timeout)?,
            read_rate: self.read_rate,
            rhythm,
        };
        let arrival = match self.mode {
            Mode::Closed => Arrival::Closed {
                connections: self.connections,
                ramp: seconds(self.ramp)?,
                once: self.once,
            },
            Mode::Open => {
                Arrival::Open { rate: self.rate, at_most: self.connections, poisson: self.poisson }
            }
        };
        Ok(Plan {
            call,
            arrival,
            warmup: seconds(self.warmup)?,
            duration: seconds(self.duration)?,
            probe: self.pid,
            memory_after: seconds(self.memory_after)?,
        })
    }
}

fn seconds(number: f64) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(number)?)
}

fn milliseconds(number: f64) -> anyhow::Result<Duration> {
    seconds(number / 1000.0)
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let local = LocalSet::new();
    if options.awake {
        local.spawn_local(awake(|| true));
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let found = local.block_on(&runtime, load::run(options.plan()?))?;
    Ok(say::print(&serde_json::to_string_pretty(&found)?)?)
}
