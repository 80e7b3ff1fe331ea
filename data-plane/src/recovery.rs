//! Closing what an earlier process left open: each request gets its one end, as interrupted, and is charged what its last
//! progress had metered, never its whole hold.

use crate::metric;
use domain::money::Nano;
use domain::price::{Rates, cost};
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use links::spool::OpenRequest;
use proto::convert::usage::metered;
use proto::usage::v1::{Admitted, Line, Outcome, Progress, SliceMark, UsageEvent};

/// Closes all requests that a spool found open, and counts what they are charged in `slices`, which come from the same
/// spool; the purse is restored from them afterwards. Returns how many were closed.
pub fn close_interrupted(
    open: Vec<OpenRequest>,
    slices: &mut Vec<SliceMark>,
    now: Timestamp,
) -> usize {
    let mut closed = 0_usize;
    for OpenRequest { admitted, progress, ticket } in open {
        let event = interrupted(admitted, progress, now);
        let (org, key, charge) = (event.org_uid, event.key_uid, event.charge_nano);
        let budget = event.budgeted.then_some(key);
        match ticket.finish(event) {
            Ok(_) => {
                closed = closed.saturating_add(1);
                count(slices, org, 0, charge);
                budget.into_iter().for_each(|key| count(slices, org, key, charge));
            }
            Err(error) => {
                tracing::error!(%error, "an interrupted request stays open until the next start");
            }
        }
    }
    metric::interrupted(closed);
    closed
}

/// The end of a request whose process died.
fn interrupted(admitted: Admitted, progress: Option<Progress>, now: Timestamp) -> UsageEvent {
    let progress = progress.unwrap_or_default();
    let hold = Nano::saturating(admitted.hold_nano.max(progress.hold_nano).into()).or_zero();
    let metered = metered_cost(&progress.lines, &admitted.request_id);
    let charge = metered.min(hold);
    UsageEvent {
        request_id: admitted.request_id,
        upstream_id: progress.upstream_id,
        org_uid: admitted.org_uid,
        key_uid: admitted.key_uid,
        entity: admitted.entity,
        currency: admitted.currency,
        model: progress.price.as_ref().map_or(admitted.model, |price| price.model.clone()),
        price: progress.price.or(admitted.price),
        outcome: Outcome::Interrupted.into(),
        lines: progress.lines,
        charge_nano: charge.get(),
        uncollected_nano: metered.saturating_minus(charge).get(),
        attempts: progress.attempts,
        admitted_us: admitted.admitted_us,
        ended_us: now.0.max(admitted.admitted_us),
        streamed: admitted.streamed,
        app: admitted.app,
        budgeted: admitted.budgeted,
        client_digest: admitted.client_digest,
        trace_id: admitted.trace_id,
        operation: admitted.operation,
        requested_model: admitted.requested_model,
        session_id: admitted.session_id,
        ..UsageEvent::default()
    }
}

/// What lines cost at their own prices. Lines that cannot be read cost nothing: a guess would be the customer's loss.
fn metered_cost(lines: &[Line], request_id: &str) -> Nano {
    let mut rates = Rates::NONE;
    for line in lines {
        if let Some(class) = TokenClass::parse(&line.class) {
            rates.set(class, Nano::saturating(line.unit_nano_per_million.into()));
        }
    }
    let metered = metered(lines).map_err(|unreadable| unreadable.to_string());
    let cost = metered.and_then(|metered| {
        cost(&rates, &metered.quantities).map_err(|impossible| impossible.to_string())
    });
    cost.map(Nano::or_zero).unwrap_or_else(|reason| {
        tracing::error!(
            request_id,
            reason,
            "the progress of an interrupted request is not charged"
        );
        Nano::ZERO
    })
}

fn count(slices: &mut Vec<SliceMark>, org_uid: i64, key_uid: i64, charge: i64) {
    let is_same = |mark: &&mut SliceMark| mark.org_uid == org_uid && mark.key_uid == key_uid;
    if let Some(mark) = slices.iter_mut().find(is_same) {
        mark.spent_nano = mark.spent_nano.saturating_add(charge);
    } else {
        slices.push(SliceMark { org_uid, key_uid, spent_nano: charge, ..SliceMark::default() });
    }
}

#[cfg(test)]
mod tests;
