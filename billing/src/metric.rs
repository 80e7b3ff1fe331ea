//! Names of billing's metrics, in one place.

use metrics::counter;

/// A data plane proved a grant whose commit was lost, and this much of it no account could back.
pub(crate) fn unbacked(nano: i64) {
    counter!("turnpike_billing_unbacked_nano_total").increment(nano.unsigned_abs());
}

/// This much of a charge could not be collected.
pub(crate) fn shortfall(nano: i64) {
    counter!("turnpike_billing_shortfall_nano_total").increment(nano.unsigned_abs());
}

/// Events were applied.
pub(crate) fn applied(fresh: u64, duplicates: u64, poisoned: u64) {
    counter!("turnpike_billing_events_total", "result" => "applied").increment(fresh);
    counter!("turnpike_billing_events_total", "result" => "duplicate").increment(duplicates);
    counter!("turnpike_billing_events_total", "result" => "poison").increment(poisoned);
}

/// A charge is not what billing computes from the same quantities and prices.
pub(crate) fn charge_differs() {
    counter!("turnpike_billing_charge_differences_total").increment(1);
}

/// Sequence numbers are missing.
pub(crate) fn gaps(opened: u64) {
    counter!("turnpike_billing_gaps_total").increment(opened);
}

/// A want was answered.
pub(crate) fn answered(answer: &'static str) {
    counter!("turnpike_escrow_wants_total", "answer" => answer).increment(1);
}
