//! The load generator: raw HTTP/1.1 over connections that are kept, on one thread.
//!
//! Open loop: a request's latency counts from the moment it was due, not from when it was sent, so that a slow gateway
//! cannot slow down the asking. What is asked is `request`'s, what is made of the answers `stats`'.

mod connection;
mod events;
mod loops;
mod probe;
pub mod request;
mod stats;

pub use probe::Probed;
pub use stats::{LoadResult, Quantiles, Steps};

use crate::procfs::{CpuSample, WHOLE};
use probe::Probe;
use stats::Stats;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::Instant;

/// What is asked, and how an answer is read.
#[derive(Clone, Debug)]
pub struct Call {
    /// `host:port`.
    pub address: String,
    /// Head and body.
    pub request: Vec<u8>,
    /// The answer is a stream of events.
    pub streams: bool,
    /// Longest that an answer may take.
    pub timeout: Duration,
    /// Bytes a second that are read at most.
    pub read_rate: Option<u64>,
    /// What counts as a step.
    pub rhythm: Option<Rhythm>,
}

/// When an event of a stream is late.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// How far apart the upstream sends them.
    pub every: Duration,
    /// So much later is a step.
    pub late: Duration,
}

/// When requests come.
#[derive(Clone, Copy, Debug)]
pub enum Arrival {
    /// Each connection asks again as soon as it is answered.
    Closed {
        /// How many.
        connections: usize,
        /// Over how long they begin.
        ramp: Duration,
        /// One request each.
        once: bool,
    },
    /// At a rate, whatever the answers do.
    Open {
        /// A second.
        rate: f64,
        /// Beyond so many at once a request is counted as an error, never delayed.
        at_most: usize,
        /// As independent clients would, instead of evenly.
        poisson: bool,
    },
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked.
    pub call: Call,
    /// When.
    pub arrival: Arrival,
    /// Only requests that are due after it count.
    pub warmup: Duration,
    /// How long those count that are due.
    pub duration: Duration,
    /// Whose CPU time and memory are read.
    pub probe: Option<u32>,
    /// How long after the start memory is looked at.
    pub memory_after: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    fn contains(&self, at: Instant) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// What all requests of a measurement share.
struct Run {
    call: Call,
    window: Window,
    stats: RefCell<Stats>,
    live: Cell<usize>,
}

/// Measures. Must run within a `LocalSet`.
///
/// # Errors
/// When the arithmetic of histograms does not let it, which it does.
pub async fn run(plan: Plan) -> anyhow::Result<LoadResult> {
    let began = Instant::now();
    let from = began + plan.warmup;
    let window = Window { from, until: from + plan.duration };
    let stats = RefCell::new(Stats::new()?);
    let run = Rc::new(Run { call: plan.call, window, stats, live: Cell::new(0) });
    let memory_from = began + plan.memory_after;
    let probe = plan.probe.map(|pid| spawn_local(Probe::new(pid).watch(window, memory_from)));
    let own = CpuSample::of(std::process::id());
    match plan.arrival {
        Arrival::Closed { connections, ramp, once } => {
            loops::closed(&run, connections, ramp, once).await;
        }
        Arrival::Open { rate, at_most, poisson } => {
            loops::open(&run, began, rate, at_most, poisson).await;
        }
    }
    let own = CpuSample::of(std::process::id()).since(&own);
    let own_s = own.get(WHOLE).map_or(0.0, |cpu| cpu.total_s);
    let share = own_s / began.elapsed().as_secs_f64();
    let probed = match probe {
        Some(probe) => Some(probe.await?),
        None => None,
    };
    Ok(run.stats.borrow().result(plan.duration, share, probed))
}
