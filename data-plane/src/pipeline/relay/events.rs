//! The events of a running stream, in time: none may keep the client waiting longer than the settings say, and a client
//! that leaves ends the wait if the upstream's meter stops with it.

use crate::dialect::sse::{Event, EventReader};
use crate::error::{ApiError, ErrorType};
use crate::pipeline::attempt::UpstreamStream;
use crate::plane::Core;
use crate::respond::Client;
use crate::upstream::client::AnswerBody;
use crate::upstream::wire::BrokenOff;
use bytes::Bytes;
use http::StatusCode;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// What comes next in a stream.
pub(crate) enum Next {
    Event(Event),
    /// The upstream closed the stream.
    End,
    /// The client left, and leaving the upstream stops its meter.
    ClientGone,
    /// The upstream broke the stream or fell silent.
    Failed(ApiError),
    /// It has taken as long as a stream may, most of it not in waiting for the upstream.
    TooLong,
    /// The process is ending.
    Stopping,
}

/// A running stream.
pub(crate) struct Events<'a> {
    waiting: VecDeque<Event>,
    reader: EventReader,
    body: AnswerBody,
    core: &'a Core,
    ends_at: Instant,
    /// In all, for the upstream.
    waited: Duration,
    /// Goes off no later than a wait may end.
    alarm: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

enum Arrived {
    Part(Option<Result<Bytes, BrokenOff>>),
    /// Nothing came in time, as far as one can tell who may have slept through it.
    Late {
        overslept: bool,
    },
    ClientGone,
    Stopping,
}

/// A deadline noticed so much later than it passed tells of a pause of our own process, not of its upstream's silence.
const OVERSLEPT: Duration = Duration::from_millis(250);

impl<'a> Events<'a> {
    pub(crate) fn new(core: &'a Core, upstream: UpstreamStream) -> Self {
        let UpstreamStream { reader, body, first, .. } = upstream;
        let (now, pace) = (Instant::now(), &core.plane.parts.settings.pace);
        let ends_at = now + pace.stream;
        Self {
            waiting: first.into(),
            reader,
            body,
            core,
            ends_at,
            waited: Duration::ZERO,
            alarm: Box::pin(sleep_until(ends_at.min(now + pace.between_tokens))),
            stopping: Box::pin(core.ending.clone().cancelled_owned()),
        }
    }

    /// An event that is here already.
    pub(crate) fn ready(&mut self) -> Option<Event> {
        self.waiting.pop_front().or_else(|| self.reader.next())
    }

    pub(crate) async fn next(&mut self, client: &Client, stops_on_abort: bool) -> Next {
        loop {
            if client.is_gone() && stops_on_abort {
                return Next::ClientGone;
            }
            if let Some(event) = self.ready() {
                return Next::Event(event);
            }
            if self.reader.pending() > self.core.plane.parts.settings.limits.event_bytes {
                return Next::Failed(failed("sent an event that is too large"));
            }
            let began = Instant::now();
            let arrived = self.arrival(client, stops_on_abort, began).await;
            self.waited += began.elapsed();
            match arrived {
                Arrived::Part(Some(Ok(bytes))) => self.reader.push(bytes),
                Arrived::Part(None) => {
                    return self.reader.rest().map_or(Next::End, Next::Event);
                }
                Arrived::Part(Some(Err(BrokenOff))) => {
                    return Next::Failed(failed("broke off its answer"));
                }
                Arrived::Late { overslept: true } if Instant::now() < self.ends_at => {}
                Arrived::Late { .. } => return self.late(),
                Arrived::ClientGone => return Next::ClientGone,
                Arrived::Stopping => return Next::Stopping,
            }
        }
    }

    /// A client that reads slowly holds back its upstream, too: then the upstream is not to blame for the end.
    fn late(&self) -> Next {
        let is_over = Instant::now() >= self.ends_at;
        let was_held_back = self.waited < self.core.plane.parts.settings.pace.stream / 2;
        if is_over && was_held_back { Next::TooLong } else { Next::Failed(late()) }
    }

    async fn arrival(&mut self, client: &Client, stops_on_abort: bool, now: Instant) -> Arrived {
        // What has long arrived would be taken whatever the time.
        if now >= self.ends_at {
            return Arrived::Late { overslept: false };
        }
        let silence = self.core.plane.parts.settings.pace.between_tokens;
        let deadline = (now + silence).min(self.ends_at);
        poll_fn(|context| {
            if let Poll::Ready(part) = self.body.poll_part(context) {
                return Poll::Ready(Arrived::Part(part));
            }
            if stops_on_abort && client.poll_gone(context).is_ready() {
                return Poll::Ready(Arrived::ClientGone);
            }
            if self.stopping.as_mut().poll(context).is_ready() {
                return Poll::Ready(Arrived::Stopping);
            }
            self.poll_alarm(context, deadline)
        })
        .await
    }

    /// The alarm is moved only when it goes off: events come much more often than they fail to.
    fn poll_alarm(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Arrived> {
        while self.alarm.as_mut().poll(context).is_ready() {
            if self.alarm.deadline() >= deadline {
                let overslept = deadline.elapsed() > OVERSLEPT;
                return Poll::Ready(Arrived::Late { overslept });
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

fn failed(how: &str) -> ApiError {
    let message = format!("the upstream of this model {how}: the answer is not complete");
    ApiError::new(StatusCode::BAD_GATEWAY, ErrorType::ProviderUnavailable, message)
}

fn late() -> ApiError {
    let message = "the upstream of this model fell silent: the answer is not complete";
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, ErrorType::Timeout, message)
}
