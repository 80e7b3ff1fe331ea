//! The bill of one request: token classes × unit price = charge.

use crate::rows;
use domain::id::{KeyUid, OrgUid};
use domain::money::{Currency, Nano};
use domain::name::is_printable;
use domain::operation::Operation;
use domain::price::{self, BillLine, Rates};
use domain::time::Timestamp;
use domain::tokens::{Provenance, TokenClass};
use domain::usage::Outcome;
use proto::convert::{Unreadable, usage};
use proto::usage::v1::{Attempt, UsageEvent};
use sqlx::any::AnyRow;
use storage::{Database, Read, StorageError};

/// All that is known of what one request cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Ours.
    pub request_id: String,
    /// The upstream's; empty if it gave none.
    pub upstream_id: String,
    /// Who pays.
    pub org: OrgUid,
    /// The org's name; empty if it was deleted.
    pub org_name: String,
    /// Whose key.
    pub key: KeyUid,
    /// The key's name; empty if it was deleted.
    pub key_name: String,
    /// What was asked to be done.
    pub operation: Operation,
    /// The model that served.
    pub model: String,
    /// The model that was asked for, as the client named it.
    pub requested_model: String,
    /// The client's own name for what this belongs to.
    pub session_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The price that was promised at admission.
    pub price_revision: u64,
    /// Of all amounts.
    pub currency: Currency,
    /// What was used. Amounts add up to `charge` and `uncollected`.
    pub lines: Vec<ExplainedLine>,
    /// What the org pays.
    pub charge: Nano,
    /// What it cost beyond that.
    pub uncollected: Nano,
    /// Tries, in order.
    pub attempts: Vec<ExplainedAttempt>,
    /// When it was let in.
    pub admitted: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What the upstream reported did not add up.
    pub usage_anomaly: bool,
    /// Who asked: a keyed hash of the address, another one each UTC day.
    pub client_digest: Vec<u8>,
}

/// One line of the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainedLine {
    /// What.
    pub class: TokenClass,
    /// How much.
    pub quantity: u64,
    /// How that is known.
    pub provenance: Provenance,
    /// Nano-units per million.
    pub unit: Nano,
    /// Its share of the total.
    pub amount: Nano,
}

/// One try at one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedAttempt {
    /// Which.
    pub upstream: String,
    /// HTTP status; 0 when there was no answer.
    pub status: u32,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// How long it took.
    pub duration_us: u64,
}

/// The bill of a request, by our id or the upstream's. Of several with the same upstream id, the newest.
///
/// # Errors
/// When the database cannot be read.
pub async fn explain(database: &Database, id: &str) -> Result<Option<Explained>, StorageError> {
    if id.is_empty() || !is_printable(id) {
        return Ok(None);
    }
    let mut read = database.read().await?;
    let found = match find(&mut read, BY_REQUEST, id).await? {
        Some(row) => Some(row),
        None => find(&mut read, BY_UPSTREAM, id).await?,
    };
    let explained = match found {
        Some(row) => Some(explained(&mut read, &row).await?),
        None => None,
    };
    read.finish().await?;
    Ok(explained)
}

const BY_REQUEST: &str =
    "SELECT event, outcome FROM usage_record WHERE request_id = $1 ORDER BY ended_us DESC LIMIT 1";
const BY_UPSTREAM: &str =
    "SELECT event, outcome FROM usage_record WHERE upstream_id = $1 AND upstream_id <> ''
     ORDER BY ended_us DESC LIMIT 1";

async fn find(
    read: &mut Read,
    statement: &'static str,
    id: &str,
) -> Result<Option<AnyRow>, StorageError> {
    Ok(sqlx::query(statement).bind(id).fetch_optional(&mut **read).await?)
}

async fn explained(read: &mut Read, row: &AnyRow) -> Result<Explained, StorageError> {
    let event = rows::event(row)?;
    let currency = Currency::parse(&event.currency).map_err(rows::unreadable)?;
    Ok(Explained {
        org: OrgUid(event.org_uid),
        org_name: rows::name_of(read, event.org_uid).await?,
        key: KeyUid(event.key_uid),
        key_name: rows::name_of(read, event.key_uid).await?,
        outcome: rows::outcome(row)?,
        price_revision: event.price.as_ref().map_or(0, |price| price.revision),
        currency,
        lines: lines(&event).map_err(rows::unreadable)?,
        charge: Nano::saturating(i128::from(event.charge_nano)),
        uncollected: Nano::saturating(i128::from(event.uncollected_nano)),
        attempts: event.attempts.into_iter().map(attempt).collect(),
        admitted: Timestamp(event.admitted_us),
        ended: Timestamp(event.ended_us),
        usage_anomaly: event.usage_anomaly,
        operation: usage::operation(event.operation).map_err(rows::unreadable)?,
        client_digest: event.client_digest,
        model: event.model,
        requested_model: event.requested_model,
        session_id: event.session_id,
        request_id: event.request_id,
        upstream_id: event.upstream_id,
    })
}

/// Lines with their shares of the total, by the unit prices that the event itself names.
fn lines(event: &UsageEvent) -> Result<Vec<ExplainedLine>, Unreadable> {
    let metered = usage::metered(&event.lines)?;
    let mut rates = Rates::NONE;
    for line in &event.lines {
        if let Some(class) = TokenClass::parse(&line.class) {
            rates.set(class, Nano::saturating(i128::from(line.unit_nano_per_million)));
        }
    }
    let bill = price::bill(&rates, &metered.quantities).unwrap_or_default();
    let line = |line: BillLine| ExplainedLine {
        class: line.class,
        quantity: line.quantity,
        provenance: metered.provenance(line.class),
        unit: line.unit,
        amount: line.amount,
    };
    Ok(bill.lines.into_iter().map(line).collect())
}

fn attempt(attempt: Attempt) -> ExplainedAttempt {
    ExplainedAttempt {
        upstream: attempt.upstream,
        status: attempt.status,
        error: attempt.error,
        duration_us: attempt.duration_us,
    }
}
