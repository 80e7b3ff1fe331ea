//! An OpenTelemetry collector: a real receiver of the protocol, which keeps what it gets and can be told to hang.

use crate::patience::eventually;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// One span, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// In hexadecimal.
    pub trace_id: String,
    /// In hexadecimal.
    pub span_id: String,
    /// In hexadecimal; empty for a root.
    pub parent_id: String,
    /// As text.
    pub attributes: BTreeMap<String, String>,
    /// It is marked as an error.
    pub is_error: bool,
    /// Traces that it points at.
    pub links: Vec<String>,
    /// Who made it, by its resource's attributes.
    pub resource: BTreeMap<String, String>,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
}

/// What it has got, and from whom.
#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    authorizations: Vec<String>,
    exports: u64,
}

#[derive(Clone, Debug)]
struct Receiver {
    received: Arc<Mutex<Received>>,
    hangs: bool,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    url: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// One that takes what it is sent.
    pub async fn start() -> Self {
        Self::begin(false).await
    }

    /// One that takes connections and requests, and never answers.
    pub async fn hanging() -> Self {
        Self::begin(true).await
    }

    async fn begin(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Received>>::default();
        let receiver = Receiver { received: received.clone(), hangs };
        let server = Server::builder().add_service(TraceServiceServer::new(receiver));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, received }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// How often it was sent something.
    #[must_use]
    pub fn exports(&self) -> u64 {
        self.received.lock().unwrap().exports
    }

    /// The `authorization` that came with each.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        self.received.lock().unwrap().authorizations.clone()
    }

    /// The spans of a request, by its id, once the request's own is there: that one, then its attempts in order.
    pub async fn request(&self, request_id: &str) -> (Span, Vec<Span>) {
        eventually("the spans of the request are sent", async || {
            let spans = self.spans();
            let is_it = |span: &&Span| span.attribute("turnpike.request_id") == request_id;
            let server = spans.iter().find(is_it)?.clone();
            let is_attempt = |span: &Span| span.parent_id == server.span_id;
            let attempts = spans.into_iter().filter(is_attempt).collect();
            Some((server, attempts))
        })
        .await
    }
}

impl Span {
    /// One of its attributes; empty if it has none of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn of(sent: &Sent, resource: &BTreeMap<String, String>) -> Self {
        Self {
            name: sent.name.clone(),
            kind: sent.kind,
            trace_id: hex(&sent.trace_id),
            span_id: hex(&sent.span_id),
            parent_id: hex(&sent.parent_span_id),
            attributes: texts(&sent.attributes),
            is_error: sent.status.as_ref().is_some_and(|status| status.code == 2),
            links: sent.links.iter().map(|link| hex(&link.trace_id)).collect(),
            resource: resource.clone(),
            duration_ns: sent.end_time_unix_nano.saturating_sub(sent.start_time_unix_nano),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        {
            let mut received = self.received.lock().unwrap();
            received.exports += 1;
            received.authorizations.extend(authorization);
            for of in request.into_inner().resource_spans {
                let resource = of.resource.map(|resource| texts(&resource.attributes));
                let resource = resource.unwrap_or_default();
                let spans = of.scope_spans.iter().flat_map(|scope| &scope.spans);
                received.spans.extend(spans.map(|span| Span::of(span, &resource)));
            }
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |pair: &KeyValue| (pair.key.clone(), text(pair.value.as_ref()));
    attributes.iter().map(pair).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(array)) => {
            let texts: Vec<String> = array.values.iter().map(|value| text(Some(value))).collect();
            texts.join(",")
        }
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
