//! Few data planes read a snapshot at once. The others wait for a place, and who takes nothing for too long loses its own.
//!
//! A place is given and taken away by the task that reads the data plane's messages: the transport asks a stream that nobody
//! reads for nothing, so the stream itself would hold its place, and its snapshot, for ever.

use super::frames::Frame;
use super::history::SnapshotReader;
use domain::id::Revision;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

/// The places of one publisher.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// How long a reader may take nothing.
    patience: Duration,
}

impl Places {
    pub(super) fn new(count: usize, patience: Duration) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(count)), patience }
    }
}

/// One data plane's place, had or not. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    state: Mutex<State>,
    /// Wakes the stream.
    given: Notify,
    /// Wakes the usher.
    wanted: Notify,
}

#[derive(Debug)]
enum State {
    /// Nobody wants to sit.
    Empty,
    /// A place is wanted.
    Queued,
    /// It is there.
    Taken(Taken),
    /// There will be none any more.
    Closed,
}

#[derive(Debug)]
struct Taken {
    _place: OwnedSemaphorePermit,
    /// None before the first part was taken: the snapshot is that of the moment in which it is read.
    reader: Option<SnapshotReader>,
    /// When a part was taken last.
    active: Instant,
}

/// What the usher does next.
enum Duty {
    Wait,
    Find,
    Watch(Instant),
    TakeAway,
}

/// A part of a snapshot.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) frame: Frame,
    /// What the data plane has with this one; none if it is not the last.
    pub(super) whole: Option<Revision>,
}

impl Seat {
    pub(super) fn new() -> Self {
        let (given, wanted) = (Notify::new(), Notify::new());
        Self(Arc::new(Inside { state: Mutex::new(State::Empty), given, wanted }))
    }

    /// Takes a place if one is free, and else waits for one.
    pub(super) fn want(&self, places: &Places) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Empty) {
            // Those who wait come first: what is free now, nobody waits for.
            let place = places.free.clone().try_acquire_owned();
            *state = place.map_or(State::Queued, State::taken);
            self.0.wanted.notify_one();
        }
    }

    /// The next part, if there is a place. The last one gives it back.
    pub(super) fn take(
        &self,
        bytes: usize,
        begin: impl FnOnce() -> SnapshotReader,
    ) -> Option<Part> {
        let mut state = self.0.state.lock();
        let State::Taken(taken) = &mut *state else { return None };
        taken.active = Instant::now();
        let reader = taken.reader.get_or_insert_with(begin);
        let (frame, is_last) = reader.next_chunk(bytes);
        let whole = is_last.then(|| reader.at());
        if is_last {
            *state = State::Empty;
            self.0.wanted.notify_one();
        }
        Some(Part { frame, whole })
    }

    /// Waits until there is a place. Safe to cancel.
    pub(super) async fn given(&self) {
        self.0.given.notified().await;
    }

    /// Finds places and takes them away, until one had to be taken away.
    pub(super) async fn usher(&self, places: &Places) -> Status {
        loop {
            match self.duty(places.patience) {
                Duty::Wait => self.0.wanted.notified().await,
                Duty::Find => match places.free.clone().acquire_owned().await {
                    Ok(place) => self.give(place),
                    Err(closed) => return Status::internal(closed.to_string()),
                },
                Duty::Watch(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.0.wanted.notified() => {}
                },
                Duty::TakeAway => {
                    return Status::resource_exhausted(
                        "nothing of the snapshot was taken for too long",
                    );
                }
            }
        }
    }

    /// Gives the place back, whatever the stream does.
    pub(super) fn close(&self) {
        *self.0.state.lock() = State::Closed;
    }

    fn duty(&self, patience: Duration) -> Duty {
        match &*self.0.state.lock() {
            State::Empty | State::Closed => Duty::Wait,
            State::Queued => Duty::Find,
            State::Taken(taken) => {
                let until = taken.active + patience;
                if until <= Instant::now() { Duty::TakeAway } else { Duty::Watch(until) }
            }
        }
    }

    fn give(&self, place: OwnedSemaphorePermit) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Queued) {
            *state = State::taken(place);
            self.0.given.notify_one();
        }
    }
}

impl State {
    fn taken(place: OwnedSemaphorePermit) -> Self {
        Self::Taken(Taken { _place: place, reader: None, active: Instant::now() })
    }
}
