//! Where a data plane is in what a publisher has, and what it is sent next. What carries it there is not known here.

use crate::feed::PublisherSettings;
use crate::feed::frames::{self, Frame};
use crate::feed::history::Step;
use crate::feed::publisher::Shared;
use crate::feed::seat::Seat;
use crate::feed::tag::Tagging;
use domain::id::Revision;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Where a data plane is.
#[derive(Clone, Copy, Debug)]
enum Position {
    /// It has this state, or nothing.
    At(Option<Revision>),
    /// It is being sent a snapshot, or waits for its turn.
    Reading,
    /// It claims a state that this side has not come to. Once it has, they are compared like any others.
    Ahead(Revision),
}

impl Position {
    fn begin(applied: Option<Revision>, shared: &Shared, data_plane: &str) -> Self {
        let head = shared.history.lock().head();
        let Some(ahead) = applied.filter(|applied| *applied > head) else {
            return Self::At(applied);
        };
        warn!(
            data_plane,
            applied = ?ahead,
            ?head,
            "a data plane has a newer revision than this control plane: this replica lags a moment, or commits were lost. It \
             keeps what it has until the head has come to that"
        );
        Self::Ahead(ahead)
    }
}

/// How a data plane is served.
#[derive(Debug)]
pub(in crate::feed) struct Manner {
    pub(in crate::feed) seat: Seat,
    /// For one that checks what it is sent.
    pub(in crate::feed) tagging: Option<Tagging>,
    /// It is in another process, and knows of beats.
    pub(in crate::feed) over_wire: bool,
}

/// One data plane's way through the history.
#[derive(Debug)]
pub(in crate::feed) struct Track {
    shared: Arc<Shared>,
    position: Position,
    manner: Manner,
}

impl Track {
    pub(in crate::feed) fn begin(
        shared: &Arc<Shared>,
        applied: Option<Revision>,
        data_plane: &str,
        manner: Manner,
    ) -> Self {
        let position = Position::begin(applied, shared, data_plane);
        Self { shared: Arc::clone(shared), position, manner }
    }

    /// Whether the head has just come to what a data plane that was ahead of it has.
    pub(in crate::feed) fn has_been_caught_up_with(&mut self) -> bool {
        let Position::Ahead(ahead) = self.position else { return false };
        if !self.shared.history.lock().has_reached(ahead) {
            return false;
        }
        self.position = Position::At(Some(ahead));
        true
    }

    /// Moves on by one frame, if there is one now.
    pub(in crate::feed) fn step(&mut self) -> Option<Frame> {
        let at = match self.position {
            Position::At(at) => at,
            Position::Ahead(_) => return None,
            Position::Reading => return self.part(),
        };
        let step = self.shared.history.lock().after(at);
        match step {
            Step::Wait => None,
            Step::Delta { to, frame } => {
                self.position = Position::At(Some(to));
                Some(frame)
            }
            Step::Snapshot => {
                self.manner.seat.want(&self.shared.places);
                self.position = Position::Reading;
                self.part()
            }
        }
    }

    /// The next part of the snapshot that is being sent.
    fn part(&mut self) -> Option<Frame> {
        let Manner { seat, tagging, over_wire } = &self.manner;
        let begin = || self.shared.history.lock().snapshot(tagging.as_ref());
        let PublisherSettings { chunk_bytes, wire_chunk_bytes, .. } = self.shared.settings;
        let bytes = if *over_wire { wire_chunk_bytes } else { chunk_bytes };
        let part = seat.take(bytes, begin)?;
        if let Some(at) = part.whole {
            self.position = Position::At(Some(at));
        }
        Some(part.frame)
    }

    /// One that has been sent everything may take the head for confirmed; another one only learns that somebody is there.
    pub(in crate::feed) fn beat(&self) -> Option<Frame> {
        let over_wire = self.manner.over_wire;
        let now_us = if over_wire { now_us() } else { 0 };
        let confirmed = match self.position {
            Position::At(Some(at)) => self.shared.history.lock().heartbeat(at, now_us),
            Position::At(None) | Position::Reading | Position::Ahead(_) => None,
        };
        confirmed.or_else(|| over_wire.then(|| frames::alive_frame(now_us)))
    }
}

/// This machine's clock, at least 1: 0 says nothing.
fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX).max(1)
}
