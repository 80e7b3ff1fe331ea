//! The spans of a request: one for the request, one for each attempt on an upstream.
//!
//! Whether there are any is decided before all else, so that a request that is not sampled pays for one throw of dice.
//! Where spans go is the process's business; here they are only made. They hold no words of a client or an upstream.

mod spans;
mod w3c;

pub(crate) use spans::{attempt_began, attempt_failed, settled, traceparent};

use crate::genai::attribute;
use crate::metric;
use http::HeaderMap;
use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{Link, Span, SpanBuilder, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use rand::RngExt;
use std::sync::Arc;

/// How requests are traced.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The share of requests of which spans are made, from 0 to 1.
    pub sample_ratio: f64,
    /// Go on with the trace that a caller names, and sample what it samples. Else it is linked to, and decides nothing.
    pub trusts_callers: bool,
    /// Upstreams that are told the trace.
    pub send_to: Vec<String>,
}

/// Makes the spans of a process.
pub(crate) struct Tracing {
    tracer: BoxedTracer,
    settings: TraceSettings,
}

/// The spans of one request, if it is sampled. They end when it is dropped, if not before.
#[derive(Default)]
pub(crate) struct RequestTrace(Option<Box<Spans>>);

struct Spans {
    tracing: Arc<Tracing>,
    request: BoxedSpan,
    attempt: Option<BoxedSpan>,
}

impl Tracing {
    pub(crate) fn new(settings: TraceSettings) -> Arc<Self> {
        Arc::new(Self { tracer: global::tracer("turnpike.data_plane"), settings })
    }

    /// Begins a request.
    pub(crate) fn begin(
        self: &Arc<Self>,
        headers: &HeaderMap,
        request_id: &str,
        route: &'static str,
    ) -> RequestTrace {
        let parent = w3c::parent(headers, self.settings.trusts_callers);
        let is_sampled = match &parent {
            Some(parent) => parent.is_sampled(),
            None => rand::rng().random_bool(self.settings.sample_ratio.clamp(0.0, 1.0)),
        };
        if !is_sampled {
            return RequestTrace(None);
        }
        metric::traced();
        let links = match &parent {
            Some(_) => Vec::new(),
            None => w3c::caller(headers).map(Link::with_context).into_iter().collect(),
        };
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let request = SpanBuilder::from_name(format!("POST {route}"))
            .with_kind(SpanKind::Server)
            .with_links(links)
            .with_attributes([
                KeyValue::new(attribute::METHOD, "POST"),
                KeyValue::new(attribute::ROUTE, route),
                KeyValue::new("turnpike.request_id", request_id.to_owned()),
            ])
            .start_with_context(&self.tracer, &context);
        RequestTrace(Some(Box::new(Spans { tracing: self.clone(), request, attempt: None })))
    }
}

impl RequestTrace {
    /// Its number, in hexadecimal; empty if there are no spans.
    pub(crate) fn id(&self) -> String {
        let spans = self.0.as_ref();
        spans.map_or_else(String::new, |s| s.request.span_context().trace_id().to_string())
    }

    /// Where log lines of the request belong, if there are spans.
    pub(crate) fn context(&self) -> Option<Context> {
        let spans = self.0.as_ref()?;
        Some(Context::new().with_remote_span_context(spans.request.span_context().clone()))
    }

    /// The request was not admitted.
    pub(crate) fn refused(self, status: u16, error_type: &'static str) {
        if let Some(mut spans) = self.0 {
            spans.request.set_attribute(KeyValue::new(attribute::STATUS, i64::from(status)));
            spans.request.set_attribute(KeyValue::new(attribute::ERROR, error_type));
            if status >= 500 {
                spans.request.set_status(Status::error(error_type));
            }
            spans.request.end();
        }
    }
}
