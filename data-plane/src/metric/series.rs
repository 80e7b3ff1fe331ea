//! Handles of the metrics that have labels, kept by configured names; looking them up allocates nothing.

use crate::genai::{self, label, metric};
use crate::pipeline::admission::Admission;
use domain::operation::Operation;
use domain::tokens::{Quantities, TokenClass};
use domain::usage::Outcome;
use hashbrown::HashMap;
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::RwLock;
use proto::usage::v1::UsageEvent;
use std::sync::{Arc, OnceLock};

/// How an attempt or a request can go wrong, as a label. What is not named here counts as the last.
const ERRORS: [&str; 14] = [
    "unreachable",
    "unresolved",
    "tls",
    "misconfigured",
    "overloaded",
    "failed",
    "refused",
    "silent",
    "malformed",
    "client_gone",
    "out_of_money",
    "upstream_failed",
    "interrupted",
    "_OTHER",
];

/// Series by two names of the configuration. A name that is deleted keeps its series until the process ends.
pub(super) struct Table<T>(RwLock<HashMap<String, HashMap<String, Arc<T>>>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Table<T> {
    pub(super) fn get(&self, a: &str, b: &str, make: impl FnOnce(&str, &str) -> T) -> Arc<T> {
        let known = self.0.read().get(a).and_then(|inner| inner.get(b)).cloned();
        known.unwrap_or_else(|| {
            let mut table = self.0.write();
            let inner = table.entry(a.to_owned()).or_default();
            inner.entry(b.to_owned()).or_insert_with(|| Arc::new(make(a, b))).clone()
        })
    }
}

/// One handle for success and one for each error, registered when it is first needed.
struct ByError<H> {
    well: OnceLock<H>,
    errors: [OnceLock<H>; ERRORS.len()],
}

impl<H> ByError<H> {
    fn new() -> Self {
        Self { well: OnceLock::new(), errors: [const { OnceLock::new() }; ERRORS.len()] }
    }

    fn get(&self, error: Option<&str>, make: impl FnOnce(Option<&'static str>) -> H) -> &H {
        let Some(error) = error else { return self.well.get_or_init(|| make(None)) };
        let place = ERRORS.iter().position(|known| *known == error);
        let place = place.unwrap_or(ERRORS.len() - 1);
        match (self.errors.get(place), ERRORS.get(place)) {
            (Some(cell), Some(name)) => cell.get_or_init(|| make(Some(name))),
            _ => self.well.get_or_init(|| make(None)),
        }
    }
}

/// What happens on one upstream, whatever the model.
pub(super) struct UpstreamSeries {
    name: String,
    attempts: ByError<Counter>,
    anomalies: OnceLock<Counter>,
}

impl UpstreamSeries {
    pub(super) fn new(upstream: &str, _: &str) -> Self {
        Self { name: upstream.to_owned(), attempts: ByError::new(), anomalies: OnceLock::new() }
    }

    pub(super) fn attempted(&self, error: Option<&str>) {
        let make = |error: Option<&'static str>| {
            let (upstream, result) = (self.name.clone(), error.unwrap_or("ok"));
            counter!("turnpike_upstream_attempts_total", "upstream" => upstream, "result" => result)
        };
        self.attempts.get(error, make).increment(1);
    }

    pub(super) fn anomalous(&self) {
        let make = || counter!("turnpike_usage_anomalies_total", "upstream" => self.name.clone());
        self.anomalies.get_or_init(make).increment(1);
    }
}

/// Those who buy from one entity under one plan.
pub(super) struct BuyerSeries {
    /// In the order of `Outcome::ALL`.
    settled: [Counter; Outcome::ALL.len()],
    charged: Counter,
    uncollected: Counter,
    shortfalls: Counter,
}

impl BuyerSeries {
    pub(super) fn new(entity: &str, plan: &str) -> Self {
        let entity = || entity.to_owned();
        let settled = |outcome: Outcome| {
            counter!(
                "turnpike_requests_settled_total",
                "entity" => entity(), "plan" => plan.to_owned(), "outcome" => outcome.name()
            )
        };
        Self {
            settled: Outcome::ALL.map(settled),
            charged: counter!("turnpike_charged_nano_total", "entity" => entity()),
            uncollected: counter!("turnpike_uncollected_nano_total", "entity" => entity()),
            shortfalls: counter!("turnpike_hold_shortfalls_total", "entity" => entity()),
        }
    }

    pub(super) fn settled(&self, outcome: Outcome, charge_nano: i64, uncollected_nano: i64) {
        let place = Outcome::ALL.iter().position(|known| *known == outcome);
        let counter = place.and_then(|place| self.settled.get(place));
        counter.into_iter().for_each(|counter| counter.increment(1));
        self.charged.increment(charge_nano.unsigned_abs());
        if uncollected_nano > 0 {
            self.shortfalls.increment(1);
            self.uncollected.increment(uncollected_nano.unsigned_abs());
        }
    }
}

/// One model on one upstream, under the names of the GenAI conventions.
pub(super) struct RouteSeries {
    operation: &'static str,
    model: String,
    vendor: String,
    upstream: String,
    operations: ByError<Histogram>,
    requests: ByError<Histogram>,
    input_tokens: Histogram,
    output_tokens: Histogram,
    first_chunk: Histogram,
    per_chunk: Histogram,
    first_token: Histogram,
    per_token: Histogram,
}

impl RouteSeries {
    pub(super) fn new(operation: Operation, model: &str, upstream: &str, vendor: &str) -> Self {
        let operation = genai::operation(operation);
        let (m, v, u) = (|| model.to_owned(), || vendor.to_owned(), || upstream.to_owned());
        let client = |name: &'static str| histogram!(name, label::OPERATION => operation, label::PROVIDER => v(), label::MODEL => m(), "upstream" => u());
        let server = |name: &'static str| histogram!(name, label::OPERATION => operation, label::MODEL => m());
        let tokens = |kind: &'static str| {
            histogram!(
                metric::TOKEN_USAGE, label::OPERATION => operation, label::PROVIDER => v(),
                label::MODEL => m(), "upstream" => u(), label::TOKEN_TYPE => kind
            )
        };
        Self {
            operation,
            model: m(),
            vendor: v(),
            upstream: u(),
            operations: ByError::new(),
            requests: ByError::new(),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
            first_chunk: client(metric::TIME_TO_FIRST_CHUNK),
            per_chunk: client(metric::TIME_PER_OUTPUT_CHUNK),
            first_token: server(metric::TIME_TO_FIRST_TOKEN),
            per_token: server(metric::TIME_PER_OUTPUT_TOKEN),
        }
    }

    /// One attempt is over.
    pub(super) fn operation(&self, error: Option<&str>, duration_us: u64) {
        let make = |error: Option<&'static str>| {
            let (v, m, u) = (self.vendor.clone(), self.model.clone(), self.upstream.clone());
            histogram!(
                metric::OPERATION_DURATION, label::OPERATION => self.operation, label::PROVIDER => v,
                label::MODEL => m, "upstream" => u, label::ERROR => error.unwrap_or_default()
            )
        };
        self.operations.get(error, make).record(seconds(duration_us));
    }

    /// One request is over, and with it the attempt that served it.
    pub(super) fn settled(
        &self,
        admission: &Admission,
        outcome: Outcome,
        event: &UsageEvent,
        used: &Quantities,
    ) {
        let error = (outcome != Outcome::Completed).then(|| outcome.name());
        let make = |error: Option<&'static str>| {
            histogram!(
                metric::REQUEST_DURATION, label::OPERATION => self.operation,
                label::MODEL => self.model.clone(), label::ERROR => error.unwrap_or_default()
            )
        };
        let duration_us = event.ended_us.saturating_sub(event.admitted_us);
        self.requests.get(error, make).record(seconds(duration_us));
        if !admission.meter.was_processed {
            return;
        }
        let serving_us = event.ended_us.saturating_sub(admission.attempt_began.0);
        self.operation(error, serving_us);
        self.input_tokens.record(approximate(used.input_total()));
        self.output_tokens.record(approximate(used.output_total()));
        if admission.meter.first_token_us > 0 {
            self.spoken(admission, event, used);
        }
    }

    fn spoken(&self, admission: &Admission, event: &UsageEvent, used: &Quantities) {
        let first_us = event.admitted_us.saturating_add(event.first_token_us);
        self.first_token.record(seconds(event.first_token_us));
        if !event.streamed {
            return;
        }
        self.first_chunk.record(seconds(first_us.saturating_sub(admission.attempt_began.0)));
        let rest_us = event.ended_us.saturating_sub(first_us);
        let mean = |count: u64| rest_us.checked_div(count.saturating_sub(1));
        if let Some(gap_us) = mean(admission.meter.transcript.pieces()) {
            self.per_chunk.record(seconds(gap_us));
        }
        if let Some(gap_us) =
            mean(used.get(TokenClass::Output).saturating_add(used.get(TokenClass::Reasoning)))
        {
            self.per_token.record(seconds(gap_us));
        }
    }
}

/// Charts may lose a number's last bits; no money is counted by them.
pub(super) fn approximate(count: u64) -> f64 {
    count as f64
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
