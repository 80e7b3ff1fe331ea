//! Balances, top-ups and bills: billing's answers, as the wire has them.

use crate::admin::Admin;
use crate::errors::{AdminError, Refusal};
use crate::listing::{Cursor, Filter, Tokens, page_size_within};
use billing::{
    Balance, CreditError, CreditOrder, Explained, HistoryError, Reconciliation, UsageQuery,
};
use domain::config::Kind;
use domain::id::OrgUid;
use domain::money::Money;
use domain::time::Timestamp;
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
        Ok(Response::new(credit(self, request.into_inner()).await?))
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::Balance>, Status> {
        let org = request.into_inner().org;
        let uid = org_uid(self, &org).await?;
        Ok(Response::new(balance(self, org, uid).await?))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        let id = request.into_inner().request_id;
        let found = billing::explain(self.authority.database(), &id)
            .await
            .map_err(AdminError::from)?
            .ok_or_else(|| AdminError::from(Refusal::UnknownRequest { id }))?;
        Ok(Response::new(explanation(found)))
    }

    async fn list_usage(
        &self,
        request: Request<v1::ListUsageRequest>,
    ) -> Result<Response<v1::ListUsageResponse>, Status> {
        Ok(Response::new(usage(self, request.into_inner()).await?))
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
}

/// Posts a top-up. The org cannot be deleted meanwhile.
pub(crate) async fn credit(
    admin: &Admin,
    request: v1::CreditOrgRequest,
) -> Result<v1::CreditOrgResponse, AdminError> {
    let v1::CreditOrgRequest { org, amount, idempotency_key } = request;
    let amount = Money::parse(&amount).map_err(|wrong| argument("amount", wrong))?;
    let still = admin.authority.hold_still().await;
    let uid = org_uid(admin, &org).await?;
    let order = CreditOrder { org: uid, amount, idempotency_key };
    let outcome = billing::credit(admin.authority.database(), order, crate::now())
        .await
        .map_err(|error| refused_credit(&org, error))?;
    drop(still);
    let balance = balance(admin, org, uid).await?;
    Ok(v1::CreditOrgResponse { balance: Some(balance), repeated_call: outcome.repeated })
}

async fn org_uid(admin: &Admin, org: &str) -> Result<OrgUid, AdminError> {
    admin.find(Kind::Org, org).await.map(|row| OrgUid(row.uid))
}

async fn balance(admin: &Admin, org: String, uid: OrgUid) -> Result<v1::Balance, AdminError> {
    let found = billing::balance(admin.authority.database(), uid).await?;
    let Some(Balance { currency, posted, held, free }) = found else {
        let reason = "it has no wallet".to_owned();
        return Err(Refusal::Money { kind: Kind::Org, name: org, reason }.into());
    };
    Ok(v1::Balance {
        org,
        currency: currency.to_string(),
        posted_nano: posted.get(),
        held_nano: held.get(),
        free_nano: free.get(),
    })
}

async fn usage(
    admin: &Admin,
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
        org: match named {
            Some(name) => Some(org_uid(admin, name).await?),
            None => None,
        },
        page_size: page_size_within(limits, page_size)?,
        page_token: after.unwrap_or_default(),
        rows_left_out_max: limits.filter_rows_max,
    };
    let fits = |row: &billing::UsageRow| {
        (model.is_empty() || row.model == model)
            && wanted.matches("org", &row.org_name)
            && wanted.matches("key", &row.key_name)
            && wanted.matches("model", &row.model)
            && wanted.matches("outcome", row.outcome.name())
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
        ended_at: rfc3339(row.ended),
        org: row.org_name,
        key: row.key_name,
        model: row.model,
        outcome: row.outcome.name().to_owned(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        currency: row.currency.to_string(),
        charge_nano: row.charge.get(),
    }
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
        admitted_at: rfc3339(found.admitted),
        ended_at: rfc3339(found.ended),
        usage_anomaly: found.usage_anomaly,
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
    v1::Reconciliation { ok: differences.is_empty(), events: found.events, differences }
}

fn refused_credit(org: &str, error: CreditError) -> AdminError {
    match error {
        CreditError::Storage(error) => error.into(),
        CreditError::NotPositive | CreditError::Currency { .. } => argument("amount", error),
        CreditError::Key | CreditError::KeyReused(_) => argument("idempotency_key", error),
        CreditError::UnknownOrg | CreditError::OutOfRange => {
            Refusal::Money { kind: Kind::Org, name: org.to_owned(), reason: error.to_string() }
                .into()
        }
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

/// Rows hold moments that were read from a clock; one that no calendar has is shown as it is.
fn rfc3339(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .map_or_else(|| at.to_string(), |moment| moment.to_string())
}
