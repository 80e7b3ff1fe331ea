//! Performs a reply's moves on one connection, one chunk a write: the next chunk is not made before
//! the one before has left, so that the log's chunk boundaries are the wire's. What the moves are is
//! `reply`'s business, what the log holds is `log`'s.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Response, body::Frame};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    log::{Attempt, Ended},
    reply::{Chunk, Move, Moves, Reply},
    script::Script,
    step::{Turn, Turns},
    wire::Wire,
};

/// Every answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, Severed>;

/// The connection has to close now; hyper closes it when it gets any error.
#[derive(Debug, Error)]
#[error("a fault closes the connection")]
pub(crate) struct Severed;

impl From<Infallible> for Severed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The last chunk of an answer on its way into the socket. Dropped before it has landed, its
/// attempt is recorded as one whose client has gone.
#[derive(Debug)]
pub(crate) struct Farewell {
    attempt: Attempt,
    last: InFlight,
    ended: Ended,
}

impl Farewell {
    pub(crate) fn landed(mut self) {
        self.last.land(&mut self.attempt);
        self.attempt.end(self.ended);
    }
}

/// A chunk that hyper has and the socket has not.
#[derive(Debug)]
struct InFlight {
    chunk: Chunk,
    turn: Option<Turn>,
    /// Nothing follows.
    is_last: bool,
}

impl InFlight {
    fn land(self, attempt: &mut Attempt) {
        attempt.sent(self.chunk);
        if let Some(turn) = self.turn {
            turn.taken(attempt.chunks(), self.is_last);
        }
    }
}

struct Player {
    /// Taken when its end is recorded or left to the wire.
    attempt: Option<Attempt>,
    wire: Arc<Wire>,
    moves: Moves,
    upcoming: Option<Move>,
    in_flight: Option<InFlight>,
    mark: u64,
    turns: Option<Turns>,
    pace: Duration,
    due: Option<Instant>,
    ended: Ended,
    /// The last chunk has been handed out.
    is_exhausted: bool,
}

/// Makes the response whose body performs the reply.
pub(crate) fn perform(
    reply: Reply,
    script: &Script,
    turns: Option<Turns>,
    mut attempt: Attempt,
    wire: Arc<Wire>,
) -> Response<Body> {
    attempt.answers(reply.status, &reply.headers);
    let (status, headers) = (reply.status, reply.headers);
    let player = Player {
        attempt: Some(attempt),
        mark: wire.mark(),
        wire,
        moves: reply.moves,
        upcoming: None,
        in_flight: None,
        turns,
        pace: script.pace,
        due: None,
        ended: if script.leaves_answer_whole() { Ended::Complete } else { Ended::Fault },
        is_exhausted: false,
    };
    let frames = stream::unfold(player.begin(), |mut player| async move {
        let frame = player.next().await?;
        Some((frame, player))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

impl Player {
    fn begin(mut self) -> Self {
        self.upcoming = self.moves.next();
        self
    }

    /// The next frame of the body; `None` at its end. Dropped while it waits, it loses nothing: the
    /// move stays `upcoming` until it is made.
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Severed>> {
        if self.in_flight.is_some() {
            self.wire.flushed(self.mark).await;
            self.land();
        }
        loop {
            match self.upcoming.as_ref()? {
                Move::Wait(delay) => sleep(*delay).await,
                Move::Stall => pending().await,
                broken @ (Move::Cut | Move::Reset) => {
                    if matches!(broken, Move::Reset) {
                        self.wire.reset_on_close();
                    }
                    // The head, where nothing followed it yet.
                    self.wire.flushed(self.mark).await;
                    if let Some(attempt) = self.attempt.take() {
                        attempt.end(self.ended);
                    }
                    return Some(Err(Severed));
                }
                Move::Send(_) => {
                    let turn = self.wait_for_turn().await;
                    return self.hand_out(turn).map(Ok);
                }
            }
            self.upcoming = self.moves.next();
        }
    }

    /// In lock-step the test sets the pace; otherwise the script does, from chunk to chunk.
    async fn wait_for_turn(&mut self) -> Option<Turn> {
        if let Some(turns) = &mut self.turns {
            return Some(turns.next().await);
        }
        if !self.pace.is_zero() {
            let now = Instant::now();
            let due = self.due.map_or(now, |due| (due + self.pace).max(now));
            sleep_until(due).await;
            self.due = Some(due);
        }
        None
    }

    fn hand_out(&mut self, turn: Option<Turn>) -> Option<Frame<Bytes>> {
        let Some(Move::Send(chunk)) = self.upcoming.take() else { return None };
        self.upcoming = self.moves.next();
        let is_last = self.upcoming.is_none();
        if is_last && let Some(attempt) = &mut self.attempt {
            attempt.settles();
        }
        self.is_exhausted = is_last;
        self.mark = self.wire.mark();
        let frame = Frame::data(chunk.bytes.clone());
        self.in_flight = Some(InFlight { chunk, turn, is_last });
        Some(frame)
    }

    fn land(&mut self) {
        if let (Some(in_flight), Some(attempt)) = (self.in_flight.take(), &mut self.attempt) {
            in_flight.land(attempt);
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if self.in_flight.is_some() && self.wire.has_flushed(self.mark) {
            self.land();
        }
        let Some(attempt) = self.attempt.take() else { return };
        match (self.is_exhausted, self.in_flight.take()) {
            (true, None) => attempt.end(self.ended),
            (true, Some(last)) => self.wire.leave(Farewell { attempt, last, ended: self.ended }),
            // The client has gone; the attempt says so itself when it is dropped.
            (false, _) => drop(attempt),
        }
    }
}
