//! Commits that the database has lost: a standby was promoted that had not got them, or a backup was restored. Whoever has
//! applied a revision that the database does not know proves it, and a new generation begins beyond all that was lost.
//!
//! Beyond, because what was lost lives on elsewhere: usage events are priced by revisions and belong to uids that must
//! never mean anything else.

use super::Authority;
use crate::audit::Entry;
use crate::errors::Failure;
use crate::metric;
use crate::operator::Caller;
use crate::rows;
use crate::state::State;
use domain::id::Revision;
use links::feed::Follower;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long what data planes say gathers before it is looked at.
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// How soon it is looked again when it could not be, or not yet.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often the word of data planes raises the generation, after which all of them load everything anew.
const RAISED_EVERY: Duration = Duration::from_mins(10);
/// Most revisions that can have been lost: who claims more is broken.
const LOST_MAX: u64 = 1_000_000;

/// Somebody who has applied a revision.
pub(super) struct Witness {
    who: String,
    revision: Revision,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    Done,
    /// It must be looked again later.
    TooSoon,
}

impl Authority {
    /// Looks, whenever data planes say what they have applied, whether the database knows that, until the process ends.
    pub(crate) async fn mind_losses(self: Arc<Self>) {
        let mut followers = self.publisher.followers();
        let mut raised = None;
        let mut looked = Looked::Done;
        loop {
            let news = async {
                tokio::select! {
                    is_there = followers.changed() => is_there,
                    () = sleep(LOOK_AGAIN), if looked == Looked::TooSoon => true,
                }
            };
            if self.shutdown.run_until_cancelled(news).await != Some(true) {
                return;
            }
            sleep(GATHERED_FOR).await;
            looked = match self.look_for_losses(&followers.list(), &mut raised).await {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::warn!(%error, "what data planes have applied cannot be compared yet");
                    Looked::TooSoon
                }
            };
        }
    }

    async fn look_for_losses(
        &self,
        followers: &[Follower],
        raised: &mut Option<Instant>,
    ) -> Result<Looked, Failure> {
        let head = self.publisher.head();
        let statuses = followers.iter().map(|follower| &follower.status);
        let is_beyond = |applied: Revision| {
            applied.generation == head.generation
                && applied.rev > head.rev
                && applied.rev.saturating_sub(head.rev) <= LOST_MAX
        };
        let ahead = statuses.filter(|status| is_beyond(status.applied));
        let Some(ahead) = ahead.max_by_key(|status| status.applied) else {
            return Ok(Looked::Done);
        };
        if raised.is_some_and(|at| at.elapsed() < RAISED_EVERY) {
            return Ok(Looked::TooSoon);
        }
        let who = format!("data plane {}", ahead.name);
        let mut state = self.state.lock().await;
        if self.raise(&mut state, Witness { who, revision: ahead.applied }).await? {
            *raised = Some(Instant::now());
        }
        Ok(Looked::Done)
    }

    /// The same, when it is this process that knows more.
    pub(super) async fn raise_by_own_word(&self, state: &mut State) -> Result<(), Failure> {
        let witness = Witness { who: "this control plane".to_owned(), revision: state.at };
        self.raise(state, witness).await.map(drop)
    }

    /// Begins a new generation, unless the database knows the revision after all. Whether it did.
    async fn raise(&self, state: &mut State, witness: Witness) -> Result<bool, Failure> {
        let mut write = self.db.write().await?;
        let Some(raised) = rows::raise_generation(&mut write, witness.revision).await? else {
            let head = rows::head(&mut write).await?;
            self.catch_up(state, &mut write, head).await?;
            super::undo(write).await;
            return Ok(false);
        };
        let Witness { who, revision } = witness;
        tracing::error!(
            who,
            applied = ?revision,
            database = ?raised.before,
            begun = ?raised.begun,
            "the database has lost commits: a new generation begins, and every data plane loads everything anew. What was \
             configured last has to be configured again"
        );
        let entry = Entry {
            resource: "Configuration".to_owned(),
            detail: format!(
                "commits were lost: {who} has revision {} of generation {}, the database had {}; a new generation begins",
                revision.rev, revision.generation, raised.before.rev
            ),
            ..Entry::default()
        };
        let process = Caller::process("ControlPlane/BeginGeneration");
        self.auditor.append(&mut write, &process, "", &[entry]).await?;
        write.commit().await?;
        metric::generation_begun();
        let mut read = self.db.read().await?;
        let head = rows::head(&mut read).await?;
        self.catch_up(state, &mut read, head).await?;
        read.finish().await?;
        Ok(true)
    }
}
