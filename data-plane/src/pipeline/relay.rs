//! An upstream's answer → the client, unchanged and at once, metered as it goes; then settled before its end is shown.
//!
//! A stream never ends silently when its upstream did not finish it.

mod events;

use crate::clock::now;
use crate::dialect::openai::alike::{Chunk, ChunkReader};
use crate::dialect::openai::{is_done, read, with_cost, without_usage};
use crate::dialect::sse::Event;
use crate::error::{ApiError, ErrorType};
use crate::joined::Joined;
use crate::metric;
use crate::pipeline::admission::Admission;
use crate::pipeline::admit::unpaid;
use crate::pipeline::attempt::{UpstreamAnswer, UpstreamStream};
use crate::pipeline::cover::Cover;
use crate::pipeline::head::{head, offer};
use crate::pipeline::relay::events::{Events, Next};
use crate::pipeline::settle;
use crate::plane::Core;
use crate::purse::HoldRefused;
use crate::respond::Client;
use bytes::Bytes;
use domain::money::Nano;
use domain::usage::Outcome;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderValue, StatusCode};

/// Relays a whole answer.
pub(crate) async fn answer(mut admission: Box<Admission>, answer: UpstreamAnswer, client: &Client) {
    let bound = admission.output_bound();
    let UpstreamAnswer { status, content_type, body, facts, transcript } = answer;
    admission.meter.transcript = transcript;
    admission.meter.learn(&facts);
    admission.meter.first_token_us = now().0.saturating_sub(admission.record.admitted_us);
    let mut parts = head_of(&admission, status, content_type);
    if bound.is_some() && admission.meter.finish_reason == "length" {
        parts.headers.insert("x-turnpike-limited-by", HeaderValue::from_static("balance"));
    }
    settle::count(&mut admission).await;
    let body = priced(&admission, &body);
    let outcome = if client.is_gone() { Outcome::ClientGone } else { Outcome::Completed };
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if outcome == Outcome::Completed {
        admission.note_delivered(&body);
    }
    settle::settle(admission, outcome, status).await;
    client.begin(parts);
    offer(client, body).await;
}

fn head_of(admission: &Admission, status: StatusCode, content_type: HeaderValue) -> Parts {
    let standing = admission.limit().map(|limit| limit.standing()).unwrap_or_default();
    head(status, content_type, admission.request_id(), &standing)
}

/// The answer with `usage.cost`, where that was asked for.
fn priced(admission: &Admission, body: &Bytes) -> Bytes {
    if !admission.request.wants_cost {
        return body.clone();
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    match read::find_usage(text) {
        Some(place)
            if text.get(place.value.clone()).is_some_and(|usage| usage.starts_with('{')) =>
        {
            with_cost(body, place.value.start, cost_so_far(admission))
        }
        _ => body.clone(),
    }
}

fn cost_so_far(admission: &Admission) -> Nano {
    let (metered, _) = admission.metered();
    let rates = admission.rates(metered.quantities.input_total());
    settle::price(&rates, &metered.quantities)
}

/// How a stream ended.
struct Ending {
    outcome: Outcome,
    /// What the client is shown after the event is written: the upstream's own end, or what went wrong.
    last: Last,
}

enum Last {
    Bytes(Bytes),
    Error(ApiError),
    Nothing,
}

impl Ending {
    fn failed(error: ApiError) -> Self {
        Self { outcome: Outcome::UpstreamFailed, last: Last::Error(error) }
    }

    fn unpaid(error: ApiError) -> Self {
        Self { outcome: Outcome::OutOfMoney, last: Last::Error(error) }
    }

    fn left(error: ApiError) -> Self {
        Self { outcome: Outcome::ClientGone, last: Last::Error(error) }
    }
}

/// Relays a stream.
pub(crate) async fn stream(
    core: &Core,
    mut admission: Box<Admission>,
    upstream: UpstreamStream,
    client: &Client,
) {
    admission.note_taken_input();
    client.begin(head_of(&admission, StatusCode::OK, upstream.content_type.clone()));
    let mut relay = Relay {
        cover: Cover::new(),
        is_bounded: admission.output_bound().is_some(),
        has_finished: false,
        chunks: ChunkReader::new(finds_usage(&admission)),
        outgoing: Joined::default(),
        client,
    };
    let events = Events::new(core, upstream);
    let running = metric::stream();
    let ending = relay.run(events, &mut admission).await;
    drop(running);
    let status = match &ending.last {
        Last::Error(error) => error.status(),
        Last::Bytes(_) | Last::Nothing => StatusCode::OK,
    };
    let request_id = admission.request_id().to_owned();
    settle::settle(admission, ending.outcome, status).await;
    match ending.last {
        Last::Bytes(bytes) => drop(offer(client, bytes).await),
        Last::Error(error) => drop(offer(client, error.event(&request_id)).await),
        Last::Nothing => {}
    }
}

struct Relay<'a> {
    cover: Cover,
    /// The output bound is ours, because money is short.
    is_bounded: bool,
    /// The upstream said why it stopped.
    has_finished: bool,
    chunks: ChunkReader,
    /// What may be shown and is not sent yet: events that come together go on together.
    outgoing: Joined,
    client: &'a Client,
}

/// Bytes that are kept back, at most, while more events are there.
const OUTGOING_BYTES_MAX: usize = 64 << 10;
/// Room for events that come together.
const JOINED_BYTES: usize = 8 << 10;

impl Relay<'_> {
    async fn run(&mut self, mut events: Events<'_>, admission: &mut Admission) -> Ending {
        let stops = admission.candidate().is_some_and(|c| c.upstream.stops_on_abort);
        let ending = loop {
            let ready = if self.is_full() { None } else { events.ready() };
            let next = match ready {
                Some(event) => Next::Event(event),
                None => {
                    self.flush().await;
                    events.next(self.client, stops).await
                }
            };
            let ending = match next {
                Next::Event(event) => self.one(event, admission).await,
                Next::End => Some(self.end(admission, Last::Nothing)),
                Next::ClientGone => {
                    Some(Ending { outcome: Outcome::ClientGone, last: Last::Nothing })
                }
                Next::Failed(error) => Some(Ending::failed(error)),
                Next::TooLong => Some(Ending::left(too_long())),
                Next::Stopping => Some(Ending::failed(stopping())),
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        self.flush().await;
        ending
    }

    fn is_full(&self) -> bool {
        self.outgoing.len() >= OUTGOING_BYTES_MAX
    }

    /// Sends what may be shown. A client that is gone is noticed where the next event is waited for.
    async fn flush(&mut self) {
        if !self.outgoing.is_empty() {
            offer(self.client, self.outgoing.take()).await;
        }
    }

    fn show(&mut self, bytes: Bytes) {
        self.outgoing.push(bytes, JOINED_BYTES);
    }

    /// One event: read, covered, and passed on. `Some` when it was the last.
    async fn one(&mut self, event: Event, admission: &mut Admission) -> Option<Ending> {
        let Some(data) = &event.data else {
            self.show(event.raw);
            return None;
        };
        if is_done(data) {
            return Some(self.end(admission, Last::Bytes(event.raw)));
        }
        admission.meter.transcript.begin_event();
        let Ok(chunk) = self.chunks.read(data, &mut admission.meter.transcript) else {
            return Some(Ending::failed(broken("sent something that is no event")));
        };
        let facts = &chunk.facts;
        if facts.is_error {
            return Some(Ending::failed(broken("broke off with an error")));
        }
        admission.meter.learn(facts);
        if admission.meter.first_token_us == 0 {
            admission.meter.first_token_us = now().0.saturating_sub(admission.record.admitted_us);
        }
        if let Err(error) = self.secure(admission).await {
            admission.meter.transcript.forget_event();
            admission.meter.reported = None;
            return Some(Ending::unpaid(error));
        }
        if admission.meter.transcript.is_long() {
            self.flush().await;
            Box::pin(admission.meter.transcript.forget()).await;
        }
        self.has_finished |= facts.finish_reason.is_some();
        if let Some(bytes) = shown(admission, &event, data, &chunk) {
            if !self.client.is_gone() {
                admission.note_delivered(&bytes);
            }
            self.show(bytes);
        }
        None
    }

    /// Makes sure that everything heard is paid for. Where that takes time, what was paid for before goes out first.
    async fn secure(&mut self, admission: &mut Admission) -> Result<(), ApiError> {
        if self.cover.is_at_hand(admission)? {
            return Ok(());
        }
        self.flush().await;
        Box::pin(self.cover.fetch(admission)).await
    }

    /// The upstream ended the stream: well, badly, or because our own bound made it.
    fn end(&self, admission: &Admission, last: Last) -> Ending {
        if self.client.is_gone() {
            return Ending { outcome: Outcome::ClientGone, last: Last::Nothing };
        }
        if self.is_bounded && admission.meter.finish_reason == "length" {
            return Ending::unpaid(unpaid(HoldRefused::InsufficientBalance));
        }
        if self.has_finished {
            return Ending { outcome: Outcome::Completed, last };
        }
        Ending::failed(broken("ended without finishing its answer"))
    }
}

/// Whether `usage` may have to be changed, and so must be found.
fn finds_usage(admission: &Admission) -> bool {
    !admission.request.wants_usage() || admission.request.wants_cost
}

/// The bytes of an event as the client should see it; `None` when it is not for the client.
fn shown(admission: &Admission, event: &Event, data: &Bytes, chunk: &Chunk) -> Option<Bytes> {
    let wants_usage = admission.request.wants_usage();
    let is_usage_alone = chunk.facts.is_bare && chunk.facts.usage.is_some();
    if is_usage_alone && !wants_usage {
        return None;
    }
    let raw = &event.raw;
    // Only where the data is one line do its places hold in the raw event, too.
    let offset = || raw.windows(data.len().max(1)).position(|window| window == data);
    let Some((place, offset)) = chunk.usage.as_ref().and_then(|place| Some((place, offset()?)))
    else {
        return Some(raw.clone());
    };
    if !wants_usage {
        return Some(without_usage(raw, place.member.start + offset..place.member.end + offset));
    }
    let is_object = data.get(place.value.start) == Some(&b'{');
    Some(if is_object {
        with_cost(raw, place.value.start + offset, cost_so_far(admission))
    } else {
        raw.clone()
    })
}

fn broken(how: &str) -> ApiError {
    let message = format!("the upstream of this model {how}: the answer is not complete");
    ApiError::new(StatusCode::BAD_GATEWAY, ErrorType::ProviderUnavailable, message)
}

fn too_long() -> ApiError {
    let message = "the stream took longer than one may: the answer is not complete, read faster";
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, ErrorType::Timeout, message)
}

fn stopping() -> ApiError {
    let message = "this data plane is stopping: the answer is not complete";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
}
