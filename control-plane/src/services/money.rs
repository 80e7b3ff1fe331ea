//! Balances, top-ups and bills: billing's answers, as the wire has them.

use super::gaps;
use crate::admin::Admin;
use crate::authority::balance;
use crate::errors::{AdminError, Refusal};
use crate::listing::{self, Cursor, Filter, Tokens, page_size_within};
use crate::operator::{Caller, Scope};
use billing::{Explained, HistoryError, Reconciliation, UsageQuery};
use domain::config::Kind;
use domain::id::OrgUid;
use domain::time::Timestamp;
use domain::usage::Outcome;
use proto::admin::v1;
use proto::admin::v1::money_service_server::MoneyService;
use tonic::{Request, Response, Status};

/// What usage can be filtered by.
const USAGE_FIELDS: [&str; 4] = ["org", "key", "model", "outcome"];

#[tonic::async_trait]
impl MoneyService for Admin {
    async fn credit_org(
        &self,
        request: Request<v1::CreditOrgRequest>,
    ) -> Result<Response<v1::CreditOrgResponse>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call = self.authority.call(caller, &request.request_id, false, &request)?;
        Ok(Response::new(self.authority.credit(call, request).await?))
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::Balance>, Status> {
        let caller = Caller::of(&request)?;
        let org = request.into_inner().org;
        let uid = org_uid(self, &caller, &org).await?;
        let db = self.authority.database();
        let mut read = db.read().await.map_err(AdminError::from)?;
        let balance = balance(&mut read, org, uid).await?;
        read.finish().await.map_err(AdminError::from)?;
        Ok(Response::new(balance))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().request_id;
        let found = billing::explain(self.authority.database(), &id).await;
        let found = match found.map_err(AdminError::from)? {
            Some(found) if is_own(self, &caller, &found).await? => found,
            Some(_) => return Err(AdminError::from(Refusal::UnknownRequest { id }).into()),
            None => return Err(not_found(self, id).await.into()),
        };
        Ok(Response::new(explanation(found)))
    }

    async fn list_usage(
        &self,
        request: Request<v1::ListUsageRequest>,
    ) -> Result<Response<v1::ListUsageResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(usage(self, &caller, request.into_inner()).await?))
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::Reconciliation>, Status> {
        let since = read_since(&request.into_inner().since).map_err(AdminError::from)?;
        let found =
            billing::reconcile(self.authority.database(), since).await.map_err(AdminError::from)?;
        Ok(Response::new(reconciliation(found)))
    }

    async fn list_usage_gaps(
        &self,
        request: Request<v1::ListUsageGapsRequest>,
    ) -> Result<Response<v1::ListUsageGapsResponse>, Status> {
        Ok(Response::new(gaps::list(self, &request.into_inner()).await?))
    }

    async fn write_off_usage(
        &self,
        request: Request<v1::WriteOffUsageRequest>,
    ) -> Result<Response<v1::UsageGap>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let is_trial = request.validate_only;
        let call = self.authority.call(caller, &request.request_id, is_trial, &request)?;
        Ok(Response::new(self.authority.write_off(call, request).await?))
    }

    async fn forget_data_plane(
        &self,
        request: Request<v1::ForgetDataPlaneRequest>,
    ) -> Result<Response<v1::ForgetDataPlaneResponse>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let is_trial = request.validate_only;
        let call = self.authority.call(caller, &request.request_id, is_trial, &request)?;
        Ok(Response::new(self.authority.forget(call, request).await?))
    }
}

/// Why there is no bill.
async fn not_found(admin: &Admin, id: String) -> AdminError {
    match billing::rolled_up(admin.authority.database(), &id).await {
        Ok(Some(_)) => Refusal::RolledUp { id }.into(),
        Ok(None) => Refusal::UnknownRequest { id }.into(),
        Err(error) => error.into(),
    }
}

async fn org_uid(admin: &Admin, caller: &Caller, org: &str) -> Result<OrgUid, AdminError> {
    let row = admin.find(&caller.operator.scope, Kind::Org, org).await?;
    Ok(OrgUid(row.uid))
}

/// Whether a request was made by an org that the caller may see. An org that has records is never deleted.
async fn is_own(admin: &Admin, caller: &Caller, found: &Explained) -> Result<bool, AdminError> {
    if caller.operator.scope == Scope::Everything {
        return Ok(true);
    }
    match org_uid(admin, caller, &found.org_name).await {
        Ok(uid) => Ok(uid == found.org),
        Err(AdminError::Refused(Refusal::NotFound { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The orgs whose usage is asked for and may be seen; None: all there are.
async fn orgs_asked(
    admin: &Admin,
    caller: &Caller,
    named: Option<&str>,
) -> Result<Option<Vec<OrgUid>>, AdminError> {
    if let Some(org) = named {
        return Ok(Some(vec![org_uid(admin, caller, org).await?]));
    }
    match &caller.operator.scope {
        Scope::Everything => Ok(None),
        scope => Ok(Some(listing::orgs_of(admin.authority.database(), scope).await?)),
    }
}

async fn usage(
    admin: &Admin,
    caller: &Caller,
    request: v1::ListUsageRequest,
) -> Result<v1::ListUsageResponse, AdminError> {
    let v1::ListUsageRequest { org, model, page_size, page_token, filter } = request;
    let limits = admin.authority.limits();
    let wanted = Filter::parse(&filter, limits)?;
    wanted.check_fields(&USAGE_FIELDS)?;
    let tokens = Tokens::of(admin.generation(), &["usage", &org, &model, &filter]);
    let after = tokens.read(&page_token)?.map(|cursor| cursor.name);
    let named = if org.is_empty() { wanted.exactly("org") } else { Some(org.as_str()) };
    let query = UsageQuery {
        orgs: orgs_asked(admin, caller, named).await?,
        page_size: page_size_within(limits, page_size)?,
        page_token: after.unwrap_or_default(),
        rows_left_out_max: limits.filter_rows_max,
    };
    let fits = |row: &billing::UsageRow| {
        (model.is_empty() || row.model == model)
            && wanted.matches("org", &row.org_name)
            && wanted.matches("key", &row.key_name)
            && wanted.matches("model", &row.model)
            && wanted.matches("outcome", outcome_name(row.outcome))
    };
    let page = billing::usage_page(admin.authority.database(), &query, &fits).await;
    let page = page.map_err(|error| match error {
        HistoryError::PageToken => argument("page_token", error),
        HistoryError::Storage(error) => error.into(),
    })?;
    Ok(v1::ListUsageResponse {
        rows: page.rows.into_iter().map(usage_row).collect(),
        next_page_token: match page.next_page_token {
            none if none.is_empty() => none,
            name => tokens.write(Cursor { sort: 0, name }),
        },
    })
}

fn usage_row(row: billing::UsageRow) -> v1::UsageRow {
    v1::UsageRow {
        request_id: row.request_id,
        ended_at: crate::rfc3339(row.ended),
        org: row.org_name,
        key: row.key_name,
        model: row.model,
        outcome: outcome_name(row.outcome).to_owned(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        currency: row.currency.to_string(),
        charge_nano: row.charge.get(),
        requests: row.requests,
    }
}

/// Of a sum over requests it is not known how each ended.
fn outcome_name(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("rolled_up", Outcome::name)
}

fn explanation(found: Explained) -> v1::Explanation {
    let lines = found.lines.into_iter().map(|line| v1::ExplainedLine {
        class: line.class.name().to_owned(),
        quantity: line.quantity,
        provenance: line.provenance.name().to_owned(),
        unit_nano_per_million: line.unit.get(),
        amount_nano: line.amount.get(),
    });
    let attempts = found.attempts.into_iter().map(|attempt| v1::ExplainedAttempt {
        upstream: attempt.upstream,
        status: attempt.status,
        error: attempt.error,
        duration_us: attempt.duration_us,
    });
    v1::Explanation {
        request_id: found.request_id,
        upstream_id: found.upstream_id,
        org: found.org_name,
        key: found.key_name,
        model: found.model,
        outcome: found.outcome.name().to_owned(),
        price_revision: found.price_revision,
        currency: found.currency.to_string(),
        lines: lines.collect(),
        charge_nano: found.charge.get(),
        uncollected_nano: found.uncollected.get(),
        attempts: attempts.collect(),
        admitted_at: crate::rfc3339(found.admitted),
        ended_at: crate::rfc3339(found.ended),
        usage_anomaly: found.usage_anomaly,
        operation: found.operation.name().to_owned(),
        requested_model: found.requested_model,
        session_id: found.session_id,
        client_digest: hex::encode(found.client_digest),
    }
}

fn reconciliation(found: Reconciliation) -> v1::Reconciliation {
    let differences = found.differences.into_iter().map(|difference| v1::Difference {
        row: difference.row,
        field: difference.field,
        expected: difference.expected,
        found: difference.found,
    });
    let differences: Vec<v1::Difference> = differences.collect();
    v1::Reconciliation {
        ok: differences.is_empty(),
        events: found.events,
        differences,
        rolled_up: found.rolled_up,
        missing_events: found.missing.awaited,
        written_off_events: found.missing.written_off,
    }
}

fn argument(field: &'static str, wrong: impl std::fmt::Display) -> AdminError {
    Refusal::Argument { field, reason: wrong.to_string() }.into()
}

fn read_since(text: &str) -> Result<Option<Timestamp>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let moment: Result<jiff::Timestamp, _> = text.parse();
    let micros = moment.ok().and_then(|at| u64::try_from(at.as_microsecond()).ok());
    let refused = || Refusal::Argument {
        field: "since",
        reason: format!("\"{text}\" is not a time: write it as 2026-01-31T00:00:00Z"),
    };
    micros.map(Timestamp).map(Some).ok_or_else(refused)
}
