//! The ledger: transactions of pair postings. Append only; nothing here is ever updated or deleted.

use crate::rows;
use domain::id::OrgUid;
use domain::money::{Currency, Nano};
use domain::time::Timestamp;
use jiff::tz::TimeZone;
use storage::{Insert, StorageError, Write};

/// Money that came in by hand: a transfer that an operator saw.
pub(crate) const PSP_MANUAL: &str = "psp:manual";
/// What was used and nobody pays: the company's loss.
pub(crate) const UNCOLLECTED: &str = "uncollected";
/// What revenue accounts of usage start with.
pub(crate) const USAGE: &str = "usage:";
/// What wallets start with.
pub(crate) const WALLET: &str = "wallet:";

const POSTING: Insert =
    Insert::into("posting", &["transaction_id", "ord", "debit", "credit", "amount", "currency"]);

/// Which kind of business event a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Money came in.
    TopUp,
    /// A batch of usage.
    Usage,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::TopUp => "topup",
            Self::Usage => "usage",
        }
    }
}

/// An amount that moves from one account to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) amount: Nano,
    pub(crate) currency: Currency,
}

/// A transaction to be posted.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) idempotency_key: String,
    pub(crate) at: Timestamp,
    pub(crate) postings: Vec<Posting>,
}

/// The ledger account of an org's wallet.
pub(crate) fn wallet(org: OrgUid) -> String {
    format!("{WALLET}{}", org.0)
}

/// The revenue account of the UTC month in which a request ended; `None` beyond the calendar.
pub(crate) fn usage(ended: Timestamp) -> Option<String> {
    let microseconds = i64::try_from(ended.0).ok()?;
    let date = jiff::Timestamp::from_microsecond(microseconds).ok()?.to_zoned(TimeZone::UTC).date();
    Some(format!("{USAGE}{:04}{:02}", date.year(), date.month()))
}

/// Posts a transaction and returns its number. It has at least one posting, each of more than nothing.
///
/// # Errors
/// [`StorageError::Exists`] when one with this key was posted before.
pub(crate) async fn post(write: &mut Write, entry: &Entry) -> Result<i64, StorageError> {
    let row = sqlx::query(
        "UPDATE ledger_head SET last_transaction = last_transaction + 1 WHERE id = 1
         RETURNING last_transaction",
    )
    .fetch_one(&mut **write)
    .await?;
    let number = rows::integer(&row, "last_transaction")?;
    sqlx::query(
        "INSERT INTO ledger_transaction (id, kind, idempotency_key, at_us) VALUES ($1, $2, $3, $4)",
    )
    .bind(number)
    .bind(entry.kind.name())
    .bind(entry.idempotency_key.as_str())
    .bind(rows::stored(entry.at.0))
    .execute(&mut **write)
    .await?;
    let numbered: Vec<(i64, &Posting)> = (0_i64..).zip(&entry.postings).collect();
    POSTING
        .rows(write, &numbered, |statement, (ord, posting)| {
            statement
                .bind(number)
                .bind(*ord)
                .bind(posting.debit.clone())
                .bind(posting.credit.clone())
                .bind(posting.amount.get())
                .bind(posting.currency.as_str().to_owned())
        })
        .await?;
    Ok(number)
}
