//! What customers may ask about their own account, answered from billing's rows to data planes, which have authenticated
//! the key. Nothing here can change anything.

use billing::UsageWindows;
use domain::id::{KeyUid, OrgUid};
use jiff::Zoned;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proto::account::v1;
use proto::account::v1::account_service_server::AccountService;
use storage::{Database, StorageError};
use tonic::{Request, Response, Status};

/// Answers from one database.
#[derive(Clone)]
pub struct AccountDesk {
    pub(crate) database: Database,
}

#[tonic::async_trait]
impl AccountService for AccountDesk {
    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let v1::GetKeyRequest { org_uid, key_uid } = request.into_inner();
        let (org, key) = (OrgUid(org_uid), KeyUid(key_uid));
        let windows = windows(&jiff::Timestamp::now().to_zoned(TimeZone::UTC));
        let found = billing::key_standing(&self.database, org, key, windows).await;
        let standing = found.map_err(failed)?.ok_or_else(unknown)?;
        Ok(Response::new(v1::GetKeyResponse {
            currency: standing.currency.to_string(),
            limit_nano: standing.budget.map(|(limit, _)| limit.get()),
            limit_remaining_nano: standing.budget.map(|(_, left)| left.get()),
            usage_nano: standing.usage.get(),
            usage_daily_nano: standing.daily.get(),
            usage_weekly_nano: standing.weekly.get(),
            usage_monthly_nano: standing.monthly.get(),
            has_paid: standing.has_paid,
        }))
    }

    async fn get_credits(
        &self,
        request: Request<v1::GetCreditsRequest>,
    ) -> Result<Response<v1::GetCreditsResponse>, Status> {
        let org = OrgUid(request.into_inner().org_uid);
        let found = billing::credits(&self.database, org).await;
        let credits = found.map_err(failed)?.ok_or_else(unknown)?;
        Ok(Response::new(v1::GetCreditsResponse {
            currency: credits.currency.to_string(),
            credited_nano: credits.credited.get(),
            used_nano: credits.used.get(),
        }))
    }

    async fn get_generation(
        &self,
        request: Request<v1::GetGenerationRequest>,
    ) -> Result<Response<v1::GetGenerationResponse>, Status> {
        let v1::GetGenerationRequest { org_uid, id } = request.into_inner();
        let found = billing::generation(&self.database, OrgUid(org_uid), &id).await;
        let event = found.map_err(failed)?.ok_or_else(unknown)?;
        Ok(Response::new(v1::GetGenerationResponse { event: Some(event) }))
    }
}

fn unknown() -> Status {
    Status::not_found("there is no such thing in this account")
}

fn failed(error: StorageError) -> Status {
    if matches!(error, StorageError::Unstorable(_)) {
        return unknown();
    }
    tracing::error!(%error, "a question about an account was not answered");
    Status::unavailable("the database cannot be read at the moment")
}

/// Weeks begin on Monday.
fn windows(now: &Zoned) -> UsageWindows {
    let today = now.date();
    let day = now.timestamp().as_second().div_euclid(86_400);
    let since_monday = i64::from(today.weekday().since(Weekday::Monday));
    let since_first = i64::from(today.day()).saturating_sub(1);
    UsageWindows {
        day,
        week: day.saturating_sub(since_monday),
        month: day.saturating_sub(since_first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_utc_day_the_monday_and_the_first() {
        for (now, day, week, month) in [
            ("1970-01-05T00:00:00Z[UTC]", 4, 4, 0),
            ("1970-01-04T23:59:59Z[UTC]", 3, -3, 0),
            ("2026-11-22T10:00:00Z[UTC]", 20_779, 20_773, 20_758),
            ("2026-12-01T00:00:00Z[UTC]", 20_788, 20_787, 20_788),
        ] {
            let now: Zoned = now.parse().unwrap();
            assert_eq!(windows(&now), UsageWindows { day, week, month }, "{now}");
        }
    }
}
