//! The one way in which the configuration changes:
//!
//! `mint → plan → judge → record → commit → memory and feed`
//!
//! All in one transaction whose first statement mints the revision, so that what is validated is what the change lands
//! on. Memory and feed move only once the commit is known to have happened.

mod start;
mod step;
mod plan;
mod reach;
mod judge;
mod record;
mod accounts;
mod follow;
mod lost;

mod call;
mod wallets;
mod write_offs;
mod forgetting;
mod operators;

pub(crate) use call::{Answer, Call};
pub(crate) use operators::{OperatorChange, OperatorFate, OperatorStep};
pub(crate) use step::{Fate, Step};
pub(crate) use wallets::balance;
pub(crate) use write_offs::shown as usage_gap;

use crate::audit::{Auditor, Denied, Entry};
use crate::errors::{AdminError, Failure, OperatorRefusal, Refusal};
use crate::fleet::Fleet;
use crate::mask::Masks;
use crate::metric;
use crate::operator::{Caller, Scope};
use crate::rows;
use crate::settings::{AdminLimits, ControlPlaneSettings};
use crate::state::State;
use call::Answers;
use domain::catalog::Catalog;
use domain::id::Revision;
use domain::snapshot::{Change, Delta, WrongBase};
use judge::Draft;
use links::coordination::{Coordination, Duty};
use links::feed::{FeedPublisher, PublisherSettings, SnapshotKey};
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::{Database, StorageError, Write};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

/// Changes the configuration, one change at a time.
pub(crate) struct Authority {
    db: Database,
    settings: ControlPlaneSettings,
    masks: Masks,
    answers: Answers,
    auditor: Auditor,
    publisher: FeedPublisher,
    fleet: Fleet,
    state: Mutex<State>,
    shutdown: CancellationToken,
}

/// What became of a change.
pub(crate) struct Changed {
    /// The revision that holds it.
    pub(crate) revision: Revision,
    /// One for each step, in order of kind.
    pub(crate) fates: Vec<Fate>,
    /// What is allowed and hardly meant.
    pub(crate) warnings: Vec<String>,
}

impl Authority {
    /// Loads what is stored, and offers it to data planes.
    pub(crate) async fn start(
        db: Database,
        settings: ControlPlaneSettings,
        masks: Masks,
        auditor: Auditor,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let (state, puts) = start::load(&db).await?;
        settings.coordination.tell_head(state.at);
        let snapshot_key = Some(SnapshotKey::derive(&settings.seal_key));
        let feed = PublisherSettings { snapshot_key, ..settings.feed };
        let publisher = FeedPublisher::with_settings(state.at, puts, feed);
        let fleet = Fleet::new(db.clone(), publisher.clone());
        tokio::spawn(fleet.clone().tell(shutdown.clone()));
        let answers = Answers::new(&settings);
        let state = Mutex::new(state);
        Ok(Self { db, settings, masks, answers, auditor, publisher, fleet, state, shutdown })
    }

    /// Where data planes are told.
    pub(crate) const fn publisher(&self) -> &FeedPublisher {
        &self.publisher
    }

    /// The data planes of all control planes.
    pub(crate) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// How others hear of changes.
    pub(crate) const fn coordination(&self) -> &Coordination {
        &self.settings.coordination
    }

    /// What is configured as of now, but for keys.
    pub(crate) async fn catalog(&self) -> Arc<Catalog> {
        self.state.lock().await.catalog.clone()
    }

    /// What is stored, for reading.
    pub(crate) const fn database(&self) -> &Database {
        &self.db
    }

    /// The chain of all changes.
    pub(crate) const fn auditor(&self) -> &Auditor {
        &self.auditor
    }

    /// Forgets, now and again, answers that may not be repeated any more, until the process ends.
    pub(crate) async fn sweep_answers(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.settings.limits.request_id_sweep);
        let duty = self.settings.coordination.duty(Duty::Sweep);
        while self.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if !duty.is_mine() {
                continue;
            }
            if let Err(error) = self.answers.sweep(&self.db).await {
                tracing::warn!(%error, "answers whose time is over could not be forgotten yet");
            }
        }
    }

    /// Bounds on what one call may ask.
    pub(crate) const fn limits(&self) -> &AdminLimits {
        &self.settings.limits
    }

    /// What a request to change something is, for telling whether it is repeated.
    pub(crate) fn call(
        &self,
        caller: Caller,
        request_id: &str,
        validate_only: bool,
        request: &impl Message,
    ) -> Result<Call, AdminError> {
        Ok(self.answers.call(caller, request_id, validate_only, request)?)
    }

    /// Does all steps or none, as one revision; a trial none, after trying all. Steps that change nothing mint nothing.
    /// What may not be done is recorded, too.
    pub(crate) async fn change<A: Answer>(
        self: &Arc<Self>,
        call: Call,
        steps: Vec<Step>,
        answer: fn(Changed) -> Result<A, AdminError>,
    ) -> Result<A, AdminError> {
        let this = Arc::clone(self);
        let span = tracing::info_span!(
            "configuration change",
            otel.kind = "server",
            turnpike.steps = steps.len(),
            turnpike.validate_only = call.validate_only,
            turnpike.revision = field::Empty,
        );
        let work = async move {
            let done = this.run(&call, steps, answer).await;
            this.told(&call, done).await
        };
        let done = apart(work.instrument(span)).await;
        metric::changed(if done.is_ok() { "done" } else { "refused" });
        done
    }

    async fn run<A: Answer>(
        &self,
        call: &Call,
        steps: Vec<Step>,
        answer: fn(Changed) -> Result<A, AdminError>,
    ) -> Result<A, AdminError> {
        self.refuse_when_stopping()?;
        let mut state = self.state.lock().await;
        let earlier = self.answers.earlier(&self.db, call);
        if let Some(earlier) = self.db.without_commit_in_time(earlier).await? {
            return Ok(earlier);
        }
        let mut write = self.db.write().await?;
        let trying = self.try_all(&mut state, &mut write, call, steps);
        match self.db.without_commit_in_time(trying).await {
            Ok(draft) if draft.changes_anything() && !call.validate_only => {
                let entries = self.entries(&draft)?;
                let warnings = draft.warnings(&state);
                let Draft { fates, next, changes } = draft;
                let answered = answer(Changed { revision: next.at, fates, warnings })?;
                self.conclude(write, call, &entries, &answered).await?;
                self.move_to(&mut state, next, changes)?;
                Span::current().record("turnpike.revision", state.at.rev);
                Ok(answered)
            }
            Ok(draft) => {
                undo(write).await;
                let warnings = draft.warnings(&state);
                let fates = draft.fates.into_iter().map(Fate::without_secret).collect();
                let answered = answer(Changed { revision: state.at, fates, warnings })?;
                self.keep_alone(call, &answered).await?;
                Ok(answered)
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
        call: &Call,
        steps: Vec<Step>,
    ) -> Result<Draft, AdminError> {
        let mut minted = rows::mint(write, steps.len()).await?;
        self.catch_up(state, write, minted.before()).await?;
        self.expect_unchanged(write, &call.caller).await?;
        let fates = plan::Planner {
            connection: write,
            caller: &call.caller,
            catalog: &state.catalog,
            masks: &self.masks,
            settings: &self.settings,
            minted: &mut minted,
            now: crate::now(),
            doomed: BTreeSet::new(),
        }
        .plan(steps)
        .await?;
        let draft = judge::judge(fates, state, minted.revision, &self.settings.networks)?;
        record::record(write, state, &draft).await?;
        Ok(draft)
    }

    /// Audit record and kept answer join what was written; all of it becomes durable.
    async fn conclude(
        &self,
        mut write: Write,
        call: &Call,
        entries: &[Entry],
        answer: &impl Answer,
    ) -> Result<(), Failure> {
        self.answers.keep(&mut write, call, answer).await?;
        if entries.is_empty() {
            return Ok(write.commit().await?);
        }
        let head = self.auditor.append(&mut write, &call.caller, &call.request_id, entries).await?;
        let Err(error) = write.commit().await else { return Ok(()) };
        match self.auditor.was_appended(&head).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error.into()),
            Err(unread) => {
                tracing::error!(error = %unread, "the outcome of a commit cannot be read");
                Err(Failure::OutcomeUnknown(error))
            }
        }
    }

    /// Keeps the answer of a call that changed nothing, so that repeating it later changes nothing either.
    async fn keep_alone(&self, call: &Call, answer: &impl Answer) -> Result<(), Failure> {
        if !call.is_remembered() {
            return Ok(());
        }
        self.conclude(self.db.write().await?, call, &[], answer).await
    }

    fn entries(&self, draft: &Draft) -> Result<Vec<Entry>, AdminError> {
        let mut entries = Vec::with_capacity(draft.fates.len());
        for fate in &draft.fates {
            let fields = match fate {
                Fate::Updated { before, after, .. } => {
                    self.masks.changed(&before.spec, &after.spec)?
                }
                _ => Vec::new(),
            };
            entries.extend(fate.entry(fields));
        }
        Ok(entries)
    }

    /// What a call came to. Attempts at what the caller may not do are recorded, as are those at what is not there for
    /// him, whether it is there for others or not: the two must take equally long.
    async fn told<A: Answer>(
        &self,
        call: &Call,
        done: Result<A, AdminError>,
    ) -> Result<A, AdminError> {
        let Err(error) = &done else { return done };
        if let Some(resource) = attempted(&call.caller, error) {
            let request_id = &call.request_id;
            self.auditor
                .denied(Denied { caller: &call.caller, resource: &resource, request_id })
                .await;
        } else if let AdminError::Failed(Failure::Storage(StorageError::Exists(_))) = error {
            // Another replica answered the same call at this moment.
            if let Some(earlier) = self.answers.earlier(&self.db, call).await? {
                return Ok(earlier);
            }
        }
        done
    }

    /// A call may have waited while its caller was changed.
    async fn expect_unchanged(&self, write: &mut Write, caller: &Caller) -> Result<(), AdminError> {
        let known = &caller.operator;
        if !known.is_stored() {
            return Ok(());
        }
        match rows::find_operator(write, &known.name).await? {
            Some(found) if found == *known => Ok(()),
            _ => Err(OperatorRefusal::CallerChanged.into()),
        }
    }

    fn refuse_when_stopping(&self) -> Result<(), Failure> {
        if self.shutdown.is_cancelled() { Err(Failure::ShuttingDown) } else { Ok(()) }
    }

    fn move_to(&self, state: &mut State, next: State, changes: Vec<Change>) -> Result<(), Failure> {
        let delta = Delta { from: state.at, to: next.at, changes };
        *state = next;
        self.settings.coordination.tell_head(state.at);
        self.publisher.publish(delta).map_err(|wrong| out_of_step(&wrong))
    }
}

fn out_of_step(wrong: &WrongBase) -> Failure {
    tracing::error!(error = %wrong, "the feed and the configuration are out of step");
    Failure::OutOfStep { feed: wrong.at, state: wrong.from }
}

/// A transaction that cannot be rolled back is undone all the same when its connection closes.
async fn undo(write: Write) {
    if let Err(error) = write.rollback().await {
        tracing::warn!(%error, "a rollback failed; its connection was closed");
    }
}

/// Runs a change as a task of its own: a caller that hangs up between commit and feed must not keep them apart.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, AdminError>> + Send + 'static,
) -> Result<T, AdminError> {
    tokio::spawn(work).await.unwrap_or_else(|died| {
        tracing::error!(error = %died, "a change of the configuration died");
        Err(if died.is_panic() { Failure::Died } else { Failure::ShuttingDown }.into())
    })
}

/// What a refused call tried to change, if it was refused for who makes it.
fn attempted(caller: &Caller, error: &AdminError) -> Option<String> {
    let AdminError::Refused(refusal) = error else { return None };
    match refusal {
        Refusal::Denied { resource, .. } => Some(resource.clone()),
        Refusal::NotFound { kind, name } if caller.operator.scope != Scope::Everything => {
            Some(format!("{kind} {name}"))
        }
        Refusal::Operator(OperatorRefusal::NotFound { name })
            if caller.operator.scope != Scope::Everything =>
        {
            Some(format!("Operator {name}"))
        }
        _ => None,
    }
}
