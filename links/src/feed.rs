//! The feed: configuration from the control plane to its data planes, by revision.
//!
//! A data plane gets a snapshot once and deltas from then on; it says what it has applied, and after a break goes on from
//! there. Nothing here knows what the configuration means.

mod objects;
mod digest;
mod frames;
mod tag;
mod history;
mod roster;
mod seat;
mod publisher;
mod subscription;
mod door;

mod call;
mod assembly;
mod subscriber;

#[doc(hidden)]
pub mod simulated;

pub use digest::StateDigest;
pub use door::FeedDoor;
pub use objects::ObjectId;
pub use publisher::FeedPublisher;
pub use roster::{Follower, Followers};
pub use subscriber::FeedSubscriber;
pub use tag::SnapshotKey;

use crate::ReconnectSettings;
use domain::id::Revision;
use domain::snapshot::{Change, Delta};
use proto::feed::v1::KindDigest;
use std::time::Duration;
use tokio::time::Instant;

/// Limits of the control plane's end.
#[derive(Clone, Copy, Debug)]
pub struct PublisherSettings {
    /// Deltas kept for data planes that lag or come back; one that needs an older one gets a snapshot.
    pub ring_deltas: usize,
    /// Bytes of deltas kept.
    pub ring_bytes: usize,
    /// A delta larger than this does not travel: data planes get a snapshot instead.
    pub delta_bytes: usize,
    /// Bytes of one message of a snapshot; only an object that is larger alone makes a larger one.
    pub chunk_bytes: usize,
    /// The same for data planes of other processes: so much, of one that reads no more, may lie here until it leaves.
    pub wire_chunk_bytes: usize,
    /// How long a data plane may take to say who it is.
    pub hello_timeout: Duration,
    /// How often a data plane that has everything is told so.
    pub heartbeat_interval: Duration,
    /// A data plane of another process that says nothing for so long is taken for gone.
    pub silence: Duration,
    /// Bytes of one message of a data plane.
    pub request_bytes: usize,
    /// Data planes that read a snapshot at the same time; more wait for their turn.
    pub snapshots_at_once: usize,
    /// One that takes nothing of it for so long loses its turn.
    pub snapshot_patience: Duration,
    /// What snapshots for data planes of other processes are tagged with.
    pub snapshot_key: Option<SnapshotKey>,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            ring_deltas: 10_000,
            ring_bytes: 64 * 1024 * 1024,
            delta_bytes: 4 * 1024 * 1024,
            chunk_bytes: 1024 * 1024,
            wire_chunk_bytes: 32 * 1024,
            hello_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            request_bytes: 1024 * 1024,
            snapshots_at_once: 8,
            snapshot_patience: Duration::from_secs(60),
            snapshot_key: None,
        }
    }
}

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct SubscriberSettings {
    /// How it comes back.
    pub reconnect: ReconnectSettings,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Most bytes of one snapshot, beyond which it is refused and what is there kept.
    pub snapshot_bytes: usize,
    /// Most objects of one snapshot.
    pub snapshot_objects: usize,
    /// Updates that wait to be taken before the control plane is made to wait.
    pub waiting_updates: usize,
    /// Bytes of rejects in one ack; the rest are counted. Well below what the publisher takes.
    pub reject_bytes: usize,
    /// What else there is to see to if the control plane is another process. None: it is this one, neither end can vanish
    /// without the other, and nobody is in between.
    pub wire: Option<WireSettings>,
}

/// What a data plane sees to if its control plane is another process.
#[derive(Clone, Copy, Debug)]
pub struct WireSettings {
    /// How often it says that it is there.
    pub beat_interval: Duration,
    /// A control plane that says nothing for so long is taken for gone.
    pub silence: Duration,
    /// What snapshots must be tagged with.
    pub snapshot_key: SnapshotKey,
}

impl Default for SubscriberSettings {
    fn default() -> Self {
        Self {
            reconnect: ReconnectSettings::default(),
            message_bytes: 64 * 1024 * 1024,
            snapshot_bytes: 4 * 1024 * 1024 * 1024,
            snapshot_objects: 20_000_000,
            waiting_updates: 16,
            reject_bytes: 256 * 1024,
            wire: None,
        }
    }
}

/// A data plane that is connected to this control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlaneStatus {
    /// Its name.
    pub name: String,
    /// What it has applied; the default revision if nothing.
    pub applied: Revision,
    /// What it cannot use of that: it goes on with the last good one, if there was one.
    pub rejects: Vec<String>,
}

/// Who subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedHello {
    /// The data plane's name.
    pub data_plane: String,
    /// The cell it belongs to.
    pub cell: String,
    /// The state it has, for instance from its disk. `None`: nothing.
    pub applied: Option<Revision>,
}

/// The control plane's word that it stands by a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// The newest revision. Whoever has applied it has all there is.
    pub head: Revision,
    /// What the control plane holds at it.
    pub digests: Vec<KindDigest>,
    /// When it came.
    pub received: Instant,
}

/// A change that this side could not read; the last good object stays in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableChange {
    /// What it is about. `None`: of a kind that this version does not know.
    pub id: Option<ObjectId>,
    /// Why.
    pub reason: String,
}

/// What a data plane has to apply next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedUpdate {
    /// Replaces everything. Always complete.
    Snapshot {
        /// The state it is.
        at: Revision,
        /// Puts in reference order.
        changes: Vec<Change>,
    },
    /// Applies onto the update before it.
    Delta(Delta),
}
