//! Spans on their way to a collector: a bounded queue, a thread that sends. A collector that is down, slow or full costs
//! spans, never a request.

use super::SERVICE;
use crate::config::{Config, Traces};
use anyhow::{Context as _, anyhow, ensure};
use metrics::counter;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult,
    SdkTracerProvider, ShouldSample, SpanData, SpanExporter,
};
use std::path::Path;
use std::time::Duration;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// Spans sent, by what came of it.
pub(in crate::up) const EXPORTED: &str = "turnpike_spans_exported_total";

/// Starts sending, if an endpoint is set.
pub(super) fn start(config: &Config) -> anyhow::Result<Option<SdkTracerProvider>> {
    let settings = &config.traces;
    let Some(endpoint) = &settings.endpoint else { return Ok(None) };
    ensure!(
        endpoint.starts_with("http://") || endpoint.starts_with("https://"),
        "traces.endpoint \"{endpoint}\" is no address: write it like http://127.0.0.1:4317"
    );
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(settings.export_timeout)
        .with_metadata(headers(settings.headers_file.as_deref())?)
        .build()
        .map_err(|error| anyhow!("traces.endpoint \"{endpoint}\" cannot be used: {error}"))?;
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(settings.queue_spans.get())
        .with_max_export_batch_size(settings.batch_spans.min(settings.queue_spans).get())
        .with_scheduled_delay(settings.export_interval)
        .build();
    let sender = BatchSpanProcessor::builder(Counted(exporter)).with_batch_config(queue).build();
    let resource = Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", config.data_plane.name.clone()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(sender)
        .with_sampler(Sampling::of(settings))
        .with_resource(resource)
        .build();
    global::set_tracer_provider(provider.clone());
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Some(provider))
}

/// `name: value` lines, as they are wanted by collectors that ask who sends.
fn headers(file: Option<&Path>) -> anyhow::Result<MetadataMap> {
    let mut headers = MetadataMap::new();
    let Some(file) = file else { return Ok(headers) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("traces.headers_file {} cannot be read", file.display()))?;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // The line itself may be a secret.
        let pair = line.split_once(':').and_then(|(name, value)| {
            let name: AsciiMetadataKey = name.trim().to_ascii_lowercase().parse().ok()?;
            let mut value: AsciiMetadataValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = pair.with_context(|| {
            format!(
                "traces.headers_file {}, line {}: write `name: value`",
                file.display(),
                index + 1
            )
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Of requests the data plane has decided already, and changes are few: only batches of billing are thinned out here.
#[derive(Clone, Debug)]
struct Sampling {
    batches: Sampler,
}

impl Sampling {
    fn of(settings: &Traces) -> Self {
        Self { batches: Sampler::TraceIdRatioBased(settings.sample_ratio) }
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if *kind == SpanKind::Consumer {
            return self.batches.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let state = parent.map(|parent| parent.span().span_context().trace_state().clone());
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: state.unwrap_or(TraceState::NONE),
        }
    }
}

/// Counts what is sent, so that a collector that takes nothing is noticed.
#[derive(Debug)]
struct Counted(OtlpExporter);

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = self.0.export(batch).await;
        let result = if sent.is_ok() { "sent" } else { "lost" };
        counter!(EXPORTED, "result" => result).increment(spans);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
