//! What the publisher knows: the head, the state at it, and the last deltas that led there. Pure.

use super::PublisherSettings;
use super::digest::StateDigest;
use super::frames::{self, Frame};
use super::objects::{ObjectId, ObjectReader, Objects};
use super::tag::{Tagger, Tagging};
use bytes::Bytes;
use domain::id::Revision;
use domain::snapshot::{Change, Delta, WrongBase};
use std::collections::VecDeque;

/// The state and how it came about.
#[derive(Debug)]
pub(super) struct History {
    settings: PublisherSettings,
    head: Revision,
    objects: Objects,
    digest: StateDigest,
    /// Unbroken: each begins where the one before ends, the last one ends at the head.
    ring: VecDeque<KeptDelta>,
    ring_bytes: usize,
}

#[derive(Debug)]
struct KeptDelta {
    from: Revision,
    to: Revision,
    encoded: Bytes,
}

/// How a data plane gets on from where it is.
#[derive(Debug)]
pub(super) enum Step {
    /// There is nothing newer.
    Wait,
    /// One delta further.
    Delta { to: Revision, frame: Frame },
    /// All anew.
    Snapshot,
}

/// One snapshot on its way to one data plane.
#[derive(Debug)]
pub(super) struct SnapshotReader {
    at: Revision,
    objects: ObjectReader,
    /// For a data plane that checks tags.
    tagger: Option<Tagger>,
}

impl History {
    pub(super) fn new(at: Revision, objects: &[Change], settings: PublisherSettings) -> Self {
        let mut history = Self {
            settings,
            head: at,
            objects: Objects::default(),
            digest: StateDigest::default(),
            ring: VecDeque::new(),
            ring_bytes: 0,
        };
        for change in objects {
            history.apply(change, frames::change(change));
        }
        history
    }

    pub(super) const fn head(&self) -> Revision {
        self.head
    }

    /// Moves the head by a delta whose changes, encoded one by one, are `changes`. A delta that does not lead forward has the
    /// wrong base as well.
    pub(super) fn publish(&mut self, delta: &Delta, changes: Vec<Bytes>) -> Result<(), WrongBase> {
        if delta.from != self.head || delta.to <= delta.from {
            return Err(WrongBase { from: delta.from, at: self.head });
        }
        for (change, encoded) in delta.changes.iter().zip(&changes) {
            self.apply(change, encoded.clone());
        }
        self.head = delta.to;
        self.keep(delta, changes);
        Ok(())
    }

    /// What comes after `at`.
    pub(super) fn after(&self, at: Option<Revision>) -> Step {
        let Some(at) = at else { return Step::Snapshot };
        if at == self.head {
            return Step::Wait;
        }
        match self
            .ring
            .binary_search_by_key(&at, |kept| kept.from)
            .map(|found| self.ring.get(found))
        {
            Ok(Some(kept)) => {
                Step::Delta { to: kept.to, frame: frames::delta_frame(kept.encoded.clone()) }
            }
            Ok(None) | Err(_) => Step::Snapshot,
        }
    }

    /// Whether the head has come to `at`, or passed it.
    pub(super) fn has_reached(&self, at: Revision) -> bool {
        self.head >= at
    }

    /// What a data plane at `at` is told while there is nothing newer. `now_us` is told with it.
    pub(super) fn heartbeat(&self, at: Revision, now_us: u64) -> Option<Frame> {
        (at == self.head).then(|| frames::heartbeat_frame(self.head, &self.digest, now_us))
    }

    /// All that there is now, tagged if that is wanted.
    pub(super) fn snapshot(&self, tagging: Option<&Tagging>) -> SnapshotReader {
        let tagger = tagging.map(|tagging| tagging.begin(self.head));
        SnapshotReader { at: self.head, objects: self.objects.read(), tagger }
    }

    fn apply(&mut self, change: &Change, encoded: Bytes) {
        let id = ObjectId::of(change);
        let before = if matches!(change, Change::Tombstone(_)) {
            self.objects.remove(&id)
        } else {
            self.digest.add_encoded(&id, &encoded);
            self.objects.put(id.clone(), encoded)
        };
        if let Some(before) = before {
            self.digest.remove_encoded(&id, &before);
        }
    }

    /// Keeps a delta for those who lag. Across a new generation, or when it is too large to travel, it is not kept and the
    /// chain is cut: they get snapshots.
    fn keep(&mut self, delta: &Delta, changes: Vec<Bytes>) {
        let encoded = frames::delta(delta.from, delta.to, changes);
        let is_same_generation = delta.from.generation == delta.to.generation;
        if !is_same_generation || encoded.len() > self.settings.delta_bytes {
            self.ring.clear();
            self.ring_bytes = 0;
            return;
        }
        self.ring_bytes = self.ring_bytes.saturating_add(encoded.len());
        self.ring.push_back(KeptDelta { from: delta.from, to: delta.to, encoded });
        while self.is_ring_too_large() {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes = self.ring_bytes.saturating_sub(oldest.encoded.len());
        }
    }

    fn is_ring_too_large(&self) -> bool {
        self.ring.len() > self.settings.ring_deltas || self.ring_bytes > self.settings.ring_bytes
    }
}

impl SnapshotReader {
    pub(super) const fn at(&self) -> Revision {
        self.at
    }

    /// The next chunk, a message of at most `bytes` (or with one object), and whether it is the last. An empty state is one empty chunk.
    pub(super) fn next_chunk(&mut self, bytes: usize) -> (Frame, bool) {
        let changes = self.objects.take(bytes.saturating_sub(frames::CHUNK_OVERHEAD));
        let last = self.objects.is_at_end();
        if let Some(tagger) = &mut self.tagger {
            changes.iter().for_each(|change| tagger.add(change));
        }
        let tag = self.tagger.as_ref().filter(|_| last).map(Tagger::tag).unwrap_or_default();
        let chunk = frames::Chunk { at: Some(self.at.into()), changes, last, tag };
        (frames::chunk_frame(&chunk), last)
    }
}

#[cfg(test)]
mod tests;
