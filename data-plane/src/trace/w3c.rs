//! `traceparent` and `tracestate` of callers, and ours for upstreams.

use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};

const TRACEPARENT: &str = "traceparent";

/// The caller's span, if callers are trusted: then it is ours to go on with.
pub(super) fn parent(headers: &HeaderMap, trusts_callers: bool) -> Option<SpanContext> {
    trusts_callers.then(|| read(headers)).flatten()
}

/// The caller's span, as something to point at: without its state, which is free text.
pub(super) fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let told = read(headers)?;
    let (trace, span, flags) = (told.trace_id(), told.span_id(), told.trace_flags());
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

fn read(headers: &HeaderMap) -> Option<SpanContext> {
    headers.get(TRACEPARENT)?;
    let context = global::get_text_map_propagator(|known| {
        known.extract_with_context(&Context::new(), &Headers(headers))
    });
    let told = context.span().span_context().clone();
    told.is_valid().then_some(told)
}

/// A span as an upstream is told of it.
pub(super) fn header(span: SpanContext) -> Option<HeaderValue> {
    let mut header = Header(None);
    let context = Context::new().with_remote_span_context(span);
    global::get_text_map_propagator(|known| known.inject_context(&context, &mut header));
    header.0
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// `traceparent` alone: what others wrote into a state is not passed on.
struct Header(Option<HeaderValue>);

impl Injector for Header {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = HeaderValue::try_from(value).ok();
        }
    }
}
