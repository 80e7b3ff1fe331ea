//! What the stages of the pipeline tell of a request that is traced.

use super::Spans;
use super::w3c;
use crate::access::finish_word;
use crate::genai::{self, attribute};
use crate::pipeline::admission::Admission;
use crate::pipeline::attempt::AttemptError;
use crate::pipeline::route::Candidate;
use domain::tokens::{Quantities, TokenClass};
use domain::usage::Outcome;
use http::{HeaderValue, Uri};
use opentelemetry::global::BoxedSpan;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use proto::usage::v1::UsageEvent;

/// Longest id of an answer that is believed to be one.
const ID_BYTES_MAX: usize = 64;

/// A request is sent to an upstream.
pub(crate) fn attempt_began(admission: &mut Admission, candidate: &Candidate) {
    let Some(spans) = admission.trace.0.as_deref_mut() else { return };
    let (request, upstream) = (&admission.request, &candidate.upstream);
    let operation = genai::operation(request.operation);
    let mut attributes = vec![
        KeyValue::new(attribute::OPERATION, operation),
        KeyValue::new(attribute::PROVIDER, upstream.vendor.clone()),
        KeyValue::new(attribute::REQUEST_MODEL, candidate.upstream_model.clone()),
        KeyValue::new(attribute::ORIGINAL_MODEL, candidate.model.name.clone()),
        KeyValue::new(attribute::REQUEST_STREAM, request.stream),
        KeyValue::new("turnpike.upstream", upstream.name.clone()),
    ];
    attributes.extend(
        request
            .output_limit()
            .map(|limit| KeyValue::new(attribute::REQUEST_MAX_TOKENS, whole(limit))),
    );
    let choices = request.ask.choices;
    if choices > 1 {
        attributes.push(KeyValue::new(attribute::REQUEST_CHOICES, whole(choices)));
    }
    attributes.extend(address(&upstream.base_url));
    let parent = Context::new().with_remote_span_context(spans.request.span_context().clone());
    let attempt = SpanBuilder::from_name(format!("{operation} {}", candidate.upstream_model))
        .with_kind(SpanKind::Client)
        .with_attributes(attributes)
        .start_with_context(&spans.tracing.tracer, &parent);
    spans.attempt = Some(attempt);
}

/// What an upstream is told of the trace, if it may be told.
pub(crate) fn traceparent(admission: &Admission, candidate: &Candidate) -> Option<HeaderValue> {
    let spans = admission.trace.0.as_deref()?;
    let attempt = spans.attempt.as_ref()?;
    let may_know = spans.tracing.settings.send_to.contains(&candidate.upstream.name);
    may_know.then(|| w3c::header(attempt.span_context().clone())).flatten()
}

/// An upstream gave no answer.
pub(crate) fn attempt_failed(admission: &mut Admission, error: &AttemptError) {
    let Some(spans) = admission.trace.0.as_deref_mut() else { return };
    let Some(mut attempt) = spans.attempt.take() else { return };
    if error.status() > 0 {
        attempt.set_attribute(KeyValue::new(attribute::STATUS, i64::from(error.status())));
    }
    fail(&mut attempt, error.reason());
    attempt.end();
}

/// The request is over, and with it the attempt that served it.
pub(crate) fn settled(
    admission: &mut Admission,
    outcome: Outcome,
    event: &UsageEvent,
    used: &Quantities,
) {
    let Some(mut spans) = admission.trace.0.take() else { return };
    if let Some(attempt) = spans.attempt.take() {
        end_attempt(attempt, outcome, event, used, admission.attempt_began.0);
    }
    let Spans { mut request, .. } = *spans;
    request.set_attributes([
        KeyValue::new(attribute::STATUS, i64::from(event.status)),
        KeyValue::new(attribute::REQUEST_MODEL, event.model.clone()),
        KeyValue::new("turnpike.entity", event.entity.clone()),
        KeyValue::new("turnpike.plan", admission.caller.plan.name.clone()),
        KeyValue::new("turnpike.outcome", outcome.name()),
        KeyValue::new("turnpike.attempts", whole(event.attempts.len())),
    ]);
    if outcome != Outcome::Completed {
        request.set_attribute(KeyValue::new(attribute::ERROR, outcome.name()));
    }
    if event.status >= 500 {
        request.set_status(Status::error(outcome.name()));
    }
    request.end();
}

fn end_attempt(
    mut attempt: BoxedSpan,
    outcome: Outcome,
    event: &UsageEvent,
    used: &Quantities,
    began_us: u64,
) {
    let count = |class: TokenClass| whole(used.get(class));
    let cache_write =
        used.get(TokenClass::CacheWrite5m).saturating_add(used.get(TokenClass::CacheWrite1h));
    attempt.set_attributes([
        KeyValue::new(attribute::STATUS, 200_i64),
        KeyValue::new(attribute::INPUT_TOKENS, whole(used.input_total())),
        KeyValue::new(attribute::OUTPUT_TOKENS, whole(used.output_total())),
        KeyValue::new(attribute::CACHE_READ_TOKENS, count(TokenClass::CacheRead)),
        KeyValue::new(attribute::CACHE_WRITE_TOKENS, whole(cache_write)),
        KeyValue::new(attribute::REASONING_TOKENS, count(TokenClass::Reasoning)),
    ]);
    if is_id(&event.upstream_id) {
        attempt.set_attribute(KeyValue::new(attribute::RESPONSE_ID, event.upstream_id.clone()));
    }
    if !event.finish_reason.is_empty() {
        let reason = StringValue::from(finish_word(&event.finish_reason));
        let reasons = Value::Array(Array::String(vec![reason]));
        attempt.set_attribute(KeyValue::new(attribute::FINISH_REASONS, reasons));
    }
    if event.first_token_us > 0 {
        let first_us = event.admitted_us.saturating_add(event.first_token_us);
        let wait = std::time::Duration::from_micros(first_us.saturating_sub(began_us));
        let wait = KeyValue::new(attribute::TIME_TO_FIRST_CHUNK, wait.as_secs_f64());
        attempt.set_attribute(wait);
    }
    match outcome {
        Outcome::UpstreamFailed | Outcome::Interrupted => fail(&mut attempt, outcome.name()),
        Outcome::ClientGone | Outcome::OutOfMoney => {
            attempt.set_attribute(KeyValue::new(attribute::ERROR, outcome.name()));
        }
        Outcome::Completed => {}
    }
    attempt.end();
}

fn fail(span: &mut BoxedSpan, reason: &'static str) {
    span.set_attribute(KeyValue::new(attribute::ERROR, reason));
    span.set_status(Status::error(reason));
}

fn address(base_url: &str) -> Vec<KeyValue> {
    let Ok(url) = base_url.parse::<Uri>() else { return Vec::new() };
    let host = url.host().map(|host| KeyValue::new(attribute::SERVER_ADDRESS, host.to_owned()));
    let port = url.port_u16().map(|port| KeyValue::new(attribute::SERVER_PORT, i64::from(port)));
    host.into_iter().chain(port).collect()
}

/// Whether an upstream's id looks like one; it could write anything there.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Attributes are signed; nothing that is counted comes near their end.
fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
