//! What was metered → the hold settled and exactly one usage event in the spool. Never tells the client anything.

use crate::access;
use crate::body::request::ClientRequest;
use crate::clock::now;
use crate::metric;
use crate::pipeline::admission::{Admission, Money};
use crate::pipeline::route::Candidate;
use crate::tokenizer;
use crate::trace;
use crate::upstream::speed::Sample;
use domain::money::Nano;
use domain::price::{Rates, cost};
use domain::time::Timestamp;
use domain::tokens::{Metered, Quantities, TokenClass};
use domain::usage::{ChargePolicy, Outcome, chargeable};
use http::StatusCode;
use proto::convert::usage as convert;
use proto::usage::v1 as usage;
use std::time::Duration;

/// Ends an admission: counts what nobody counted, charges, and writes the event before it returns.
pub(crate) async fn settle(mut admission: Box<Admission>, outcome: Outcome, status: StatusCode) {
    count(&mut admission).await;
    conclude(&mut admission, outcome, status);
}

/// Has the tokeniser say what no upstream said.
pub(crate) async fn count(admission: &mut Admission) {
    // Apart, so that the many that need no counting keep no room for it.
    if admission.needs_counting() {
        Box::pin(count_all(admission)).await;
    }
}

async fn count_all(admission: &mut Admission) {
    if admission.meter.input_counted.is_none() {
        count_input(admission).await;
    }
    if admission.meter.transcript.kept_bytes() > countable(admission) {
        return;
    }
    let mut spoken = admission.meter.transcript.count().await;
    let input = admission.meter.input_counted.unwrap_or_default();
    spoken.answer =
        spoken.answer.saturating_sub(input.saturating_mul(admission.request.ask.echoes));
    admission.meter.spoken = Some(spoken);
}

/// A text that would keep the tokeniser busy for longer, and all who wait for it, stays a guess.
fn countable(admission: &Admission) -> u64 {
    admission.plane.parts.settings.limits.counted_bytes
}

/// Has the tokeniser count what was sent; never more than its bytes allow.
pub(crate) async fn count_input(admission: &mut Admission) {
    if admission.request.ask.size.text_bytes > countable(admission) {
        return;
    }
    let ClientRequest { operation, body, .. } = &admission.request;
    let counted = tokenizer::count_prompt(*operation, body.clone()).await;
    admission.meter.input_counted = Some(counted.min(admission.plan.input_tokens_max));
}

/// The end itself: no await, so that nothing can come between the charge and its record.
pub(crate) fn conclude(admission: &mut Admission, outcome: Outcome, status: StatusCode) {
    let Some(Money { hold, ticket, limit }) = admission.take_money() else {
        return;
    };
    let (metered, usage_anomaly) = admission.metered();
    let charged = charged(admission, outcome, metered);
    let rates = admission.rates(charged.quantities.input_total());
    let cost = price(&rates, &charged.quantities);
    let settled = hold.settle(cost);
    let ended = now();
    limit.settle(ended, tokens(&charged.quantities));
    let record = std::mem::take(&mut admission.record);
    let event = usage::UsageEvent {
        request_id: record.request_id.clone(),
        upstream_id: std::mem::take(&mut admission.meter.upstream_id),
        org_uid: record.org_uid,
        key_uid: record.key_uid,
        entity: record.entity,
        currency: record.currency,
        model: admission.candidate().map_or(record.model, |c| c.model.name.clone()),
        price: price_ref(admission, record.price),
        outcome: usage::Outcome::from(outcome).into(),
        lines: convert::lines(&charged, &rates),
        charge_nano: settled.charged.get(),
        uncollected_nano: settled.uncollected.get(),
        attempts: std::mem::take(&mut admission.attempts),
        admitted_us: record.admitted_us,
        ended_us: ended.0,
        first_token_us: admission.meter.first_token_us,
        streamed: record.streamed,
        status: u32::from(status.as_u16()),
        app: record.app,
        budgeted: record.budgeted,
        usage_anomaly,
        operation: record.operation,
        requested_model: record.requested_model,
        session_id: record.session_id,
        vendor: admission.candidate().map(|c| c.upstream.vendor.clone()).unwrap_or_default(),
        finish_reason: std::mem::take(&mut admission.meter.finish_reason),
        client_digest: record.client_digest,
        trace_id: record.trace_id,
    };
    metric::settled(admission, outcome, &event, &charged.quantities);
    note_speed(admission, &event, &charged.quantities);
    access::settled(&admission.plane, outcome, &event);
    trace::settled(admission, outcome, &event, &charged.quantities);
    if let Err(error) = ticket.finish(event) {
        metric::event_not_written();
        tracing::error!(%error, "a usage event was not written; the next start closes its request");
    }
    if let Some(content) = admission.content.take() {
        content.end(&record.request_id, record.org_uid, ended.0);
    }
}

/// The first candidate's is written down already.
fn price_ref(admission: &Admission, of_first: Option<usage::PriceRef>) -> Option<usage::PriceRef> {
    if admission.serving == 0 { of_first } else { admission.candidate().map(Candidate::price_ref) }
}

/// A stream tells how fast its upstream is.
fn note_speed(admission: &Admission, event: &usage::UsageEvent, used: &Quantities) {
    let Some(candidate) = admission.candidate() else { return };
    if !event.streamed || event.first_token_us == 0 || !admission.meter.was_processed {
        return;
    }
    let first_us = event.admitted_us.saturating_add(event.first_token_us);
    let spoken = used.get(TokenClass::Output).saturating_add(used.get(TokenClass::Reasoning));
    let sample = Sample {
        first_token: Duration::from_micros(first_us.saturating_sub(admission.attempt_began.0)),
        rest: Duration::from_micros(event.ended_us.saturating_sub(first_us)),
        tokens: spoken,
        at: Timestamp(event.ended_us),
    };
    admission.plane.speeds.note(&candidate.upstream.name, &candidate.model.name, sample);
}

fn charged(admission: &Admission, outcome: Outcome, metered: Metered) -> Metered {
    let entity = &admission.caller.entity;
    let policy = ChargePolicy {
        empty: entity.charge_empty_answers || !admission.request.expects_words(),
        cut: entity.charge_cut_answers,
    };
    Metered { quantities: chargeable(outcome, metered.quantities, policy), ..metered }
}

/// What quantities cost. A catalog that validates prices every class; were one missing all the same, the company pays.
pub(crate) fn price(rates: &Rates, quantities: &Quantities) -> Nano {
    cost(rates, quantities).unwrap_or_else(|error| {
        tracing::error!(%error, "a request could not be priced; it is not charged");
        Nano::ZERO
    })
}

fn tokens(quantities: &Quantities) -> u64 {
    quantities.input_total().saturating_add(quantities.output_total())
}
