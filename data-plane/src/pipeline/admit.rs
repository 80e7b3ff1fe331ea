//! Plan → `Admission`: limits taken, money held, and a record in the spool that owes an end. 402, 429 or 503.

use crate::body::request::ClientRequest;
use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::idempotency::Claim;
use crate::limits::{self, LimitKind, LimitRefused};
use crate::pipeline::admission::{Admission, Money};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::head::{rate_headers, stopping};
use crate::pipeline::route::{Candidate, RoutePlan};
use crate::plane::Shared;
use crate::purse::{HoldOrder, HoldRefused, PurseHold};
use domain::client::ClientDigest;
use domain::money::Nano;
use domain::time::Timestamp;
use http::{HeaderMap, StatusCode};
use links::spool::SpoolError;
use proto::usage::v1 as usage;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// When money in flight elsewhere is likely to have come back.
const IN_FLIGHT_RETRY: Duration = Duration::from_secs(2);
/// When a full disk or an absent control plane may have been mended.
const OUTAGE_RETRY: Duration = Duration::from_secs(1);

/// A token of ordinary text, for estimates that are corrected later.
const BYTES_PER_TOKEN: u64 = 4;

/// What is to be admitted.
pub(crate) struct AdmitOrder {
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) caller: Caller,
    pub(crate) plan: RoutePlan,
    pub(crate) request: ClientRequest,
    pub(crate) app: String,
    pub(crate) client: ClientDigest,
    pub(crate) claim: Option<Claim>,
}

/// Why a request is not admitted. Nothing of it is left behind.
#[derive(Debug, Error)]
pub(crate) enum AdmitError {
    #[error("rate limit")]
    Limited(LimitRefused),
    #[error("money")]
    Refused(HoldRefused),
    #[error("spool")]
    Spool(SpoolError),
    #[error("this request could cost more than any wallet can hold: lower max_tokens")]
    Unpayable,
}

impl From<AdmitError> for ApiError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Limited(refused) => limited(&refused),
            AdmitError::Refused(refused) => unpaid(refused),
            AdmitError::Spool(SpoolError::Stopping) => stopping(),
            AdmitError::Spool(_) => {
                let message =
                    "usage cannot be recorded at the moment, so nothing is served: try again";
                ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorType::ProviderUnavailable,
                    message,
                )
                .with("reason", "spool_unavailable")
                .after(OUTAGE_RETRY)
            }
            AdmitError::Unpayable => ApiError::invalid("max_tokens", error.to_string()),
        }
    }
}

/// The row of a spent rate limit.
fn limited(refused: &LimitRefused) -> ApiError {
    let (what, unit) = match refused.kind {
        LimitKind::Requests => ("requests_per_minute", "requests per minute"),
        LimitKind::Tokens => ("tokens_per_minute", "tokens per minute"),
        LimitKind::Concurrency => ("concurrency", "requests at once"),
    };
    let wait = Duration::from_micros(refused.retry_after_us);
    let message = format!(
        "this API key is limited to {} {unit}: wait for the time in Retry-After or ask for a larger plan",
        refused.limit
    );
    let mut headers = HeaderMap::new();
    rate_headers(&mut headers, &refused.standing);
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, ErrorType::RateLimitExceeded, message)
        .with("limit", what)
        .after(wait)
        .with_headers(headers)
}

/// The rows of money.
pub(crate) fn unpaid(refused: HoldRefused) -> ApiError {
    let payment = |message: &str, reason: &str| {
        ApiError::new(StatusCode::PAYMENT_REQUIRED, ErrorType::PaymentRequired, message)
            .with("reason", reason)
    };
    match refused {
        HoldRefused::InsufficientBalance => {
            payment("the balance does not cover this request: top it up", "insufficient_balance")
                .retry(false)
        }
        HoldRefused::KeyBudget => {
            payment("the budget of this API key does not cover this request: raise it", "key_budget")
                .retry(false)
        }
        HoldRefused::InFlight => payment(
            "the balance is held by requests that are still running: try again when they have ended",
            "in_flight",
        )
        .after(IN_FLIGHT_RETRY),
        HoldRefused::Unreachable => {
            let message = "the balance cannot be reached at the moment: try again";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
                .with("reason", "budget_unavailable")
                .after(OUTAGE_RETRY)
        }
    }
}

/// Takes limits, money and a place in the spool, in this order; gives back what it took if a later one fails.
pub(crate) async fn admit(
    plane: &Arc<Shared>,
    mut order: Box<AdmitOrder>,
) -> Result<Box<Admission>, AdmitError> {
    let admitted_at = now();
    let estimate = tokens_estimate(&order.plan);
    let limit = limits::admit(&order.caller.key, &order.caller.plan, admitted_at, estimate)
        .map_err(AdmitError::Limited)?;
    let hold = match hold(plane, &order.caller, &order.plan).await {
        Ok(hold) => hold,
        Err(refused) => {
            limit.settle(now(), 0);
            return Err(refused);
        }
    };
    let record = record(&order, hold.amount(), admitted_at);
    match plane.parts.spool.admit(&record) {
        Ok(ticket) => {
            order.claim.take().into_iter().for_each(Claim::keep);
            Ok(Box::new(Admission::new(
                plane.clone(),
                record,
                order,
                Money { hold, ticket, limit },
            )))
        }
        Err(error) => {
            hold.release();
            limit.settle(now(), 0);
            Err(AdmitError::Spool(error))
        }
    }
}

async fn hold(plane: &Shared, caller: &Caller, plan: &RoutePlan) -> Result<PurseHold, AdmitError> {
    let window = plane.parts.settings.output_window_tokens;
    let per_choice =
        if plan.is_windowed { plan.output_limit.min(window) } else { plan.output_limit };
    let output = per_choice.saturating_mul(plan.choices);
    let (prices, input) = (plan.prices, plan.input_tokens_max);
    let wanted = prices.cost(input, output).ok_or(AdmitError::Unpayable)?;
    let minimum = prices.cost(input, plan.choices).ok_or(AdmitError::Unpayable)?;
    let choose = move |free: Nano| {
        if free >= wanted {
            return Some(wanted);
        }
        let money = prices.affordable_money(input, output, free);
        (money >= minimum).then(|| money.min(wanted))
    };
    let budget = caller.key.key.budgeted.then_some(caller.key.key.uid);
    let order = HoldOrder {
        org: caller.org.uid,
        budget,
        minimum: minimum.min(wanted),
        wanted,
        choose: &choose,
    };
    plane.parts.purse.hold(order).await.map_err(AdmitError::Refused)
}

/// What the request is likely to count for in the limit of tokens; the real number follows when it ends.
fn tokens_estimate(plan: &RoutePlan) -> u64 {
    plan.input_tokens_max.div_ceil(BYTES_PER_TOKEN)
}

fn record(order: &AdmitOrder, held: Nano, admitted_at: Timestamp) -> usage::Admitted {
    let AdmitOrder { request_id, trace_id, caller, plan, request, app, client, claim } = order;
    let first = plan.candidates.first();
    usage::Admitted {
        request_id: request_id.clone(),
        trace_id: trace_id.clone(),
        org_uid: caller.org.uid.0,
        key_uid: caller.key.key.uid.0,
        entity: caller.entity.name.clone(),
        currency: caller.entity.currency.as_str().to_owned(),
        model: first.map(|candidate| candidate.model.name.clone()).unwrap_or_default(),
        price: first.map(Candidate::price_ref),
        hold_nano: held.get(),
        admitted_us: admitted_at.0,
        streamed: request.stream,
        app: app.clone(),
        budgeted: caller.key.key.budgeted,
        client_digest: client.0.to_vec(),
        operation: usage::Operation::from(request.operation).into(),
        requested_model: request.models.first().cloned().unwrap_or_default(),
        session_id: request.session_id.clone(),
        idempotency_digest: claim.as_ref().map(Claim::digest).unwrap_or_default(),
    }
}
