//! The control plane's end of the feed.
//!
//! It owns the history and the list of who is connected. How one data plane is served is in `subscription`.

use super::door::FeedDoor;
use super::frames;
use super::history::History;
use super::roster::{Followers, Roster};
use super::seat::Places;
use super::{DataPlaneStatus, PublisherSettings};
use crate::ending::Ending;
use crate::farewell::{self, Farewell};
use domain::id::Revision;
use domain::snapshot::{Change, Delta, WrongBase};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// Keeps the compiled state and tells it to data planes.
#[derive(Clone, Debug)]
pub struct FeedPublisher {
    shared: Arc<Shared>,
}

/// What all subscriptions of one publisher share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: PublisherSettings,
    pub(super) history: Mutex<History>,
    /// Follows the head of the history, to be waited for.
    pub(super) head: watch::Sender<Revision>,
    pub(super) roster: Roster,
    /// Among which snapshots are read.
    pub(super) places: Places,
    pub(super) farewell: Farewell,
    pub(super) closing: Ending,
}

impl FeedPublisher {
    /// Starts from the whole state: puts, in reference order.
    #[must_use]
    pub fn new(at: Revision, objects: Vec<Change>) -> Self {
        Self::with_settings(at, objects, PublisherSettings::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_settings(at: Revision, objects: Vec<Change>, settings: PublisherSettings) -> Self {
        let history = History::new(at, &objects, settings);
        drop(objects);
        let shared = Shared {
            settings,
            history: Mutex::new(history),
            head: watch::Sender::new(at),
            roster: Roster::default(),
            places: Places::new(settings.snapshots_at_once, settings.snapshot_patience),
            farewell: Farewell::default(),
            closing: Ending::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Moves to the next revision and tells everyone.
    ///
    /// # Errors
    /// When the delta does not start at the head, or does not lead forward.
    pub fn publish(&self, delta: Delta) -> Result<(), WrongBase> {
        // Encoded before the lock, so that no data plane waits for a large import.
        let changes = delta.changes.iter().map(frames::change).collect();
        self.shared.history.lock().publish(&delta, changes)?;
        // Two publishers may come here in either order; the history knows which revision is newer.
        self.shared.head.send_modify(|head| *head = delta.to.max(*head));
        Ok(())
    }

    /// Moves to a generation that begins with this state; everyone gets a snapshot of it.
    ///
    /// # Errors
    /// When that would not lead forward.
    pub fn replace(&self, at: Revision, objects: Vec<Change>) -> Result<(), WrongBase> {
        let begun = History::new(at, &objects, self.shared.settings);
        drop(objects);
        let mut history = self.shared.history.lock();
        let head = history.head();
        if at <= head {
            return Err(WrongBase { from: at, at: head });
        }
        let before = std::mem::replace(&mut *history, begun);
        drop(history);
        drop(before);
        self.shared.head.send_modify(|head| *head = at.max(*head));
        Ok(())
    }

    /// The newest revision.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.shared.history.lock().head()
    }

    /// The data planes that are connected now, by name. One whose `applied` is beyond the head shows that commits were lost.
    #[must_use]
    pub fn data_planes(&self) -> Vec<DataPlaneStatus> {
        self.shared.roster.list()
    }

    /// The same, to be waited for.
    #[must_use]
    pub fn followers(&self) -> Followers {
        self.shared.roster.followers()
    }

    /// Returns once every data plane that is connected then has applied `revision`; at once when there is none.
    pub async fn applied_everywhere(&self, revision: Revision) {
        self.shared.roster.all_at(revision).await;
    }

    /// What is said to the data planes before all ends, so that they leave one by one.
    #[must_use]
    pub fn farewell(&self) -> Farewell {
        self.shared.farewell.clone()
    }

    /// Ends all subscriptions and takes no more: a server that is asked to stop waits for them. Data planes come back by
    /// themselves.
    pub fn close(&self) {
        self.shared.closing.end(Status::unavailable(farewell::REASON));
    }

    /// The gRPC service.
    #[must_use]
    pub fn service(&self) -> FeedDoor {
        FeedDoor::new(self.clone())
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
