//! Settings of traces: where spans go, of which requests, and how many may wait.

use super::human;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Spans for an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    /// The collector's OTLP gRPC address; absent: no spans are made.
    pub(crate) endpoint: Option<String>,
    /// Headers for it, a line each as `name: value`.
    pub(crate) headers_file: Option<PathBuf>,
    /// The share of requests and billing batches of which spans are made, from 0 to 1.
    pub(crate) sample_ratio: f64,
    /// Go on with the traces that callers name, and sample what they sample.
    pub(crate) trust_callers: bool,
    /// Upstreams, by name, that are told the trace.
    pub(crate) send_to_upstreams: Vec<String>,
    /// Most spans that wait to be sent; beyond them new ones are dropped.
    pub(crate) queue_spans: NonZeroUsize,
    /// Most spans that are sent at once.
    pub(crate) batch_spans: NonZeroUsize,
    /// How long spans may gather.
    #[serde(with = "human::duration")]
    pub(crate) export_interval: Duration,
    /// How long the collector may take for a batch.
    #[serde(with = "human::duration")]
    pub(crate) export_timeout: Duration,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            sample_ratio: 0.01,
            trust_callers: false,
            send_to_upstreams: Vec::new(),
            queue_spans: NonZeroUsize::MIN.saturating_add(2047),
            batch_spans: NonZeroUsize::MIN.saturating_add(511),
            export_interval: Duration::from_secs(5),
            export_timeout: Duration::from_secs(10),
        }
    }
}
