//! Rows of wallets and key budgets. An account is never deleted, and its currency never changes.
//!
//! [`lock`] is how every money transaction begins: accounts ascending, then reads, then writes.

use crate::rows;
use domain::escrow::wallet::Wallet;
use domain::id::{Account, OrgUid};
use domain::money::{Currency, Nano};
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::HashSet;
use storage::{Statement, StorageError, Write};
use thiserror::Error;

/// An account that cannot be opened or changed that way.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is no such account.
    #[error("there is no such account")]
    Unknown,
    /// It is there in another currency.
    #[error("the account is kept in {0}, which cannot be changed")]
    Currency(Currency),
    /// Money in a wallet comes from top-ups only, so that the ledger knows of it.
    #[error("a wallet is opened empty; post a top-up instead")]
    WalletNotEmpty,
    /// Less than what is spent and held already.
    #[error("{least} is the least that covers what is spent and held")]
    TooLow {
        /// The smallest value that would be accepted now.
        least: Nano,
    },
    /// Beyond ±4e18 nano-units.
    #[error("amount out of range (more than 4 billion units)")]
    OutOfRange,
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Opens an account, or leaves the one that is there as it is. A budget is opened with what the key may ever spend as
/// `posted`; a wallet is opened empty.
///
/// # Errors
/// When it is there in another currency, or a wallet is to be opened with money in it.
pub async fn open(
    write: &mut Write,
    account: Account,
    currency: Currency,
    posted: Nano,
    credit_limit: Nano,
) -> Result<(), AccountError> {
    if account.key().is_none() && posted != Nano::ZERO {
        return Err(AccountError::WalletNotEmpty);
    }
    let (org, key) = account.uids();
    sqlx::query(
        "INSERT INTO account (org_uid, key_uid, currency, credited, posted, held, credit_limit)
         VALUES ($1, $2, $3, $4, $4, 0, $5) ON CONFLICT DO NOTHING",
    )
    .bind(org)
    .bind(key)
    .bind(currency.as_str())
    .bind(posted.get())
    .bind(credit_limit.get())
    .execute(&mut **write)
    .await?;
    match lock(write, account).await? {
        Some(row) if row.currency == currency => Ok(()),
        Some(row) => Err(AccountError::Currency(row.currency)),
        None => Err(AccountError::Unknown),
    }
}

/// Sets how far below zero a wallet may go.
///
/// # Errors
/// When there is no such account, or the limit is less than what it owes and holds already.
pub async fn set_credit_limit(
    write: &mut Write,
    account: Account,
    credit_limit: Nano,
) -> Result<(), AccountError> {
    let row = lock(write, account).await?.ok_or(AccountError::Unknown)?;
    let least = row.wallet.held.saturating_minus(row.wallet.posted).or_zero();
    if credit_limit < least {
        return Err(AccountError::TooLow { least });
    }
    let (org, key) = account.uids();
    sqlx::query("UPDATE account SET credit_limit = $3 WHERE org_uid = $1 AND key_uid = $2")
        .bind(org)
        .bind(key)
        .bind(credit_limit.get())
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Raises or lowers what a key may ever spend by `delta`.
///
/// # Errors
/// When the key has no budget account, or less would remain than is spent and held. `least` is then the smallest delta.
pub async fn set_budget(
    write: &mut Write,
    account: Account,
    delta: Nano,
) -> Result<(), AccountError> {
    let row = lock(write, account).await?.ok_or(AccountError::Unknown)?;
    let posted = row.wallet.posted.plus(delta).map_err(|_| AccountError::OutOfRange)?;
    row.credited.plus(delta).map_err(|_| AccountError::OutOfRange)?;
    if !(Wallet { posted, ..row.wallet }).is_sound() {
        return Err(AccountError::TooLow { least: Nano::ZERO.saturating_minus(row.wallet.free()) });
    }
    let (org, key) = account.uids();
    sqlx::query(
        "UPDATE account SET posted = posted + $3, credited = credited + $3
         WHERE org_uid = $1 AND key_uid = $2",
    )
    .bind(org)
    .bind(key)
    .bind(delta.get())
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// What there is of an org's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Its wallet has or holds something.
    pub money: bool,
    /// The ledger or usage records tell of it.
    pub history: bool,
}

/// What there is of an org's money; None: it has no wallet.
///
/// # Errors
/// When the database cannot be read.
pub async fn traces(
    connection: &mut AnyConnection,
    org: OrgUid,
) -> Result<Option<Traces>, StorageError> {
    let row = sqlx::query(
        "SELECT posted, held,
             CASE WHEN EXISTS (SELECT 1 FROM lot WHERE org_uid = $1)
                 THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS lots,
             CASE WHEN EXISTS (SELECT 1 FROM usage_record WHERE org_uid = $1)
                 THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS records
         FROM account WHERE org_uid = $1 AND key_uid = 0",
    )
    .bind(org.0)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let has = |column: &str| rows::integer(&row, column).map(|number| number != 0);
    Ok(Some(Traces {
        money: has("posted")? || has("held")?,
        history: has("lots")? || has("records")?,
    }))
}

/// What an account has left, locked until the transaction ends.
///
/// # Errors
/// When there is no such account.
pub async fn posted(write: &mut Write, account: Account) -> Result<Nano, AccountError> {
    let row = lock(write, account).await?.ok_or(AccountError::Unknown)?;
    Ok(row.wallet.posted)
}

/// An account's row, locked until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockedAccount {
    pub(crate) wallet: Wallet,
    pub(crate) credited: Nano,
    pub(crate) currency: Currency,
}

impl LockedAccount {
    /// The most that slices can ever have held of it at once.
    pub(crate) fn ever(&self) -> Nano {
        self.credited.saturating_plus(self.wallet.credit_limit)
    }
}

/// Locks an account by an update that changes nothing, and reads it: what it says stays true until the commit.
pub(crate) async fn lock(
    write: &mut Write,
    account: Account,
) -> Result<Option<LockedAccount>, StorageError> {
    let (org, key) = account.uids();
    let row = sqlx::query(
        "UPDATE account SET held = held WHERE org_uid = $1 AND key_uid = $2
         RETURNING currency, credited, posted, held, credit_limit",
    )
    .bind(org)
    .bind(key)
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let wallet = Wallet {
        posted: rows::nano(&row, "posted")?,
        held: rows::nano(&row, "held")?,
        credit_limit: rows::nano(&row, "credit_limit")?,
    };
    Ok(Some(LockedAccount {
        wallet,
        credited: rows::nano(&row, "credited")?,
        currency: rows::currency(&row, "currency")?,
    }))
}

/// Changes what slices hold of an account, never to more than it has.
///
/// # Errors
/// When it would be more than the account has, which whoever locked it has ruled out.
pub(crate) async fn hold(
    write: &mut Write,
    account: Account,
    change: Nano,
) -> Result<(), StorageError> {
    let (org, key) = account.uids();
    let done = sqlx::query(
        "UPDATE account SET held = held + $3
         WHERE org_uid = $1 AND key_uid = $2 AND held + $3 <= posted + credit_limit",
    )
    .bind(org)
    .bind(key)
    .bind(change.get())
    .execute(&mut **write)
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StorageError::Refused(sqlx::Error::RowNotFound))
    }
}

/// Takes a charge out of an account: `posted` falls by `paid`, `held` by `covered`. Returns whether it held that much; if
/// not, nothing was changed.
pub(crate) async fn charge(
    write: &mut Write,
    account: Account,
    paid: Nano,
    covered: Nano,
) -> Result<bool, StorageError> {
    let (org, key) = account.uids();
    let done = sqlx::query(
        "UPDATE account SET posted = posted - $3, held = held - $4
         WHERE org_uid = $1 AND key_uid = $2 AND held >= $4",
    )
    .bind(org)
    .bind(key)
    .bind(paid.get())
    .bind(covered.get())
    .execute(&mut **write)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes charges out of accounts that hold as much, as nearly all do. The uids of those that did come back; the others are
/// as they were, and not locked.
pub(crate) async fn charge_covered(
    write: &mut Write,
    charges: &[((i64, i64), Nano)],
) -> Result<HashSet<(i64, i64)>, StorageError> {
    let mut charged = HashSet::with_capacity(charges.len());
    for charges in storage::chunks(charges) {
        let values = storage::values(write, charges.len(), 3);
        let text = format!(
            "UPDATE account SET posted = posted - charge.column3, held = held - charge.column3
             FROM (VALUES {values}) AS charge
             WHERE org_uid = charge.column1 AND key_uid = charge.column2 AND held >= charge.column3
             RETURNING org_uid, key_uid"
        );
        let bind = |statement: Statement, ((org, key), amount): &((i64, i64), Nano)| {
            statement.bind(*org).bind(*key).bind(amount.get())
        };
        let statement = charges.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut **write).await? {
            charged.insert((rows::integer(&row, "org_uid")?, rows::integer(&row, "key_uid")?));
        }
    }
    Ok(charged)
}

/// The currencies of accounts that there are.
pub(crate) async fn currencies(
    write: &mut Write,
    accounts: &[Account],
) -> Result<Vec<(Account, Currency)>, StorageError> {
    let mut found = Vec::with_capacity(accounts.len());
    for accounts in storage::chunks(accounts) {
        let values = storage::values(write, accounts.len(), 2);
        let text = format!(
            "SELECT org_uid, key_uid, currency FROM (VALUES {values}) AS asked
             JOIN account ON org_uid = asked.column1 AND key_uid = asked.column2"
        );
        let bind = |statement: Statement, account: &Account| {
            let (org, key) = account.uids();
            statement.bind(org).bind(key)
        };
        let statement = accounts.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut **write).await? {
            found.push((rows::account(&row)?, rows::currency(&row, "currency")?));
        }
    }
    Ok(found)
}
