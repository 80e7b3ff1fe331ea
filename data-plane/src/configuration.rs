//! The applied configuration: one snapshot that is swapped whole, and the keys, which are updated in place.
//!
//! Follows the feed and acknowledges what it applied. It never goes back within a generation, and nothing but a tombstone or
//! a whole snapshot takes an object away.

use crate::keys::{KeyEntry, KeyTable};
use arc_swap::ArcSwap;
use domain::id::Revision;
use domain::key::KeyDigest;
use domain::snapshot::{Change, Delta, Snapshot};
use links::feed::{FeedSubscriber, FeedUpdate};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What this data plane goes by. Clones are the same one.
#[derive(Clone)]
pub struct Configuration(Arc<Applied>);

struct Applied {
    snapshot: ArcSwap<Snapshot>,
    keys: KeyTable,
    is_loaded: watch::Sender<bool>,
}

/// What became of an update.
enum Step {
    /// It is what is gone by now, or was so already.
    Done,
    /// It starts at, or leads to, a state that has nothing to do with the one that is applied.
    Refused(String),
}

impl Default for Configuration {
    fn default() -> Self {
        Self::new()
    }
}

impl Configuration {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (is_loaded, _) = watch::channel(false);
        let snapshot = ArcSwap::from_pointee(Snapshot::default());
        Self(Arc::new(Applied { snapshot, keys: KeyTable::new(), is_loaded }))
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

    /// Applies what the feed brings, until told to stop.
    pub async fn follow(self, mut subscriber: FeedSubscriber, token: CancellationToken) {
        loop {
            let update = tokio::select! {
                () = token.cancelled() => return,
                update = subscriber.next() => update,
            };
            let step = match update {
                FeedUpdate::Snapshot { at, changes } => self.take_snapshot(at, changes).await,
                FeedUpdate::Delta(delta) => self.take_delta(delta),
            };
            let rejects = match step {
                Step::Done => Vec::new(),
                Step::Refused(reason) => {
                    tracing::warn!(applied = ?self.revision(), reason, "configuration not applied");
                    vec![reason]
                }
            };
            subscriber.ack(self.revision(), rejects);
        }
    }

    /// A whole state may have millions of keys: it is put together beside the runtime, which has money to move meanwhile.
    async fn take_snapshot(&self, at: Revision, changes: Vec<Change>) -> Step {
        let own = self.clone();
        let applied = tokio::task::spawn_blocking(move || own.replace(at, changes)).await;
        applied.unwrap_or_else(|failure| Step::Refused(format!("snapshot {at:?}: {failure}")))
    }

    fn replace(&self, at: Revision, changes: Vec<Change>) -> Step {
        if self.is_loaded() && at < self.revision() {
            return Step::Refused(format!("snapshot {at:?} is older than what is applied"));
        }
        let (next, keys) = Snapshot::assemble(at, changes);
        self.0.keys.replace(keys);
        self.show(next);
        Step::Done
    }

    fn take_delta(&self, delta: Delta) -> Step {
        if delta.to <= self.revision() {
            return Step::Done;
        }
        match self.snapshot().apply(delta) {
            Ok((next, keys)) => {
                self.0.keys.apply(keys);
                self.show(next);
                Step::Done
            }
            Err(wrong_base) => Step::Refused(wrong_base.to_string()),
        }
    }

    /// The keys are in place by now: what is revoked is refused before anything else of the revision shows.
    fn show(&self, next: Snapshot) {
        let revision = next.revision;
        self.0.snapshot.store(Arc::new(next));
        self.0.is_loaded.send_replace(true);
        tracing::debug!(?revision, keys = self.key_count(), "configuration applied");
    }
}

#[cfg(test)]
mod tests;
