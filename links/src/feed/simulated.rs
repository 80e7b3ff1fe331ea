//! One subscription without a connection, for simulations that put a network of their own between its ends: the same
//! history, positions and assembly, message by message.

use super::assembly::Assembly;
use super::frames::Frame;
use super::seat::Seat;
use super::subscription::{Manner, Track};
use super::{FeedPublisher, FeedUpdate, Heartbeat, SubscriberSettings};
use domain::id::Revision;
use prost::Message;

/// Where a data plane is in what a publisher has.
#[derive(Debug)]
pub struct Cursor(Track);

impl Cursor {
    /// For a data plane that says Hello with what it has applied.
    #[must_use]
    pub fn begin(publisher: &FeedPublisher, data_plane: &str, applied: Option<Revision>) -> Self {
        let manner = Manner { seat: Seat::new(), tagging: None, over_wire: false };
        Self(Track::begin(publisher.shared(), applied, data_plane, manner))
    }

    /// The next message, if there is one now.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        let is_caught_up_with = self.0.has_been_caught_up_with();
        let frame = self.0.step().or_else(|| self.0.beat().filter(|_| is_caught_up_with));
        frame.map(|frame| frame.encode_to_vec())
    }

    /// The next heartbeat, if this data plane may have one.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Vec<u8>> {
        self.0.beat().map(|frame| frame.encode_to_vec())
    }
}

/// What a data plane makes of the messages.
#[derive(Debug)]
pub struct Reception(Assembly);

impl Reception {
    /// Of one that has this state.
    #[must_use]
    pub fn new(have: Option<Revision>) -> Self {
        Self(Assembly::new(have, &SubscriberSettings::default(), None))
    }

    /// Takes a message. Returns an update when one is complete and new.
    ///
    /// # Errors
    /// When it must not come here; the subscription is to start over.
    pub fn take(&mut self, message: &[u8]) -> Result<Option<FeedUpdate>, String> {
        let message = Frame::decode(message).map_err(|error| error.to_string())?;
        self.0.take(message).map_err(|error| error.to_string())
    }

    /// The last heartbeat, once.
    pub fn take_heartbeat(&mut self) -> Option<Heartbeat> {
        self.0.take_heartbeat()
    }

    /// Forgets what a broken connection left unfinished.
    pub fn start_over(&mut self) {
        self.0.start_over();
    }

    /// Forgets what there is, so that the next thing to come must be a snapshot.
    pub fn forget(&mut self) {
        self.0.forget();
    }
}
