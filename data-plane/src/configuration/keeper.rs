//! Follows the feed: applies what can be used, writes it to the disk, and tells the control plane how far it has come and
//! what it could not use. Compares itself with the control plane on every heartbeat.

use super::digest::digest_of;
use super::disk::{Disk, Entry, Written};
use super::guard::{Guard, Loss, Losses, buried};
use super::usable::{Judge, Whole};
use super::{Configuration, ConfigurationSettings, Misfit};
use crate::metric;
use domain::id::Revision;
use domain::snapshot::{Change, Delta, WrongBase};
use links::feed::{FeedSubscriber, FeedUpdate, Heartbeat, ObjectId, StateDigest, UnreadableChange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the age is shown, and what is held back looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The age is written down about so often in the time for which it may grow.
const NOTES_PER_AGE: u32 = 1_440;
const NOTE_SOONEST: Duration = Duration::from_millis(100);
const NOTE_LATEST: Duration = Duration::from_secs(60);

/// Keeps one configuration up to date.
pub struct Keeper {
    configuration: Configuration,
    settings: ConfigurationSettings,
    disk: Option<Disk>,
    /// What is on the disk lacks something that came.
    is_incomplete: bool,
    guard: Guard,
    /// What cannot be used of the state that is applied, by object.
    unusable: BTreeMap<ObjectId, String>,
    /// What cannot be read of it.
    unreadable: Vec<UnreadableChange>,
    /// Why the last update was not applied as a whole.
    refused: Option<String>,
    digest: StateDigest,
    /// When a divergence was last answered by asking for everything.
    mended: Option<Instant>,
    noted: Option<Instant>,
    acked: Option<(Revision, Vec<String>, usize)>,
}

impl Keeper {
    pub(super) fn new(
        configuration: Configuration,
        settings: ConfigurationSettings,
        disk: Option<Disk>,
        is_incomplete: bool,
    ) -> Self {
        let guard = Guard::new(settings.guard);
        let digest = digest_of(&configuration);
        Self {
            configuration,
            settings,
            disk,
            is_incomplete,
            guard,
            unusable: BTreeMap::new(),
            unreadable: Vec::new(),
            refused: None,
            digest,
            mended: None,
            noted: None,
            acked: None,
        }
    }

    /// What the control plane may go on from. `None`: it must send everything.
    #[must_use]
    pub fn applied(&self) -> Option<Revision> {
        let has_all = self.configuration.is_loaded() && !self.is_incomplete;
        has_all.then(|| self.configuration.revision())
    }

    /// Applies what the feed brings, until told to stop.
    pub async fn follow(mut self, mut subscriber: FeedSubscriber, token: CancellationToken) {
        let mut heartbeats = subscriber.heartbeats();
        let mut written = self.written();
        let mut looks = interval(LOOK_EVERY.min(self.note_every()));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                update = subscriber.next() => {
                    self.unreadable = subscriber.unreadable().to_vec();
                    self.take(update).await;
                }
                Ok(()) = heartbeats.changed() => {}
                Ok(()) = written.changed() => {}
                _ = looks.tick() => self.look(&subscriber).await,
            }
            // Also after an update: the heartbeat that says that it is the newest may have come before it was applied.
            if let Some(heartbeat) = heartbeats.borrow_and_update().as_ref() {
                self.hear(heartbeat, &subscriber);
            }
            let written = written.borrow_and_update().clone();
            self.acknowledge(&subscriber, &written);
        }
    }

    /// Without a disk, all that is applied counts as written.
    fn written(&self) -> watch::Receiver<Written> {
        let always = || watch::channel(Written::default()).1;
        self.disk.as_ref().map_or_else(always, Disk::written)
    }

    async fn take(&mut self, update: FeedUpdate) {
        let taken = match update {
            FeedUpdate::Snapshot { at, changes } => self.take_snapshot(at, changes).await,
            FeedUpdate::Delta(delta) => self.take_delta(delta).await,
        };
        self.refused = taken.err().map(|misfit| {
            tracing::warn!(applied = ?self.configuration.revision(), %misfit, "configuration not applied");
            misfit.to_string()
        });
    }

    /// A whole state may have millions of keys: it is put together beside the runtime, which has money to move meanwhile.
    async fn take_snapshot(&mut self, at: Revision, changes: Vec<Change>) -> Result<(), Misfit> {
        let (configuration, seal_key) = (self.configuration.clone(), self.settings.seal_key);
        let unreadable = self.unreadable.clone();
        let whole = beside(move || Whole::of(&configuration, &seal_key, &unreadable, changes));
        let Some(Whole { changes, unusable, losses }) = whole.await else { return Ok(()) };
        if !self.allows(losses) {
            return Ok(());
        }
        let configuration = self.configuration.clone();
        let replaced = beside(move || {
            configuration.replace(at, changes)?;
            Ok::<_, Misfit>(digest_of(&configuration))
        });
        let Some(replaced) = replaced.await else { return Ok(()) };
        self.digest = replaced?;
        self.unusable = unusable;
        self.applied_from_feed();
        let note = self.configuration.0.last_word.note();
        self.write(Entry::Whole { at, is_incomplete: self.is_incomplete, note }).await;
        Ok(())
    }

    async fn take_delta(&mut self, delta: Delta) -> Result<(), Misfit> {
        let at = self.configuration.revision();
        if delta.to <= at || (self.guard.held().is_some() && delta.from != at) {
            return Ok(());
        }
        if delta.from != at {
            return Err(WrongBase { from: delta.from, at }.into());
        }
        if !self.allows(self.losses_of(&delta.changes)) {
            return Ok(());
        }
        let used = Delta { changes: self.used(delta.changes), ..delta };
        let ids: BTreeSet<ObjectId> = used.changes.iter().map(ObjectId::of).collect();
        ids.iter().for_each(|id| self.count_out(id));
        self.configuration.advance(used.clone())?;
        ids.iter().for_each(|id| self.count_in(id));
        self.applied_from_feed();
        let is_incomplete = self.is_incomplete;
        self.write(Entry::Delta { delta: Box::new(used), is_incomplete }).await;
        Ok(())
    }

    fn used(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let snapshot = self.configuration.snapshot();
        let mut judge = Judge::new(&self.settings.seal_key, &snapshot);
        let mut used = Vec::with_capacity(changes.len());
        for change in changes {
            let id = ObjectId::of(&change);
            match judge.judge(&change) {
                Ok(()) => {
                    self.unusable.remove(&id);
                    used.push(change);
                }
                Err(reason) => {
                    tracing::error!(kind = id.kind(), name = %id, reason, "an object cannot be used; the last good one stays");
                    self.unusable.insert(id, reason);
                }
            }
        }
        used
    }

    fn applied_from_feed(&mut self) {
        self.is_incomplete = !self.unusable.is_empty() || !self.unreadable.is_empty();
        self.configuration.confirm(Duration::ZERO);
    }

    fn count_out(&mut self, id: &ObjectId) {
        if let Some(before) = self.configuration.object(id) {
            self.digest.remove(&before);
        }
    }

    fn count_in(&mut self, id: &ObjectId) {
        if let Some(after) = self.configuration.object(id) {
            self.digest.add(&after);
        }
    }

    fn losses_of(&self, changes: &[Change]) -> Losses {
        let (keys, models) = buried(changes);
        let of = |kind| self.digest.count(kind);
        Losses {
            keys: Loss { gone: keys, of: of("key") },
            models: Loss { gone: models, of: of("model") },
        }
    }

    fn allows(&mut self, losses: Losses) -> bool {
        let was_held = self.guard.held().is_some();
        let is_allowed = self.guard.allows(losses, Instant::now());
        if let (false, Some(reason)) = (was_held, self.guard.held()) {
            tracing::error!(reason, "an update of the configuration is not applied");
            metric::configuration_held_back();
        }
        is_allowed
    }

    async fn write(&self, entry: Entry) {
        if let Some(disk) = &self.disk {
            disk.write(entry).await;
        }
    }

    /// What is due without anything having come.
    async fn look(&mut self, subscriber: &FeedSubscriber) {
        if self.guard.is_due(Instant::now()) {
            tracing::warn!("asking again for an update of the configuration that was held back");
            subscriber.start_over();
        }
        let is_due = self.noted.is_none_or(|noted| noted.elapsed() >= self.note_every());
        if is_due && let Some(note) = self.configuration.0.last_word.note() {
            self.noted = Some(Instant::now());
            self.write(Entry::Note(note)).await;
        }
    }

    fn note_every(&self) -> Duration {
        (self.settings.age_max / NOTES_PER_AGE).clamp(NOTE_SOONEST, NOTE_LATEST)
    }

    /// The control plane stands by a revision. If that is the one that is applied, the state is confirmed and compared.
    fn hear(&mut self, heartbeat: &Heartbeat, subscriber: &FeedSubscriber) {
        if heartbeat.head != self.configuration.revision() || !self.configuration.is_loaded() {
            return;
        }
        self.configuration.confirm(heartbeat.received.elapsed());
        // What could not be used is a difference that is known.
        if self.is_incomplete {
            return;
        }
        let differences = self.digest.differences(&heartbeat.digests);
        let wait = self.settings.mend_again_after;
        let is_answered = self.mended.is_some_and(|mended| mended.elapsed() < wait);
        if differences.is_empty() || is_answered {
            return;
        }
        tracing::error!(
            revision = ?heartbeat.head,
            ?differences,
            "the configuration differs from the control plane's at the same revision; asking for all of it"
        );
        metric::configuration_diverged();
        self.mended = Some(Instant::now());
        subscriber.start_over();
    }

    /// Says how far this data plane has come, if that is news.
    fn acknowledge(&mut self, subscriber: &FeedSubscriber, written: &Written) {
        if !self.configuration.is_loaded() {
            return;
        }
        let revision = self.configuration.revision();
        let upto = if self.disk.is_some() { written.upto.min(revision) } else { revision };
        if upto == Revision::default() {
            return;
        }
        let unusable =
            self.unusable.iter().map(|(id, reason)| format!("{} {id}: {reason}", id.kind()));
        let whole = [self.refused.as_deref(), self.guard.held(), written.failure.as_deref()];
        let whole = whole.into_iter().flatten().map(str::to_owned);
        let told: Vec<String> = unusable.chain(whole).collect();
        let unread = self.unreadable.len();
        self.configuration.count_rejects(self.unusable.len().saturating_add(unread));
        let news = Some((upto, told, unread));
        if self.acked != news
            && let Some((upto, told, _)) = news.clone()
        {
            subscriber.ack(upto, told);
            self.acked = news;
        }
    }
}

/// The digest of all that is applied.
/// Work that takes long. `None`: it died.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.inspect_err(|died| tracing::error!(%died, "a snapshot could not be applied")).ok()
}
