//! What a data plane makes of the messages of the feed: whole snapshots and deltas that fit. Pure.

use super::frames::{self, Body, Frame};
use super::objects::ObjectId;
use super::tag::{Tagger, Tagging};
use super::{FeedUpdate, Heartbeat, SubscriberSettings, UnreadableChange};
use bytes::Bytes;
use domain::id::Revision;
use domain::snapshot::{Change, Delta};
use prost::{DecodeError, Message};
use proto::feed::v1;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// A message that must not come here. The subscription starts over from what is applied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum ProtocolError {
    #[error("a message without content")]
    Empty,
    #[error("a message that cannot be read: {0}")]
    Garbled(#[from] DecodeError),
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
    #[error(
        "a snapshot at {at:?} whose tag does not fit: it was damaged on its way, or made with another seal key or for another \
         cell; what is there stays in use"
    )]
    BadTag { at: Revision },
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
    /// After what time to go elsewhere.
    goaway: Option<Duration>,
    /// The control plane of this connection has told its time: it listens for beats.
    hears_beats: bool,
    limits: SnapshotLimits,
    /// What snapshots are checked by; none where nobody is in between.
    tagging: Option<Tagging>,
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
    tagger: Option<Tagger>,
}

/// Some of a snapshot.
#[derive(Debug)]
struct Chunk {
    at: Revision,
    changes: Vec<v1::Change>,
    /// The same as they came; empty where nothing is checked.
    as_they_came: Vec<Bytes>,
    last: bool,
    tag: Bytes,
}

impl Assembly {
    pub(super) const fn new(
        have: Option<Revision>,
        settings: &SubscriberSettings,
        tagging: Option<Tagging>,
    ) -> Self {
        let limits =
            SnapshotLimits { bytes: settings.snapshot_bytes, objects: settings.snapshot_objects };
        Self {
            have,
            forgotten: None,
            partial: None,
            rejects: Rejects::new(),
            heartbeat: None,
            goaway: None,
            hears_beats: false,
            limits,
            tagging,
        }
    }

    /// Forgets what there is, so that the next thing to come must be a snapshot.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.forgotten.max(self.have.take());
        self.start_over();
    }

    /// Forgets what a broken connection left unfinished, and what was true of it alone.
    pub(super) fn start_over(&mut self) {
        self.partial = None;
        self.goaway = None;
        self.hears_beats = false;
    }

    /// Takes a message. Returns an update when one is complete and new.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Option<FeedUpdate>, ProtocolError> {
        match frame.body.ok_or(ProtocolError::Empty)? {
            Body::Chunk(chunk) => {
                let chunk = Chunk::read(chunk, self.tagging.is_some())?;
                self.take_chunk(chunk)
            }
            Body::Delta(delta) => self.take_delta(v1::Delta::decode(delta)?),
            Body::Heartbeat(heartbeat) => {
                self.hear(v1::Heartbeat::decode(heartbeat)?)?;
                Ok(None)
            }
            Body::Goaway(goaway) => {
                let goaway = v1::GoAway::decode(goaway)?;
                self.goaway = Some(Duration::from_millis(goaway.after_ms));
                Ok(None)
            }
        }
    }

    /// The last heartbeat, once.
    pub(super) fn take_heartbeat(&mut self) -> Option<Heartbeat> {
        self.heartbeat.take()
    }

    /// The word to go elsewhere, once.
    pub(super) fn take_goaway(&mut self) -> Option<Duration> {
        self.goaway.take()
    }

    /// Whether the control plane of this connection listens for beats, and sends some.
    pub(super) const fn hears_beats(&self) -> bool {
        self.hears_beats
    }

    /// Everything that could not be read of the state handed out last.
    pub(super) fn rejects(&self) -> Vec<UnreadableChange> {
        self.rejects.list()
    }

    /// One that tells the time and no revision is a sign of life, and says nothing of what is here.
    fn hear(&mut self, heartbeat: v1::Heartbeat) -> Result<(), ProtocolError> {
        let tells_time = heartbeat.now_us > 0;
        self.hears_beats |= tells_time;
        match heartbeat.head {
            Some(head) => {
                let (digests, received) = (heartbeat.digests, Instant::now());
                self.heartbeat = Some(Heartbeat { head: head.into(), digests, received });
                Ok(())
            }
            None if tells_time => Ok(()),
            None => Err(ProtocolError::NoRevision),
        }
    }

    fn take_chunk(&mut self, chunk: Chunk) -> Result<Option<FeedUpdate>, ProtocolError> {
        let at = chunk.at;
        // An older plan never overwrites a newer one.
        if let Some(have) = self.have.max(self.forgotten).filter(|have| *have > at) {
            return Err(ProtocolError::OlderSnapshot { at, have });
        }
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => Partial::new(at, self.tagging.as_ref()),
        };
        if partial.at != at {
            return Err(ProtocolError::MixedSnapshots { expected: partial.at, found: at });
        }
        partial.add(chunk.changes, &chunk.as_they_came);
        self.limits.check(&partial)?;
        if !chunk.last {
            self.partial = Some(partial);
            return Ok(None);
        }
        if partial.tagger.is_some_and(|tagger| !tagger.fits(&chunk.tag)) {
            return Err(ProtocolError::BadTag { at });
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

impl Chunk {
    /// Changes are kept as they came only if they are to be checked: a change that is written anew may differ.
    fn read(chunk: Bytes, is_checked: bool) -> Result<Self, ProtocolError> {
        if is_checked {
            let frames::Chunk { at, changes: as_they_came, last, tag } = Message::decode(chunk)?;
            let changes = as_they_came.iter().map(|change| v1::Change::decode(change.clone()));
            let changes = changes.collect::<Result<_, _>>()?;
            let at = at.ok_or(ProtocolError::NoRevision)?.into();
            return Ok(Self { at, changes, as_they_came, last, tag });
        }
        let v1::SnapshotChunk { at, changes, last, .. } = Message::decode(chunk)?;
        let at = at.ok_or(ProtocolError::NoRevision)?.into();
        Ok(Self { at, changes, as_they_came: Vec::new(), last, tag: Bytes::new() })
    }
}

impl Partial {
    fn new(at: Revision, tagging: Option<&Tagging>) -> Self {
        let tagger = tagging.map(|tagging| tagging.begin(at));
        Self { at, changes: Vec::new(), bytes: 0, rejects: Rejects::new(), tagger }
    }

    fn add(&mut self, changes: Vec<v1::Change>, as_they_came: &[Bytes]) {
        if let Some(tagger) = &mut self.tagger {
            as_they_came.iter().for_each(|change| tagger.add(change));
        }
        for change in changes {
            self.bytes = self.bytes.saturating_add(change.encoded_len());
            self.changes.extend(self.rejects.read(change));
        }
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
