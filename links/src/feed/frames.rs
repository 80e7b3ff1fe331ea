//! `SyncResponse` put together from parts that are encoded already, and taken apart into them.
//!
//! On the wire an embedded message and a bytes field are the same, so these mirrors of the generated messages carry
//! bytes where those carry messages: each object and each delta is encoded once, however many data planes get it, and a tag is
//! checked against what really came.

use super::digest::StateDigest;
use bytes::Bytes;
use domain::id::Revision;
use domain::snapshot::Change;
use proto::feed::v1;
use std::time::Duration;

/// What an object costs in a message beside itself: its tag and, at most, five bytes of length.
pub(super) const OBJECT_OVERHEAD: usize = 6;

/// What a chunk costs beside its objects, at most.
pub(super) const CHUNK_OVERHEAD: usize = 128;

/// Mirrors `SyncResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Frame {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4")]
    pub(super) body: Option<Body>,
}

/// Mirrors `sync_response::Message`.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(super) enum Body {
    #[prost(bytes = "bytes", tag = "1")]
    Chunk(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Delta(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    Heartbeat(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Goaway(Bytes),
}

/// Mirrors `SnapshotChunk`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Chunk {
    #[prost(message, optional, tag = "1")]
    pub(super) at: Option<v1::Revision>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) changes: Vec<Bytes>,
    #[prost(bool, tag = "3")]
    pub(super) last: bool,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) tag: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Delta {
    #[prost(message, optional, tag = "1")]
    from: Option<v1::Revision>,
    #[prost(message, optional, tag = "2")]
    to: Option<v1::Revision>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    changes: Vec<Bytes>,
}

/// One change.
pub(super) fn change(change: &Change) -> Bytes {
    encode(&v1::Change::from(change))
}

/// The inside of a delta.
pub(super) fn delta(from: Revision, to: Revision, changes: Vec<Bytes>) -> Bytes {
    encode(&Delta { from: Some(from.into()), to: Some(to.into()), changes })
}

/// A whole message with a delta in it.
pub(super) const fn delta_frame(delta: Bytes) -> Frame {
    Frame { body: Some(Body::Delta(delta)) }
}

/// A whole message that says what the control plane stands by.
pub(super) fn heartbeat_frame(head: Revision, digest: &StateDigest, now_us: u64) -> Frame {
    let (head, digests) = (Some(head.into()), digest.to_wire());
    beat_frame(&v1::Heartbeat { head, digests, now_us })
}

/// A whole message that says that the control plane is there.
pub(super) fn alive_frame(now_us: u64) -> Frame {
    beat_frame(&v1::Heartbeat { now_us, ..v1::Heartbeat::default() })
}

fn beat_frame(heartbeat: &v1::Heartbeat) -> Frame {
    Frame { body: Some(Body::Heartbeat(encode(heartbeat))) }
}

/// A whole message that sends a data plane elsewhere.
pub(super) fn goaway_frame(after: Duration, reason: &str) -> Frame {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let goaway = v1::GoAway { after_ms, reason: reason.to_owned() };
    Frame { body: Some(Body::Goaway(encode(&goaway))) }
}

/// A whole message with a part of a snapshot in it.
pub(super) fn chunk_frame(chunk: &Chunk) -> Frame {
    Frame { body: Some(Body::Chunk(encode(chunk))) }
}

fn encode(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests;
