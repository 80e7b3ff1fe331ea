//! Top-ups: one lot and one pair of postings, once per idempotency key.

use crate::ledger::{self, Entry, Kind, PSP_MANUAL, Posting};
use crate::{accounts, lots, rows};
use domain::id::{Account, OrgUid};
use domain::money::{Currency, Money, NANO_LIMIT, Nano};
use domain::name::is_printable;
use domain::time::Timestamp;
use storage::{Database, StorageError, Write};
use thiserror::Error;

/// Characters of an idempotency key at most.
const KEY_LENGTH_MAX: usize = 200;

/// A top-up to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditOrder {
    /// Whose wallet.
    pub org: OrgUid,
    /// How much, in the wallet's currency.
    pub amount: Money,
    /// The same key posts once.
    pub idempotency_key: String,
}

/// What became of a top-up.
#[derive(Debug)]
#[must_use = "a top-up counts once its transaction is committed"]
pub enum Credited {
    /// It had been posted before; nothing was posted now.
    Repeated,
    /// It counts once this transaction is committed, with whatever else belongs to it.
    Posted(Write),
}

/// A top-up that was not posted.
#[derive(Debug, Error)]
pub enum CreditError {
    /// Only more than nothing can be credited.
    #[error("the amount must be more than nothing")]
    NotPositive,
    /// Empty, too long, or not to be seen.
    #[error("the idempotency key must have 1 to {KEY_LENGTH_MAX} printable characters")]
    Key,
    /// There is no such wallet.
    #[error("the org has no wallet")]
    UnknownOrg,
    /// Not the wallet's currency.
    #[error("the wallet is kept in {wallet}, not in {given}")]
    Currency {
        /// The wallet's.
        wallet: Currency,
        /// The order's.
        given: Currency,
    },
    /// The balance would leave the range.
    #[error("the balance would be out of range (more than 4 billion units)")]
    OutOfRange,
    /// The key stands for another top-up.
    #[error("the idempotency key was used for another top-up: {0}; choose a new one")]
    KeyReused(String),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Posts a top-up to an org's wallet, in a transaction that the caller commits.
///
/// # Errors
/// When it cannot be posted; then nothing was.
pub async fn credit(
    database: &Database,
    order: CreditOrder,
    now: Timestamp,
) -> Result<Credited, CreditError> {
    check(&order)?;
    if is_posted(database, &order).await? {
        return Ok(Credited::Repeated);
    }
    match post(database, &order, now).await {
        // Someone else posted it at this moment, or did so with an order of their own.
        Err(CreditError::Storage(StorageError::Exists(cause))) => {
            if is_posted(database, &order).await? {
                Ok(Credited::Repeated)
            } else {
                Err(StorageError::Exists(cause).into())
            }
        }
        Err(error) => Err(error),
        Ok(write) => Ok(Credited::Posted(write)),
    }
}

fn check(order: &CreditOrder) -> Result<(), CreditError> {
    if !order.amount.amount.is_positive() {
        return Err(CreditError::NotPositive);
    }
    let key = &order.idempotency_key;
    if !(1..=KEY_LENGTH_MAX).contains(&key.chars().count()) || !is_printable(key) {
        return Err(CreditError::Key);
    }
    Ok(())
}

fn posting(order: &CreditOrder) -> Posting {
    Posting {
        debit: PSP_MANUAL.to_owned(),
        credit: ledger::wallet(order.org),
        amount: order.amount.amount,
        currency: order.amount.currency,
    }
}

fn transaction_key(order: &CreditOrder) -> String {
    format!("topup:{}", order.idempotency_key)
}

/// Whether this very order was posted before.
async fn is_posted(database: &Database, order: &CreditOrder) -> Result<bool, CreditError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT posting.debit, posting.credit, posting.amount, posting.currency
         FROM ledger_transaction
         JOIN posting ON posting.transaction_id = ledger_transaction.id
         WHERE ledger_transaction.idempotency_key = $1",
    )
    .bind(transaction_key(order))
    .fetch_optional(&mut *read)
    .await
    .map_err(StorageError::from)?;
    read.finish().await?;
    let Some(row) = found else { return Ok(false) };
    let found = Posting {
        debit: rows::text(&row, "debit")?,
        credit: rows::text(&row, "credit")?,
        amount: rows::nano(&row, "amount")?,
        currency: rows::currency(&row, "currency")?,
    };
    if found == posting(order) {
        return Ok(true);
    }
    let money = Money { amount: found.amount, currency: found.currency };
    Err(CreditError::KeyReused(format!("{money} to {}", found.credit)))
}

async fn post(
    database: &Database,
    order: &CreditOrder,
    now: Timestamp,
) -> Result<Write, CreditError> {
    let mut write = database.write().await?;
    let Some(posted) = raise(&mut write, order).await? else {
        let refusal = why_not(&mut write, order).await?;
        write.rollback().await?;
        return Err(refusal);
    };
    let entry = Entry {
        kind: Kind::TopUp,
        idempotency_key: transaction_key(order),
        at: now,
        postings: vec![posting(order)],
    };
    let transaction = ledger::post(&mut write, &entry).await?;
    lots::open(&mut write, transaction, order.org, order.amount.amount, posted, now).await?;
    Ok(write)
}

/// Raises the wallet and returns its new balance; `None` when no wallet can take the order.
async fn raise(write: &mut Write, order: &CreditOrder) -> Result<Option<Nano>, StorageError> {
    let row = sqlx::query(
        "UPDATE account SET posted = posted + $2, credited = credited + $2
         WHERE org_uid = $1 AND key_uid = 0 AND currency = $3 AND credited <= $4 - $2
         RETURNING posted",
    )
    .bind(order.org.0)
    .bind(order.amount.amount.get())
    .bind(order.amount.currency.as_str())
    .bind(NANO_LIMIT)
    .fetch_optional(&mut **write)
    .await?;
    row.map(|row| rows::nano(&row, "posted")).transpose()
}

async fn why_not(write: &mut Write, order: &CreditOrder) -> Result<CreditError, StorageError> {
    let given = order.amount.currency;
    Ok(match accounts::lock(write, Account::Wallet(order.org)).await? {
        None => CreditError::UnknownOrg,
        Some(row) if row.currency != given => CreditError::Currency { wallet: row.currency, given },
        Some(_) => CreditError::OutOfRange,
    })
}
