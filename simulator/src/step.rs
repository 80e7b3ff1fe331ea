//! Lock-step: a stream with `x_simulator.step` hands out one chunk for each `POST /_step/{name}`,
//! and the POST returns when that chunk is in the socket. A POST may come before its stream.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How long a POST waits for a stream of its name to take the step.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to a POST: the chunk that was sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    /// Its number in the stream, from 1.
    chunk: u64,
    /// Whether the stream has nothing more to send.
    last: bool,
}

/// Why a POST released nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    /// The stream ended, or its client went, before the step was taken.
    Ended,
    /// No stream took the step in time.
    NoStream,
}

/// The names in use.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    gates: Mutex<HashMap<String, Gate>>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Gate {
    id: u64,
    steps: mpsc::UnboundedSender<Turn>,
    /// Waits here for the stream, where a POST came first.
    turns: Option<mpsc::UnboundedReceiver<Turn>>,
}

/// The leave to hand out one chunk.
#[derive(Debug)]
pub(crate) struct Turn(oneshot::Sender<Step>);

/// A stream's end of a name.
#[derive(Debug)]
pub(crate) struct Turns {
    steps: Arc<Steps>,
    name: String,
    id: u64,
    turns: mpsc::UnboundedReceiver<Turn>,
}

impl Turn {
    pub(crate) fn taken(self, chunk: u64, last: bool) {
        // A POST that no longer waits has no need to know.
        self.0.send(Step { chunk, last }).ok();
    }
}

impl Steps {
    /// Releases one chunk of the stream of this name and waits until it is sent.
    pub(crate) async fn release(&self, name: &str) -> Result<Step, StepError> {
        let (turn, taken) = oneshot::channel();
        self.gate_steps(name).send(Turn(turn)).map_err(|_| StepError::Ended)?;
        match timeout(PATIENCE, taken).await {
            Ok(Ok(step)) => Ok(step),
            Ok(Err(_)) => Err(StepError::Ended),
            Err(_) => Err(StepError::NoStream),
        }
    }

    /// Takes the name for a stream. An older stream of the same name stalls from here on: after a
    /// failover it is the new attempt that a test steps.
    pub(crate) fn join(self: &Arc<Self>, name: &str) -> Turns {
        let mut gates = self.gates.lock();
        let waiting = gates.get_mut(name).and_then(|gate| Some((gate.id, gate.turns.take()?)));
        let (id, turns) = waiting.unwrap_or_else(|| {
            let (gate, turns) = self.new_gate();
            let id = gate.id;
            gates.insert(name.to_owned(), gate);
            (id, turns)
        });
        Turns { steps: Arc::clone(self), name: name.to_owned(), id, turns }
    }

    fn gate_steps(&self, name: &str) -> mpsc::UnboundedSender<Turn> {
        let mut gates = self.gates.lock();
        if let Some(gate) = gates.get(name) {
            return gate.steps.clone();
        }
        let (gate, turns) = self.new_gate();
        let steps = gate.steps.clone();
        gates.insert(name.to_owned(), Gate { turns: Some(turns), ..gate });
        steps
    }

    fn new_gate(&self) -> (Gate, mpsc::UnboundedReceiver<Turn>) {
        let (steps, turns) = mpsc::unbounded_channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        (Gate { id, steps, turns: None }, turns)
    }
}

impl Turns {
    pub(crate) async fn next(&mut self) -> Turn {
        while let Some(turn) = self.turns.recv().await {
            if !turn.0.is_closed() {
                return turn;
            }
        }
        // Another stream has taken the name.
        pending().await
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let mut gates = self.steps.gates.lock();
        if gates.get(&self.name).is_some_and(|gate| gate.id == self.id) {
            gates.remove(&self.name);
        }
    }
}
