//! The access log: one line for each request, with the fields of its usage event. Never words of the client or its address.

use crate::plane::Shared;
use domain::usage::Outcome;
use proto::usage::v1::UsageEvent;
use rand::RngExt;
use std::fmt::Write;

/// Which requests get a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// This share of them, from 0 to 1.
    Sampled(f64),
    /// All.
    On,
}

impl AccessLog {
    fn wants_this(self) -> bool {
        match self {
            Self::Off => false,
            Self::Sampled(share) => rand::rng().random_bool(share.clamp(0.0, 1.0)),
            Self::On => true,
        }
    }
}

/// An admitted request ended.
pub(crate) fn settled(plane: &Shared, outcome: Outcome, event: &UsageEvent) {
    if !plane.parts.settings.access_log.wants_this() {
        return;
    }
    tracing::info!(
        target: "access",
        request_id = event.request_id,
        trace_id = event.trace_id,
        org_uid = event.org_uid,
        key_uid = event.key_uid,
        entity = event.entity,
        model = event.model,
        upstream = event.attempts.last().map_or("", |attempt| attempt.upstream.as_str()),
        attempts = event.attempts.len(),
        outcome = outcome.name(),
        status = event.status,
        streamed = event.streamed,
        finish_reason = finish_word(&event.finish_reason),
        lines = lines(event),
        usage_anomaly = event.usage_anomaly,
        currency = event.currency,
        charge_nano = event.charge_nano,
        uncollected_nano = event.uncollected_nano,
        price_revision = event.price.as_ref().map_or(0, |price| price.revision),
        first_token_us = event.first_token_us,
        duration_us = event.ended_us.saturating_sub(event.admitted_us),
        "request settled"
    );
}

/// A request was not admitted.
pub(crate) fn refused(plane: &Shared, request_id: &str, status: u16, error_type: &'static str) {
    if plane.parts.settings.access_log.wants_this() {
        tracing::info!(target: "access", request_id, status, error_type, "request refused");
    }
}

/// Classes and quantities, as `input=12 output=30`.
fn lines(event: &UsageEvent) -> String {
    let mut text = String::new();
    for line in &event.lines {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _written = write!(text, "{space}{}={}", line.class, line.quantity);
    }
    text
}

/// Why an answer ended, if in a word that is known: an upstream could write anything there.
pub(crate) fn finish_word(reason: &str) -> &'static str {
    const KNOWN: [&str; 6] =
        ["", "stop", "length", "tool_calls", "function_call", "content_filter"];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("other")
}
