//! Names of the data plane's metrics, in one place, and the only code that touches the registry.
//!
//! Labels are few and closed: never a key, an org, or anything a client can choose.

use domain::usage::Outcome;
use metrics::{counter, gauge};

/// A request was answered with this status, or ended in a stream after a 200.
pub(crate) fn answered(status: u16) {
    counter!("turnpike_http_responses_total", "status" => status.to_string()).increment(1);
}

/// An admitted request ended.
pub(crate) fn settled(outcome: Outcome, charge_nano: i64, uncollected_nano: i64) {
    counter!("turnpike_requests_settled_total", "outcome" => outcome.name()).increment(1);
    counter!("turnpike_charged_nano_total").increment(charge_nano.unsigned_abs());
    counter!("turnpike_uncollected_nano_total").increment(uncollected_nano.unsigned_abs());
}

/// One attempt on an upstream ended.
pub(crate) fn attempted(upstream: &str, reason: &'static str) {
    counter!("turnpike_upstream_attempts_total", "upstream" => upstream.to_owned(), "result" => reason)
        .increment(1);
}

/// A usage event could not be written; the request stays open until a restart closes it.
pub(crate) fn event_not_written() {
    counter!("turnpike_usage_events_not_written_total").increment(1);
}

/// Clients connected to one core came or went.
pub(crate) fn connections(change: f64) {
    gauge!("turnpike_client_connections").increment(change);
}
