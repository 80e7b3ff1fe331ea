//! The metrics of the process: the registry that roles write to, and what is looked at when it is read.

use crate::up::{fleet, telemetry};
use anyhow::Context;
use data_plane::genai;
use metrics::{describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often histograms are put together when nobody asks for them; until then they keep every sample.
const UPKEEP: Duration = Duration::from_secs(5);

const BUILD: &str = "turnpike_build_info";
const READY: &str = "turnpike_ready";

type Look = Box<dyn Fn() + Send + Sync>;

/// All metrics. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Registry {
    handle: PrometheusHandle,
    process: Collector,
    looks: Arc<Mutex<Vec<Look>>>,
}

impl Registry {
    /// Makes it the registry of this process.
    pub(super) fn install(stop: &CancellationToken) -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new().set_buckets(&genai::SECONDS)?;
        for (name, bounds) in genai::BUCKETS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
        }
        let handle = builder.install_recorder().context("metrics cannot be recorded")?;
        describe();
        let process = Collector::default();
        process.describe();
        tokio::spawn(upkeep(handle.clone(), stop.clone()));
        Ok(Self { handle, process, looks: Arc::default() })
    }

    pub(super) fn observe(&self, look: Look) {
        self.looks.lock().push(look);
    }

    /// Everything, as Prometheus reads it.
    pub(super) fn text(&self, is_ready: bool) -> String {
        self.looks.lock().iter().for_each(|look| look());
        self.process.collect();
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
        gauge!(READY).set(u8::from(is_ready));
        self.handle.run_upkeep();
        self.handle.render()
    }
}

fn describe() {
    data_plane::describe_metrics();
    billing::describe_metrics();
    control_plane::describe_metrics();
    fleet::describe_metrics();
    describe_gauge!(BUILD, "Always 1; the label says which version runs.");
    describe_gauge!(READY, "1 while /readyz says that clients are served.");
    describe_counter!(telemetry::SPANS_EXPORTED, "Spans for the collector, by what came of them.");
}

async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => handle.run_upkeep(),
        }
    }
}
