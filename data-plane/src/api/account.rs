//! `GET key`, `GET credits` and `GET generation`: what a caller may know of its own account. The data plane knows the key;
//! the control plane knows the rest, and is asked.

use super::amount::Amount;
use super::answer::{Data, answer};
use super::generation::{Generation, describe};
use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::pipeline::authenticate::{Caller, authenticate};
use crate::plane::Core;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use links::account::AccountError;
use proto::account::v1 as wire;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// When an absent control plane may be back.
const RETRY: Duration = Duration::from_secs(1);

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Unknown => {
                let message = "there is no such generation in this account: it may not have ended yet, or the id is another's";
                Self::new(StatusCode::NOT_FOUND, ErrorType::NotFound, message)
            }
            AccountError::Away => {
                let message = "the account cannot be read at the moment: try again; requests are served meanwhile";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
                    .with("reason", "account_unavailable")
                    .after(RETRY)
            }
        }
    }
}

fn caller(core: &Core, headers: &HeaderMap) -> Result<Caller, ApiError> {
    Ok(authenticate(&core.plane.parts, headers, now())?)
}

pub(super) async fn credits(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    answer(credits_of(&core, &headers).await)
}

/// OpenRouter's two fields, and what they are counted in.
#[derive(Serialize)]
struct Credits {
    total_credits: Amount,
    total_usage: Amount,
    currency: String,
}

async fn credits_of(core: &Core, headers: &HeaderMap) -> Result<Data<Credits>, ApiError> {
    let caller = caller(core, headers)?;
    let ask = wire::GetCreditsRequest { org_uid: caller.org.uid.0 };
    let told = core.plane.parts.account.credits(ask).await?;
    Ok(Data {
        data: Credits {
            total_credits: Amount::of(told.credited_nano),
            total_usage: Amount::of(told.used_nano),
            currency: told.currency,
        },
    })
}

pub(super) async fn key(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    answer(key_of(&core, &headers).await)
}

/// OpenRouter's fields of a key; those that mean nothing here say so.
#[derive(Serialize)]
struct Key {
    label: String,
    limit: Option<Amount>,
    limit_remaining: Option<Amount>,
    limit_reset: Option<String>,
    include_byok_in_limit: bool,
    usage: Amount,
    usage_daily: Amount,
    usage_weekly: Amount,
    usage_monthly: Amount,
    byok_usage: Amount,
    byok_usage_daily: Amount,
    byok_usage_weekly: Amount,
    byok_usage_monthly: Amount,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    creator_user_id: Option<String>,
    expires_at: Option<String>,
    rate_limit: RateLimit,
    currency: String,
}

#[derive(Serialize)]
struct RateLimit {
    /// -1 is OpenRouter's word for no limit.
    requests: i64,
    interval: &'static str,
    note: &'static str,
}

async fn key_of(core: &Core, headers: &HeaderMap) -> Result<Data<Key>, ApiError> {
    let caller = caller(core, headers)?;
    let ask = wire::GetKeyRequest { org_uid: caller.org.uid.0, key_uid: caller.key.key.uid.0 };
    let told = core.plane.parts.account.key(ask).await?;
    let limit = caller.plan.requests_per_minute;
    let requests = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let note = "requests of this key per UTC minute";
    let expires = caller.key.key.expires;
    Ok(Data {
        data: Key {
            label: caller.key.key.name.clone(),
            limit: told.limit_nano.map(Amount::of),
            limit_remaining: told.limit_remaining_nano.map(Amount::of),
            limit_reset: None,
            include_byok_in_limit: false,
            usage: Amount::of(told.usage_nano),
            usage_daily: Amount::of(told.usage_daily_nano),
            usage_weekly: Amount::of(told.usage_weekly_nano),
            usage_monthly: Amount::of(told.usage_monthly_nano),
            byok_usage: Amount::ZERO,
            byok_usage_daily: Amount::ZERO,
            byok_usage_weekly: Amount::ZERO,
            byok_usage_monthly: Amount::ZERO,
            is_free_tier: !told.has_paid,
            is_management_key: false,
            is_provisioning_key: false,
            creator_user_id: None,
            expires_at: expires.map(super::rfc3339),
            rate_limit: RateLimit { requests, interval: "1m", note },
            currency: told.currency,
        },
    })
}

/// Which request.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    id: String,
}

pub(super) async fn generation(
    State(core): State<Arc<Core>>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    answer(generation_of(&core, which, &headers).await)
}

async fn generation_of(
    core: &Core,
    which: Result<Query<Which>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Data<Generation>, ApiError> {
    let caller = caller(core, headers)?;
    let missing = || {
        ApiError::invalid(
            "id",
            "name one request: generation?id=… from x-request-id or the answer's `id`",
        )
    };
    let Query(Which { id }) = which.map_err(|_| missing())?;
    if id.is_empty() || id.len() > core.plane.parts.settings.limits.id_bytes {
        return Err(missing());
    }
    let ask = wire::GetGenerationRequest { org_uid: caller.org.uid.0, id };
    let told = core.plane.parts.account.generation(ask).await?;
    let event = told.event.ok_or(AccountError::Unknown)?;
    Ok(Data { data: describe(event) })
}
