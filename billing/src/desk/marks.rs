//! Tells connected data planes up to where they are billed, and what is missing, where usage reaches billing by a way that
//! does not come back: the rows say it, and they are looked at for all at once.

use super::connection::PeerNumber;
use crate::consumer::{MarkedPartition, marks_of};
use crate::slices::Holder;
use domain::id::Partition;
use links::escrow::ToDataPlane;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::Database;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A gap that is as young may close by itself.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// How often what is missing is asked for.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Who is connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<PeerNumber, Listener>>>);

#[derive(Clone, Debug)]
struct Listener {
    holder: Holder,
    /// Keeps nobody connected whom the clerk has forgotten.
    answers: mpsc::WeakSender<ToDataPlane>,
}

/// Somebody listens as long as this is there.
pub(super) struct Listening {
    peer: PeerNumber,
    all: Listeners,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.all.with(|all| all.remove(&self.peer));
    }
}

impl Listeners {
    pub(super) fn join(
        &self,
        peer: PeerNumber,
        holder: Holder,
        answers: &mpsc::Sender<ToDataPlane>,
    ) -> Listening {
        let answers = answers.downgrade();
        self.with(|all| all.insert(peer, Listener { holder, answers }));
        Listening { peer, all: self.clone() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<PeerNumber, Listener>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one listener was told.
#[derive(Debug, Default)]
struct Told {
    billed: BTreeMap<Partition, u64>,
    asked: BTreeMap<Partition, Instant>,
}

/// Tells everyone who listens, for ever.
pub(super) async fn tell(database: Database, listeners: Listeners, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: HashMap<PeerNumber, Told> = HashMap::new();
    loop {
        ticks.tick().await;
        let listening = listeners.with(|all| all.clone());
        told.retain(|peer, _| listening.contains_key(peer));
        let holders: BTreeSet<Holder> =
            listening.values().map(|listener| listener.holder.clone()).collect();
        let marks = match database.in_time(marks_of(&database, &holders)).await {
            Ok(marks) => marks,
            Err(error) => {
                tracing::warn!(%error, "how far data planes are billed cannot be read; it is looked again");
                continue;
            }
        };
        for (peer, Listener { holder, answers }) in listening {
            let (Some(marks), Some(answers)) = (marks.get(&holder), answers.upgrade()) else {
                continue;
            };
            for message in told.entry(peer).or_default().news(marks) {
                // One that takes nothing is cut off by the clerk, and told all of it on its next connection.
                drop(answers.try_send(message));
            }
        }
    }
}

impl Told {
    fn news(&mut self, marks: &[MarkedPartition]) -> Vec<ToDataPlane> {
        let now = Instant::now();
        let mut billed = Vec::new();
        let mut missing = Vec::new();
        for mark in marks {
            if self.billed.insert(mark.partition, mark.billed) != Some(mark.billed) {
                billed.push((mark.partition, mark.billed));
            }
            if mark.missing_for.is_none_or(|age| age < ASK_AFTER) {
                self.asked.remove(&mark.partition);
            } else if self.asked.get(&mark.partition).is_none_or(|at| now - *at >= ASK_EVERY) {
                self.asked.insert(mark.partition, now);
                missing.push((mark.partition, mark.billed));
            }
        }
        let news = [(billed, ToDataPlane::Billed as fn(_) -> _), (missing, ToDataPlane::Resend)];
        news.into_iter().filter(|(list, _)| !list.is_empty()).map(|(list, say)| say(list)).collect()
    }
}
