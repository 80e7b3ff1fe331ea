//! The one way in which the configuration changes:
//!
//! `mint → plan → judge → record → commit → memory and feed`
//!
//! All in one transaction whose first statement mints the revision, so that what is validated is what the change lands
//! on. Memory and feed move only once the commit is known to have happened.

mod plan;
mod judge;
mod record;
mod accounts;

pub(crate) use plan::{Fate, Step};

use crate::errors::{AdminError, Failure};
use crate::mask::Masks;
use crate::metric;
use crate::rows;
use crate::settings::{AdminLimits, ControlPlaneSettings};
use crate::state::State;
use domain::id::Revision;
use domain::snapshot::{Change, Delta};
use judge::Draft;
use links::feed::FeedPublisher;
use std::sync::Arc;
use storage::{Database, Write};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field};

/// Changes the configuration, one change at a time.
pub(crate) struct Authority {
    db: Database,
    settings: ControlPlaneSettings,
    masks: Masks,
    publisher: FeedPublisher,
    state: Mutex<State>,
    shutdown: CancellationToken,
}

/// What became of a change.
pub(crate) struct Changed {
    /// The revision that holds it.
    pub(crate) revision: Revision,
    /// One for each step, in order of kind.
    pub(crate) fates: Vec<Fate>,
}

impl Authority {
    /// Loads what is stored, and offers it to data planes.
    pub(crate) async fn start(
        db: Database,
        settings: ControlPlaneSettings,
        masks: Masks,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let mut write = db.write().await?;
        let at = rows::head(&mut write).await?;
        let mut state = State::load(&mut write, at).await?;
        if record::unrecorded_prices(&mut write, &mut state).await? {
            write.commit().await?;
            write = db.write().await?;
        }
        let puts = state.puts(&mut write).await?;
        write.rollback().await?;
        let publisher = FeedPublisher::new(state.at, puts);
        Ok(Self { db, settings, masks, publisher, state: Mutex::new(state), shutdown })
    }

    /// Where data planes are told.
    pub(crate) const fn publisher(&self) -> &FeedPublisher {
        &self.publisher
    }

    /// What is stored, for reading.
    pub(crate) const fn database(&self) -> &Database {
        &self.db
    }

    /// Bounds on what one call may ask.
    pub(crate) const fn limits(&self) -> &AdminLimits {
        &self.settings.limits
    }

    /// Keeps the configuration from changing while it is held, for what must not race with a deletion.
    pub(crate) async fn hold_still(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }

    /// Does all steps or none, as one revision; with `validate_only` none, after trying all. Steps that change nothing
    /// mint nothing.
    ///
    /// Runs as a task of its own: a caller that hangs up between commit and feed must not keep them apart.
    pub(crate) async fn change(
        self: &Arc<Self>,
        steps: Vec<Step>,
        validate_only: bool,
    ) -> Result<Changed, AdminError> {
        let this = Arc::clone(self);
        let span = tracing::info_span!(
            "configuration change",
            otel.kind = "server",
            turnpike.steps = steps.len(),
            turnpike.validate_only = validate_only,
            turnpike.revision = field::Empty,
        );
        let work = async move { this.run(steps, validate_only).await }.instrument(span.clone());
        let task = tokio::spawn(work);
        let changed = task.await.unwrap_or_else(|died| {
            tracing::error!(error = %died, "a change of the configuration died");
            Err(if died.is_panic() { Failure::Died } else { Failure::ShuttingDown }.into())
        });
        metric::changed(if changed.is_ok() { "done" } else { "refused" });
        changed.inspect(|changed| {
            span.record("turnpike.revision", changed.revision.rev);
        })
    }

    async fn run(&self, steps: Vec<Step>, validate_only: bool) -> Result<Changed, AdminError> {
        if self.shutdown.is_cancelled() {
            return Err(Failure::ShuttingDown.into());
        }
        let mut state = self.state.lock().await;
        let mut write = self.db.write().await?;
        match self.try_all(&mut state, &mut write, steps).await {
            Ok(draft) if draft.changes_anything() && !validate_only => {
                self.make_durable(write, &draft).await?;
                self.move_to(&mut state, draft.next, draft.changes)?;
                Ok(Changed { revision: state.at, fates: draft.fates })
            }
            Ok(draft) => {
                undo(write).await;
                Ok(Changed { revision: state.at, fates: draft.fates })
            }
            Err(error) => {
                undo(write).await;
                Err(error)
            }
        }
    }

    /// Everything but the commit.
    async fn try_all(
        &self,
        state: &mut State,
        write: &mut Write,
        steps: Vec<Step>,
    ) -> Result<Draft, AdminError> {
        let mut minted = rows::mint(write, steps.len()).await?;
        self.catch_up(state, write, minted.before()).await?;
        let fates = plan::Planner {
            connection: write,
            catalog: &state.catalog,
            masks: &self.masks,
            settings: &self.settings,
            minted: &mut minted,
            now: crate::now(),
        }
        .plan(steps)
        .await?;
        let draft = judge::judge(fates, state, minted.revision, &self.settings.networks)?;
        record::record(write, state, &draft).await?;
        Ok(draft)
    }

    /// Reads again what somebody else committed, or what a commit of unknown outcome did after all.
    async fn catch_up(
        &self,
        state: &mut State,
        write: &mut Write,
        at: Revision,
    ) -> Result<(), Failure> {
        if state.at == at {
            return Ok(());
        }
        if state.at.generation != at.generation {
            let (known, found) = (state.at.generation, at.generation);
            return Err(Failure::Generation { known, found });
        }
        tracing::warn!(memory = state.at.rev, database = at.rev, "reading the configuration again");
        let missed = rows::logged_after(write, state.at).await?;
        let next = State::load(write, at).await?;
        self.move_to(state, next, missed)
    }

    async fn make_durable(&self, write: Write, draft: &Draft) -> Result<(), Failure> {
        let Err(error) = write.commit().await else { return Ok(()) };
        match self.was_committed(draft).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error.into()),
            Err(unread) => {
                tracing::error!(error = %unread, "the outcome of a commit cannot be read");
                Err(Failure::OutcomeUnknown(error))
            }
        }
    }

    async fn was_committed(&self, draft: &Draft) -> Result<bool, Failure> {
        let mut read = self.db.read().await?;
        let head = rows::head(&mut read).await?;
        let is_there = head >= draft.next.at
            && rows::logged_at(&mut read, draft.next.at, &draft.changes).await?;
        read.finish().await?;
        Ok(is_there)
    }

    fn move_to(&self, state: &mut State, next: State, changes: Vec<Change>) -> Result<(), Failure> {
        let delta = Delta { from: state.at, to: next.at, changes };
        *state = next;
        self.publisher.publish(delta).map_err(|wrong| {
            tracing::error!(error = %wrong, "the feed and the configuration are out of step");
            Failure::OutOfStep { feed: wrong.at, state: wrong.from }
        })
    }
}

/// A transaction that cannot be rolled back is undone all the same when its connection closes.
async fn undo(write: Write) {
    if let Err(error) = write.rollback().await {
        tracing::warn!(%error, "a rollback failed; its connection was closed");
    }
}
