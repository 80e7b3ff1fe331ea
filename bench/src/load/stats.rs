//! What is made of the answers: distributions, counts, steps; and the document that is handed on.

use super::Rhythm;
use super::connection::{Answer, Failed};
use super::probe::Probed;
use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const LONGEST_US: u64 = 600_000_000;

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// On average.
    pub mean: f64,
    /// Lowest.
    pub min: u64,
    /// Half are below.
    pub p50: u64,
    /// Nine of ten are below.
    pub p90: u64,
    /// 99 % are below.
    pub p99: u64,
    /// 99.9 % are below.
    pub p999: u64,
    /// Highest.
    pub max: u64,
}

/// Events that came much later than the upstream sent them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Steps {
    /// Streams whose first event came late.
    pub first: u64,
    /// Later events that came late after the one before.
    pub between: u64,
    /// How late the worst of them was, in microseconds.
    pub worst_us: u64,
}

/// What a measurement found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadResult {
    /// Answers that count.
    pub ok: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Answers a second.
    pub rps: f64,
    /// Events of their streams.
    pub events: u64,
    /// Answers that ended inside the window, whenever they were due.
    pub ok_in_window: u64,
    /// Events that came inside the window.
    pub events_in_window: u64,
    /// Answers that told what was used.
    pub with_usage: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Most requests at once.
    pub concurrent_max: usize,
    /// How late the generator itself was, at worst.
    pub sent_late_max_us: u64,
    /// How much of a core the generator used: near 1 it was the limit.
    pub loadgen_cpu_share: f64,
    /// To the end of an answer.
    pub latency_us: Option<Quantiles>,
    /// To its first byte.
    pub first_byte_us: Option<Quantiles>,
    /// To its first event.
    pub first_event_us: Option<Quantiles>,
    /// Between two events.
    pub between_us: Option<Quantiles>,
    /// Events that were late.
    pub steps: Steps,
    /// CPU time and memory of the gateway.
    pub target: Option<Probed>,
}

pub(super) struct Stats {
    total: Histogram<u64>,
    first_byte: Histogram<u64>,
    first_event: Histogram<u64>,
    between: Histogram<u64>,
    ok: u64,
    errors: BTreeMap<String, u64>,
    events: u64,
    ok_in_window: u64,
    events_in_window: u64,
    with_usage: u64,
    bytes: u64,
    sent_late_max_us: u64,
    steps: Steps,
    pub(super) connects: u64,
    pub(super) concurrent_max: usize,
}

impl Stats {
    pub(super) fn new() -> Result<Self, CreationError> {
        let empty = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
        Ok(Self {
            total: empty.clone(),
            first_byte: empty.clone(),
            first_event: empty.clone(),
            between: empty,
            ok: 0,
            errors: BTreeMap::new(),
            events: 0,
            ok_in_window: 0,
            events_in_window: 0,
            with_usage: 0,
            bytes: 0,
            sent_late_max_us: 0,
            steps: Steps::default(),
            connects: 0,
            concurrent_max: 0,
        })
    }

    pub(super) fn sent_late(&mut self, late: Duration) {
        self.sent_late_max_us = self.sent_late_max_us.max(microseconds(late));
    }

    pub(super) fn done_in_window(&mut self, has_ended: bool, answer: &Answer) {
        self.ok_in_window += u64::from(has_ended);
        self.events_in_window += answer.body.in_window;
    }

    pub(super) fn failed(&mut self, failed: &Failed) {
        *self.errors.entry(failed.to_string()).or_default() += 1;
    }

    pub(super) fn answered(&mut self, due: Instant, answer: &Answer, rhythm: Option<Rhythm>) {
        self.ok += 1;
        self.total.saturating_record(microseconds(due.elapsed()));
        self.first_byte.saturating_record(microseconds(answer.first_byte - due));
        if let Some(first) = answer.body.first {
            self.first_event.saturating_record(microseconds(first - due));
            self.step(rhythm, first - due, Duration::ZERO, |steps| &mut steps.first);
        }
        for gap in &answer.body.gaps {
            self.between.saturating_record(u64::from(*gap).max(1));
            let gap = Duration::from_micros(u64::from(*gap));
            let every = rhythm.map_or(Duration::ZERO, |rhythm| rhythm.every);
            self.step(rhythm, gap, every, |steps| &mut steps.between);
        }
        self.events += answer.body.events;
        self.bytes += answer.bytes;
        self.with_usage += u64::from(answer.body.has_usage);
    }

    fn step(
        &mut self,
        rhythm: Option<Rhythm>,
        took: Duration,
        expected: Duration,
        kind: fn(&mut Steps) -> &mut u64,
    ) {
        let late = took.saturating_sub(expected);
        if rhythm.is_some_and(|rhythm| late >= rhythm.late) {
            *kind(&mut self.steps) += 1;
            self.steps.worst_us = self.steps.worst_us.max(microseconds(late));
        }
    }

    pub(super) fn result(
        &self,
        duration: Duration,
        share: f64,
        target: Option<Probed>,
    ) -> LoadResult {
        LoadResult {
            ok: self.ok,
            errors: self.errors.clone(),
            rps: self.ok as f64 / duration.as_secs_f64(),
            events: self.events,
            ok_in_window: self.ok_in_window,
            events_in_window: self.events_in_window,
            with_usage: self.with_usage,
            bytes: self.bytes,
            connects: self.connects,
            concurrent_max: self.concurrent_max,
            sent_late_max_us: self.sent_late_max_us,
            loadgen_cpu_share: share,
            latency_us: quantiles(&self.total),
            first_byte_us: quantiles(&self.first_byte),
            first_event_us: quantiles(&self.first_event),
            between_us: quantiles(&self.between),
            steps: self.steps,
            target,
        }
    }
}

impl LoadResult {
    /// How many requests failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn quantiles(of: &Histogram<u64>) -> Option<Quantiles> {
    if of.is_empty() {
        return None;
    }
    Some(Quantiles {
        count: of.len(),
        mean: of.mean(),
        min: of.min(),
        p50: of.value_at_quantile(0.50),
        p90: of.value_at_quantile(0.90),
        p99: of.value_at_quantile(0.99),
        p999: of.value_at_quantile(0.999),
        max: of.max(),
    })
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(LONGEST_US).max(1)
}
