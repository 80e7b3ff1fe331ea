//! The applied configuration: one snapshot that is swapped whole, and the keys, which are updated in place.
//!
//! It never goes back within a generation, nothing but a tombstone or a whole snapshot takes an object away, and it is not
//! served once the control plane has been silent for too long. Who follows the feed is in `keeper`.

mod age;
mod digest;
mod disk;
mod guard;
mod keeper;
mod usable;

pub use disk::DiskSettings;
pub use guard::GuardSettings;
pub use keeper::Keeper;

use crate::keys::{KeyEntry, KeyTable};
use age::{LastWord, Moment, age_now_us};
use arc_swap::ArcSwap;
use disk::Loaded;
use domain::id::{KeyUid, Revision};
use domain::key::KeyDigest;
use domain::snapshot::{Change, Delta, Key, Snapshot, WrongBase};
use links::feed::ObjectId;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How the configuration is kept.
#[derive(Clone, Debug)]
pub struct ConfigurationSettings {
    /// The cell whose configuration it is.
    pub cell: String,
    /// Opens what is sealed for this cell, and signs what is kept on the disk.
    pub seal_key: [u8; 32],
    /// Where it is kept; `None`: in memory alone.
    pub disk: Option<DiskSettings>,
    /// How long it is served without a word from the control plane.
    pub age_max: Duration,
    /// What is too much to be deleted at once.
    pub guard: GuardSettings,
    /// How soon after a divergence that a whole snapshot did not mend another one is asked for.
    pub mend_again_after: Duration,
}

impl ConfigurationSettings {
    /// In memory, with the defaults.
    #[must_use]
    pub fn new(cell: impl Into<String>, seal_key: [u8; 32]) -> Self {
        Self {
            cell: cell.into(),
            seal_key,
            disk: None,
            age_max: Duration::from_secs(24 * 60 * 60),
            guard: GuardSettings::default(),
            mend_again_after: Duration::from_secs(10 * 60),
        }
    }
}

/// Why there is no configuration to begin with.
#[derive(Debug, Error)]
pub enum ConfigurationError {
    /// The directory cannot be used.
    #[error("the configuration cannot be kept in {}: {source}", directory.display())]
    Disk {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What this data plane goes by. Clones are the same one.
#[derive(Clone)]
pub struct Configuration(Arc<Applied>);

struct Applied {
    snapshot: ArcSwap<Snapshot>,
    /// How many snapshots were shown.
    shown: AtomicU64,
    keys: KeyTable,
    is_loaded: watch::Sender<bool>,
    last_word: LastWord,
    age_max: Duration,
    rejects: AtomicU64,
}

/// Tells whether anything at all was changed between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    keys: u64,
    shown: u64,
}

/// An update that starts at, or leads to, a state that has nothing to do with the one that is applied.
#[derive(Debug, Error, PartialEq, Eq)]
enum Misfit {
    #[error("snapshot {at:?} is older than what is applied")]
    Older { at: Revision },
    #[error(transparent)]
    WrongBase(#[from] WrongBase),
}

impl Configuration {
    /// Begins with what is on the disk, if anything there can be trusted, and gives what keeps it.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(settings: ConfigurationSettings) -> Result<(Self, Keeper), ConfigurationError> {
        let Some(of_disk) = settings.disk.clone() else {
            let configuration = Self::with(KeyTable::default(), settings.age_max);
            let keeper = Keeper::new(configuration.clone(), settings, None, false);
            return Ok((configuration, keeper));
        };
        let failed =
            |source| ConfigurationError::Disk { directory: of_disk.directory.clone(), source };
        let (opening, mut loaded) =
            disk::open(&of_disk, &settings.cell, &settings.seal_key).map_err(failed)?;
        let keys = loaded.as_mut().map(|loaded| std::mem::take(&mut loaded.keys));
        let configuration = Self::with(keys.unwrap_or_default(), settings.age_max);
        if let Some(loaded) = &mut loaded {
            configuration.restore(loaded);
        }
        let disk = opening.start(configuration.clone(), loaded.as_ref()).map_err(failed)?;
        let is_incomplete = loaded.is_some_and(|loaded| loaded.is_incomplete);
        let keeper = Keeper::new(configuration.clone(), settings, Some(disk), is_incomplete);
        Ok((configuration, keeper))
    }

    /// Nothing but keys.
    fn with(keys: KeyTable, age_max: Duration) -> Self {
        let (is_loaded, _) = watch::channel(false);
        let snapshot = ArcSwap::from_pointee(Snapshot::default());
        let last_word = LastWord::never();
        let rejects = AtomicU64::new(0);
        let shown = AtomicU64::new(0);
        Self(Arc::new(Applied { snapshot, shown, keys, is_loaded, last_word, age_max, rejects }))
    }

    /// What was read after this was asked for still holds as long as it is the same.
    pub(crate) fn edition(&self) -> Edition {
        Edition { keys: self.0.keys.changes(), shown: self.0.shown.load(Ordering::Acquire) }
    }

    /// The snapshot at this moment; a request keeps the one it began with.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// The key of that digest.
    #[must_use]
    pub fn key(&self, digest: &KeyDigest) -> Option<Arc<KeyEntry>> {
        self.0.keys.get(digest)
    }

    /// How many keys there are.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.0.keys.len()
    }

    /// The state that is applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.snapshot.load().revision
    }

    /// Whether there is any state at all.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        *self.0.is_loaded.borrow()
    }

    /// Waits for the first state.
    pub async fn loaded(&self) {
        let mut is_loaded = self.0.is_loaded.subscribe();
        // The sender lives in `self`, so the wait can only end by being loaded.
        drop(is_loaded.wait_for(|loaded| *loaded).await);
    }

    /// How long ago the control plane last stood by this state. `None`: never, or nobody can tell.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.last_word.age()
    }

    /// Whether there is a state that may be served: the control plane stood by it recently enough.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.age().is_some_and(|age| age <= self.0.age_max)
    }

    /// How long a state is served without a word from the control plane.
    #[must_use]
    pub fn age_max(&self) -> Duration {
        self.0.age_max
    }

    /// How many objects cannot be used, so that the last good ones are.
    #[must_use]
    pub fn rejects(&self) -> u64 {
        self.0.rejects.load(Ordering::Relaxed)
    }

    fn count_rejects(&self, count: usize) {
        self.0.rejects.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The keys are in place already.
    fn restore(&self, loaded: &mut Loaded) {
        self.show(std::mem::take(&mut loaded.snapshot));
        for delta in std::mem::take(&mut loaded.deltas) {
            if let Err(misfit) = self.advance(delta) {
                tracing::error!(%misfit, "a delta of the disk does not fit");
            }
        }
        let age_us = loaded.note.as_ref().and_then(|note| age_now_us(note, &Moment::now()));
        if let Some(age_us) = age_us {
            self.confirm(Duration::from_micros(age_us));
        }
        let (revision, age, keys) = (self.revision(), self.age(), self.key_count());
        if self.is_current() {
            tracing::info!(?revision, ?age, keys, "starting from the configuration on the disk");
        } else {
            let most = self.0.age_max;
            tracing::error!(
                ?revision,
                ?age,
                ?most,
                "the configuration on the disk is too old, or nobody knows how old: it is not served until the control plane stands by it"
            );
        }
    }

    /// One that holds these objects, as if the control plane had just sent them.
    #[cfg(test)]
    pub(crate) fn holding(objects: Vec<Change>) -> Self {
        let configuration = Self::with(KeyTable::default(), Duration::from_secs(3_600));
        configuration.replace(Revision { generation: 1, rev: 1 }, objects).unwrap();
        configuration.confirm(Duration::ZERO);
        configuration
    }

    /// The control plane stood by this state so long ago.
    fn confirm(&self, ago: Duration) {
        self.0.last_word.came(ago);
    }

    fn replace(&self, at: Revision, changes: Vec<Change>) -> Result<(), Misfit> {
        if self.is_loaded() && at < self.revision() {
            return Err(Misfit::Older { at });
        }
        let (next, keys) = Snapshot::assemble(at, changes);
        self.0.keys.replace(keys);
        self.show(next);
        Ok(())
    }

    fn advance(&self, delta: Delta) -> Result<(), Misfit> {
        let (next, keys) = self.snapshot().apply(delta)?;
        self.0.keys.apply(keys);
        self.show(next);
        Ok(())
    }

    /// The keys are in place by now: what is revoked is refused before anything else of the revision shows.
    fn show(&self, next: Snapshot) {
        let revision = next.revision;
        self.0.snapshot.store(Arc::new(next));
        self.0.shown.fetch_add(1, Ordering::AcqRel);
        self.0.is_loaded.send_replace(true);
        tracing::debug!(?revision, keys = self.key_count(), "configuration applied");
    }

    /// The object as it is applied, as a put.
    fn object(&self, id: &ObjectId) -> Option<Change> {
        let snapshot = self.0.snapshot.load();
        match id {
            ObjectId::Entity(name) => {
                snapshot.entities.get(name).map(|it| Change::Entity((**it).clone()))
            }
            ObjectId::Plan(name) => snapshot.plans.get(name).map(|it| Change::Plan((**it).clone())),
            ObjectId::Upstream(name) => {
                snapshot.upstreams.get(name).map(|it| Change::Upstream((**it).clone()))
            }
            ObjectId::Model(name) => {
                snapshot.models.get(name).map(|it| Change::Model((**it).clone()))
            }
            ObjectId::Org(uid) => snapshot.orgs.get(uid).map(|it| Change::Org((**it).clone())),
            ObjectId::Key(uid) => self.put_of_key(*uid),
        }
    }

    fn put_of_key(&self, uid: KeyUid) -> Option<Change> {
        self.0.keys.by_uid(uid).map(Change::Key)
    }

    /// Into how many parts the whole state is divided, to be gone through one at a time.
    fn shelves(&self) -> usize {
        KeyTable::shelves().saturating_add(1)
    }

    /// One part of the whole state, as puts, some at a time: first all but the keys, then the keys.
    fn shelf(&self, shelf: usize) -> impl Iterator<Item = Vec<Change>> {
        let others = (shelf == 0).then(|| self.all_but_keys());
        let keys = shelf.checked_sub(1).map(|shelf| self.0.keys.shelf(shelf));
        let puts = |keys: Vec<Key>| keys.into_iter().map(Change::Key).collect();
        others.into_iter().chain(keys.into_iter().flatten().map(puts))
    }

    fn all_but_keys(&self) -> Vec<Change> {
        let snapshot = self.snapshot();
        let entities = snapshot.entities.values().map(|it| Change::Entity((**it).clone()));
        let plans = snapshot.plans.values().map(|it| Change::Plan((**it).clone()));
        let upstreams = snapshot.upstreams.values().map(|it| Change::Upstream((**it).clone()));
        let models = snapshot.models.values().map(|it| Change::Model((**it).clone()));
        let orgs = snapshot.orgs.values().map(|it| Change::Org((**it).clone()));
        entities.chain(plans).chain(upstreams).chain(models).chain(orgs).collect()
    }

    fn has_key(&self, uid: KeyUid) -> bool {
        self.0.keys.has(uid)
    }
}

#[cfg(test)]
mod tests;
