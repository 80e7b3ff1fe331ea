//! What a data plane makes of the messages of the feed: whole snapshots and deltas that fit. Pure.

use super::objects::ObjectId;
use super::{FeedUpdate, Heartbeat, SubscriberSettings, UnreadableChange};
use domain::id::Revision;
use domain::snapshot::{Change, Delta};
use prost::Message;
use proto::feed::v1::{self, sync_response};
use std::collections::BTreeMap;
use thiserror::Error;
use tokio::time::Instant;

/// A message that must not come here. The subscription starts over from what is applied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum ProtocolError {
    #[error("a message without content")]
    Empty,
    #[error("a message without its revision")]
    NoRevision,
    #[error("a delta from {from:?}, but this data plane has {have:?}")]
    WrongBase { from: Revision, have: Option<Revision> },
    #[error("a delta in the middle of a snapshot")]
    TornSnapshot,
    #[error("a chunk of a snapshot at {found:?} in the middle of the one at {expected:?}")]
    MixedSnapshots { expected: Revision, found: Revision },
    #[error("a snapshot at {at:?}, older than what this data plane has, {have:?}")]
    OlderSnapshot { at: Revision, have: Revision },
    #[error(
        "a snapshot at {at:?} of more than {most} {of}: it is refused, what is there stays in use"
    )]
    TooLarge { at: Revision, most: usize, of: &'static str },
}

/// The state of one subscriber, across connections.
#[derive(Debug)]
pub(super) struct Assembly {
    /// What was handed out last, which may be ahead of what is acked.
    have: Option<Revision>,
    /// What was forgotten: a replica that lags must not bring back anything older, which nobody would apply, and onto which
    /// nothing would fit that others send.
    forgotten: Option<Revision>,
    partial: Option<Partial>,
    rejects: Rejects,
    heartbeat: Option<Heartbeat>,
    limits: SnapshotLimits,
}

/// Beyond these a snapshot is a mistake of whoever sends it.
#[derive(Clone, Copy, Debug)]
struct SnapshotLimits {
    bytes: usize,
    objects: usize,
}

/// A snapshot of which not every chunk has come.
#[derive(Debug)]
struct Partial {
    at: Revision,
    changes: Vec<Change>,
    bytes: usize,
    rejects: Rejects,
}

impl Assembly {
    pub(super) const fn new(have: Option<Revision>, settings: &SubscriberSettings) -> Self {
        let limits =
            SnapshotLimits { bytes: settings.snapshot_bytes, objects: settings.snapshot_objects };
        let (forgotten, partial, heartbeat) = (None, None, None);
        Self { have, forgotten, partial, rejects: Rejects::new(), heartbeat, limits }
    }

    /// Forgets what there is, so that the next thing to come must be a snapshot.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.forgotten.max(self.have.take());
        self.start_over();
    }

    /// Forgets what a broken connection left unfinished.
    pub(super) fn start_over(&mut self) {
        self.partial = None;
    }

    /// Takes a message. Returns an update when one is complete and new.
    pub(super) fn take(
        &mut self,
        message: v1::SyncResponse,
    ) -> Result<Option<FeedUpdate>, ProtocolError> {
        match message.message.ok_or(ProtocolError::Empty)? {
            sync_response::Message::Chunk(chunk) => self.take_chunk(chunk),
            sync_response::Message::Delta(delta) => self.take_delta(delta),
            sync_response::Message::Heartbeat(heartbeat) => {
                let head = heartbeat.head.ok_or(ProtocolError::NoRevision)?.into();
                let (digests, received) = (heartbeat.digests, Instant::now());
                self.heartbeat = Some(Heartbeat { head, digests, received });
                Ok(None)
            }
        }
    }

    /// The last heartbeat, once.
    pub(super) fn take_heartbeat(&mut self) -> Option<Heartbeat> {
        self.heartbeat.take()
    }

    /// Everything that could not be read of the state handed out last.
    pub(super) fn rejects(&self) -> Vec<UnreadableChange> {
        self.rejects.list()
    }

    fn take_chunk(
        &mut self,
        chunk: v1::SnapshotChunk,
    ) -> Result<Option<FeedUpdate>, ProtocolError> {
        let at: Revision = chunk.at.ok_or(ProtocolError::NoRevision)?.into();
        // An older plan never overwrites a newer one.
        if let Some(have) = self.have.max(self.forgotten).filter(|have| *have > at) {
            return Err(ProtocolError::OlderSnapshot { at, have });
        }
        let mut partial = self.partial.take().unwrap_or_else(|| Partial::new(at));
        if partial.at != at {
            return Err(ProtocolError::MixedSnapshots { expected: partial.at, found: at });
        }
        for change in chunk.changes {
            partial.bytes = partial.bytes.saturating_add(change.encoded_len());
            partial.changes.extend(partial.rejects.read(change));
        }
        self.limits.check(&partial)?;
        if !chunk.last {
            self.partial = Some(partial);
            return Ok(None);
        }
        self.have = Some(at);
        self.rejects = partial.rejects;
        Ok(Some(FeedUpdate::Snapshot { at, changes: partial.changes }))
    }

    fn take_delta(&mut self, delta: v1::Delta) -> Result<Option<FeedUpdate>, ProtocolError> {
        let from: Revision = delta.from.ok_or(ProtocolError::NoRevision)?.into();
        let to: Revision = delta.to.ok_or(ProtocolError::NoRevision)?.into();
        if self.partial.is_some() {
            return Err(ProtocolError::TornSnapshot);
        }
        // After a break the feed goes on from the last acked revision, so what waited to be applied comes twice.
        if self.have.is_some_and(|have| to <= have) {
            return Ok(None);
        }
        if self.have != Some(from) {
            return Err(ProtocolError::WrongBase { from, have: self.have });
        }
        let mut changes = Vec::with_capacity(delta.changes.len());
        for change in delta.changes {
            changes.extend(self.rejects.read(change));
        }
        self.have = Some(to);
        Ok(Some(FeedUpdate::Delta(Delta { from, to, changes })))
    }
}

impl Partial {
    const fn new(at: Revision) -> Self {
        Self { at, changes: Vec::new(), bytes: 0, rejects: Rejects::new() }
    }
}

impl SnapshotLimits {
    fn check(self, partial: &Partial) -> Result<(), ProtocolError> {
        let at = partial.at;
        if partial.changes.len() > self.objects {
            return Err(ProtocolError::TooLarge { at, most: self.objects, of: "objects" });
        }
        if partial.bytes > self.bytes {
            return Err(ProtocolError::TooLarge { at, most: self.bytes, of: "bytes" });
        }
        Ok(())
    }
}

/// Changes that could not be read. The last good object stays in use, and the bad one is told with every ack until a
/// readable change replaces it.
#[derive(Debug)]
struct Rejects {
    /// `None` for kinds that this version does not know.
    reasons: BTreeMap<Option<ObjectId>, String>,
}

impl Rejects {
    const fn new() -> Self {
        Self { reasons: BTreeMap::new() }
    }

    fn read(&mut self, change: v1::Change) -> Option<Change> {
        let id = ObjectId::of_wire(&change);
        match Change::try_from(change) {
            Ok(change) => {
                self.reasons.remove(&id);
                Some(change)
            }
            Err(unreadable) => {
                self.reasons.insert(id, unreadable.to_string());
                None
            }
        }
    }

    fn list(&self) -> Vec<UnreadableChange> {
        let unreadable = |(id, reason): (&Option<ObjectId>, &String)| UnreadableChange {
            id: id.clone(),
            reason: reason.clone(),
        };
        self.reasons.iter().map(unreadable).collect()
    }
}

#[cfg(test)]
mod tests;
