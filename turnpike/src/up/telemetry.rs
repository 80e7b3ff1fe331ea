//! Logs and spans of the process: where they go and what they look like. What is told is each role's business; prompts,
//! answers and secrets never are.

mod json;
mod traces;

use crate::config::{Config, Log, LogFormat};
pub(super) use traces::EXPORTED as SPANS_EXPORTED;

use anyhow::{Context, anyhow};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::{IsTerminal, stderr};
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// How this process calls itself.
const SERVICE: &str = "turnpike";
/// Whose spans are sent; those of libraries are not.
const SPANS_OF: [&str; 2] = ["billing", "control_plane"];

/// What must be ended well.
pub(super) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts logging to stderr, and sending spans if that is set. Must be called on the runtime that shall send them.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let traces = traces::start(config)?;
        let spans = traces.as_ref().map(|provider| {
            let ours = filter_fn(|metadata| {
                let target = metadata.target();
                metadata.is_span() && SPANS_OF.iter().any(|of| target.starts_with(of))
            });
            tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE)).with_filter(ours)
        });
        tracing_subscriber::registry()
            .with(logs(&config.log)?)
            .with(spans)
            .try_init()
            .map_err(|error| anyhow!("logging cannot start: {error}"))?;
        Ok(Self { traces })
    }

    /// Sends what waits, if that can be done in time.
    pub(super) fn end(self, within: Duration) {
        let ended = self.traces.map_or(Ok(()), |traces| traces.shutdown_with_timeout(within));
        if let Err(error) = ended {
            tracing::warn!(%error, "the last spans may not have been sent");
        }
    }
}

fn logs<S>(log: &Log) -> anyhow::Result<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_new(&log.filter).with_context(|| {
        format!("log.filter \"{}\" cannot be read: write it like \"info\"", log.filter)
    })?;
    let layer = match log.format {
        LogFormat::Json => fmt::layer().event_format(json::Line).with_writer(stderr).boxed(),
        LogFormat::Text => fmt::layer()
            .with_target(false)
            .with_ansi(stderr().is_terminal())
            .with_writer(stderr)
            .boxed(),
    };
    // Spans are for the collector alone.
    Ok(layer.with_filter(filter.and(filter_fn(|metadata| metadata.is_event()))))
}
