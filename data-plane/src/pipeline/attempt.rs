//! One try at one upstream: the request sent, and its answer read up to the point where it can be trusted to be one.

use crate::dialect::Facts;
use crate::dialect::openai::{self, Changes, is_done, read};
use crate::dialect::sse::{Event, EventReader};
use crate::joined::Joined;
use crate::pipeline::admission::Admission;
use crate::pipeline::route::Candidate;
use crate::plane::Core;
use crate::trace;
use crate::transcript::Transcript;
use crate::upstream::client::{Answer, AnswerBody, Call, SendError};
use crate::upstream::connector::ConnectError;
use crate::upstream::refusal::Refusal;
use crate::upstream::wire::{ExchangeError, Head};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What an upstream gave.
pub(crate) enum Opened {
    /// A stream whose first event has come.
    Stream(UpstreamStream),
    /// A whole answer.
    Answer(UpstreamAnswer),
}

/// A running stream.
pub(crate) struct UpstreamStream {
    pub(crate) content_type: HeaderValue,
    pub(crate) reader: EventReader,
    pub(crate) body: AnswerBody,
    /// Events already read, in order.
    pub(crate) first: Vec<Event>,
}

/// A whole answer.
pub(crate) struct UpstreamAnswer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
    /// What it tells, and says.
    pub(crate) facts: Facts,
    pub(crate) transcript: Transcript,
}

/// Why an attempt gave nothing.
#[derive(Clone, Debug)]
pub(crate) enum AttemptError {
    /// No connection, or it broke before an answer.
    Unreachable,
    /// Its name leads to no address, or to one that may not be dialled.
    Unresolved,
    /// Its certificate is not trusted, or what it speaks is no TLS that we speak. It got neither request nor credential.
    Tls,
    /// It cannot be called as configured.
    Misconfigured,
    /// It asks for fewer requests.
    Overloaded { status: StatusCode, retry_after: Option<Duration> },
    /// It failed: 5xx, our credential, its model.
    Failed { status: StatusCode },
    /// It refuses this very request, and so would others.
    Refused { status: StatusCode, refusal: Refusal },
    /// Nothing came in time.
    Silent,
    /// What came is no answer.
    Malformed,
}

impl AttemptError {
    /// Whether another upstream may do better.
    pub(crate) fn fails_over(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    /// Its label in metrics and events.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unresolved => "unresolved",
            Self::Tls => "tls",
            Self::Misconfigured => "misconfigured",
            Self::Overloaded { .. } => "overloaded",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
        }
    }

    /// The HTTP status behind it; 0 when there was none.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Overloaded { status, .. }
            | Self::Failed { status }
            | Self::Refused { status, .. } => status.as_u16(),
            Self::Unreachable
            | Self::Unresolved
            | Self::Tls
            | Self::Misconfigured
            | Self::Silent
            | Self::Malformed => 0,
        }
    }
}

impl From<SendError> for AttemptError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Prepare(_) => Self::Misconfigured,
            SendError::Connect(ConnectError::Unresolved) => Self::Unresolved,
            SendError::Connect(ConnectError::Tls(_)) => Self::Tls,
            SendError::Exchange(ExchangeError::Malformed) => Self::Malformed,
            SendError::Connect(ConnectError::Unreachable) | SendError::Exchange(_) => {
                Self::Unreachable
            }
        }
    }
}

/// Tries one candidate.
pub(crate) async fn attempt(
    core: &Core,
    admission: &Admission,
    candidate: &Candidate,
) -> Result<Opened, AttemptError> {
    let pace = &core.plane.parts.settings.pace;
    let streams = admission.request.stream;
    let patience = if streams { pace.first_token } else { pace.answer };
    let deadline = Instant::now() + patience;
    let changes =
        Changes { model: &candidate.upstream_model, output_bound: admission.output_bound() };
    let body = openai::request_body(&admission.request, &changes);
    let call = Call {
        operation: admission.request.operation,
        request_id: admission.request_id(),
        streams,
        traceparent: trace::traceparent(admission, candidate),
        body,
    };
    let sent = core.upstreams.send(&candidate.upstream, call);
    let answer = timeout_at(deadline, sent).await.map_err(|_| AttemptError::Silent)??;
    let limits = &core.plane.parts.settings.limits;
    if !answer.head.status.is_success() {
        return Err(refused(answer, &admission.request.body, deadline, pace.cooldown_max).await);
    }
    let content_type = content_type(&answer);
    if streams && content_type.as_bytes().starts_with(b"text/event-stream") {
        return open_stream(answer, content_type, deadline, limits.event_bytes).await;
    }
    open_answer(answer, content_type, deadline, limits.answer_bytes).await
}

fn content_type(answer: &Answer) -> HeaderValue {
    let json = || HeaderValue::from_static("application/json");
    answer.head.content_type.clone().unwrap_or_else(json)
}

/// Bytes of an error text that are read at most.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// The upstream's own text ends here: only what `Refusal` takes of it goes on.
async fn refused(
    answer: Answer,
    request: &[u8],
    deadline: Instant,
    wait_max: Duration,
) -> AttemptError {
    let Answer { head: Head { status, retry_after: told, .. }, body } = answer;
    let retry_after = told.as_ref().and_then(retry_after).map(|wait| wait.min(wait_max));
    match status {
        StatusCode::TOO_MANY_REQUESTS => AttemptError::Overloaded { status, retry_after },
        StatusCode::SERVICE_UNAVAILABLE => AttemptError::Overloaded { status, retry_after },
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => {
            let text = collect(body, deadline, ERROR_BYTES_MAX).await;
            let refusal = Refusal::read(&text.unwrap_or_default(), request);
            AttemptError::Refused { status, refusal }
        }
        _ => AttemptError::Failed { status },
    }
}

/// Whole seconds only; dates and junk count as nothing said.
fn retry_after(told: &HeaderValue) -> Option<Duration> {
    let seconds: u32 = told.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

async fn collect(
    mut body: AnswerBody,
    deadline: Instant,
    bytes_max: usize,
) -> Result<Bytes, AttemptError> {
    let expected = body.expected().min(bytes_max);
    let mut collected = Joined::default();
    loop {
        let part = timeout_at(deadline, body.part()).await.map_err(|_| AttemptError::Silent)?;
        let Some(part) = part else {
            return Ok(collected.take());
        };
        let part = part.map_err(|_| AttemptError::Unreachable)?;
        if collected.len().saturating_add(part.len()) > bytes_max {
            return Err(AttemptError::Malformed);
        }
        collected.push(part, expected);
    }
}

async fn open_answer(
    answer: Answer,
    content_type: HeaderValue,
    deadline: Instant,
    bytes_max: usize,
) -> Result<Opened, AttemptError> {
    let status = answer.head.status;
    let body = collect(answer.body, deadline, bytes_max).await?;
    let text = std::str::from_utf8(&body).map_err(|_| AttemptError::Malformed)?;
    if !text.trim_start().starts_with('{') {
        return Err(AttemptError::Malformed);
    }
    let mut transcript = Transcript::default();
    let facts = read::read(text, &mut transcript).map_err(|_| AttemptError::Malformed)?;
    if facts.is_error {
        return Err(AttemptError::Failed { status });
    }
    Ok(Opened::Answer(UpstreamAnswer { status, content_type, body, facts, transcript }))
}

/// Waits for the first event that is one: until then nothing was promised, and another upstream can still take over.
async fn open_stream(
    answer: Answer,
    content_type: HeaderValue,
    deadline: Instant,
    event_bytes_max: usize,
) -> Result<Opened, AttemptError> {
    let Answer { head: Head { status, .. }, mut body } = answer;
    let mut reader = EventReader::default();
    let mut first = Vec::new();
    let mut kept_bytes = 0_usize;
    loop {
        while let Some(event) = reader.next() {
            let verdict = event.data.as_deref().map(|data| is_answer(data, status));
            kept_bytes = kept_bytes.saturating_add(event.raw.len());
            first.push(event);
            match verdict {
                None => {}
                Some(Ok(())) => {
                    return Ok(Opened::Stream(UpstreamStream {
                        content_type,
                        reader,
                        body,
                        first,
                    }));
                }
                Some(Err(error)) => return Err(error),
            }
        }
        if kept_bytes.saturating_add(reader.pending()) > event_bytes_max {
            return Err(AttemptError::Malformed);
        }
        let part = timeout_at(deadline, body.part()).await.map_err(|_| AttemptError::Silent)?;
        reader.push(part.ok_or(AttemptError::Malformed)?.map_err(|_| AttemptError::Unreachable)?);
    }
}

fn is_answer(data: &[u8], status: StatusCode) -> Result<(), AttemptError> {
    if is_done(data) {
        return Err(AttemptError::Malformed);
    }
    let text = std::str::from_utf8(data).map_err(|_| AttemptError::Malformed)?;
    let facts =
        read::read(text, &mut Transcript::default()).map_err(|_| AttemptError::Malformed)?;
    if facts.is_error { Err(AttemptError::Failed { status }) } else { Ok(()) }
}
