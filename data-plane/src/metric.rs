//! The data plane's metrics, and the only code of it that touches the registry. `docs/metrics.md` lists them all.
//!
//! Labels are few and closed: configured names and closed sets, never a key, an org, or anything that a client can choose.
//! Handles are registered once for each set of labels, so that a request only adds to numbers that are there.

mod described;
mod gauges;
mod series;

pub use described::describe;
pub(crate) use gauges::observe;

use crate::pipeline::admission::Admission;
use domain::operation::Operation;
use domain::tokens::Quantities;
use domain::usage::Outcome;
use metrics::{Counter, Gauge, counter, gauge};
use proto::usage::v1::UsageEvent;
use series::{BuyerSeries, RouteSeries, Table, UpstreamSeries};
use std::sync::{Arc, LazyLock};

/// What has no labels, or a closed set of them that is known from the start.
struct Fixed {
    /// By the first digit of the status.
    responses: [Counter; 6],
    events_not_written: Counter,
    contents_dropped: Counter,
    traces: Counter,
    connections: Gauge,
    streams: Gauge,
    /// In the order of the operations.
    routes: [Table<RouteSeries>; Operation::ALL.len()],
    upstreams: Table<UpstreamSeries>,
    refusals: Table<Counter>,
    buyers: Table<BuyerSeries>,
}

/// Made at first use, which is after the recorder was installed.
static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let response =
        |class: &'static str| counter!("turnpike_http_responses_total", "status_class" => class);
    Fixed {
        responses: classes.map(response),
        events_not_written: counter!("turnpike_usage_events_not_written_total"),
        contents_dropped: counter!("turnpike_contents_dropped_total"),
        traces: counter!("turnpike_traces_sampled_total"),
        connections: gauge!("turnpike_client_connections"),
        streams: gauge!("turnpike_streams_in_flight"),
        routes: Default::default(),
        upstreams: Table::default(),
        refusals: Table::default(),
        buyers: Table::default(),
    }
});

/// A request was answered with this status, or its stream began with it.
pub(crate) fn answered(status: u16) {
    let class = usize::from(status / 100);
    let counter = FIXED.responses.get(class).or(FIXED.responses.first());
    counter.into_iter().for_each(|counter| counter.increment(1));
}

/// A prompt with its completion is not kept: no room on the way to the store.
pub(crate) fn content_dropped() {
    FIXED.contents_dropped.increment(1);
}

/// A request was not admitted.
pub(crate) fn refused(error_type: &'static str) {
    let make =
        |_: &str, _: &str| counter!("turnpike_requests_refused_total", "error_type" => error_type);
    FIXED.refusals.get(error_type, "", make).increment(1);
}

/// One attempt on an upstream ended before it had an answer, or has one now.
pub(crate) fn attempted(admission: &Admission, error: Option<&'static str>, duration_us: u64) {
    let Some(candidate) = admission.candidate() else { return };
    let upstream = &candidate.upstream.name;
    FIXED.upstreams.get(upstream, "", UpstreamSeries::new).attempted(error);
    if error.is_some() {
        route(admission).inspect(|series| series.operation(error, duration_us));
    }
}

/// An admitted request ended.
pub(crate) fn settled(
    admission: &Admission,
    outcome: Outcome,
    event: &UsageEvent,
    used: &Quantities,
) {
    let (entity, plan) = (&admission.caller.entity.name, &admission.caller.plan.name);
    FIXED.buyers.get(entity, plan, BuyerSeries::new).settled(
        outcome,
        event.charge_nano,
        event.uncollected_nano,
    );
    if let Some(candidate) = admission.candidate().filter(|_| event.usage_anomaly) {
        FIXED.upstreams.get(&candidate.upstream.name, "", UpstreamSeries::new).anomalous();
    }
    route(admission).inspect(|series| series.settled(admission, outcome, event, used));
}

fn route(admission: &Admission) -> Option<Arc<RouteSeries>> {
    let candidate = admission.candidate()?;
    let (model, upstream) = (&candidate.model.name, &candidate.upstream);
    let operation = admission.request.operation;
    let make = |model: &str, name: &str| RouteSeries::new(operation, model, name, &upstream.vendor);
    let table = FIXED.routes.get(operation as usize)?;
    Some(table.get(model, &upstream.name, make))
}

/// A usage event could not be written; the request stays open until a restart closes it.
pub(crate) fn event_not_written() {
    FIXED.events_not_written.increment(1);
}

/// The configuration differed from the control plane's at the same revision.
pub(crate) fn configuration_diverged() {
    counter!("turnpike_config_divergences_total").increment(1);
}

/// An update of the configuration that would delete too much was held back.
pub(crate) fn configuration_held_back() {
    counter!("turnpike_config_held_back_total").increment(1);
}

/// The configuration could not be written to the disk.
pub(crate) fn configuration_not_written() {
    counter!("turnpike_config_not_written_total").increment(1);
}

/// Spans are made of a request.
pub(crate) fn traced() {
    FIXED.traces.increment(1);
}

/// Requests that an earlier process left open were ended.
pub(crate) fn interrupted(count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter!("turnpike_requests_interrupted_total").increment(count);
}

/// Something that is counted as long as it lives.
pub(crate) struct Present(&'static Gauge);

impl Present {
    fn count(gauge: &'static Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A client is connected.
pub(crate) fn connection() -> Present {
    Present::count(&FIXED.connections)
}

/// A stream runs.
pub(crate) fn stream() -> Present {
    Present::count(&FIXED.streams)
}
