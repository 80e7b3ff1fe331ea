//! Gives up what a life holds: its accounts have it again, and the company bears what is still charged for it. Nothing is
//! posted, since what it cost is not known (docs/decisions/0027).

use super::Life;
use crate::slices::{self, Holder};
use crate::{accounts, metric, rows};
use domain::escrow::life::LifeState;
use domain::escrow::office;
use domain::id::Account;
use domain::money::Nano;
use storage::{Database, StorageError, Write};

/// Slices of one transaction.
const CHUNK: i64 = 256;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody said that it can never dispatch again, and all that it sent is counted.
    Word,
    /// It was silent for too long.
    Silence,
}

impl Cause {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Silence => "silence",
        }
    }
}

/// Gives a life up, unless it was heard of since it was looked at. Done by several at once, it happens once. Returns how much
/// its wallets have again.
pub(crate) async fn give_up(
    database: &Database,
    life: &Life,
    cause: Cause,
) -> Result<Nano, StorageError> {
    if !mark(database, life, cause).await? {
        return Ok(Nano::ZERO);
    }
    let mut freed = Nano::ZERO;
    loop {
        let accounts = held_accounts(database, &life.holder).await?;
        if accounts.is_empty() {
            end(database, &life.holder).await?;
            return Ok(freed);
        }
        match give_up_some(database, &life.holder, &accounts, cause).await? {
            Some(some) => freed = freed.saturating_plus(some),
            // It was heard of: what is left is not given up.
            None => return Ok(freed),
        }
    }
}

/// From here on it is to be forgotten, whoever goes on with it.
async fn mark(database: &Database, life: &Life, cause: Cause) -> Result<bool, StorageError> {
    if life.state == LifeState::Forgetting {
        return Ok(true);
    }
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    let done = sqlx::query(
        "UPDATE life SET state = 'forgetting', ordered_us = $5, reason = $6
         WHERE data_plane = $1 AND incarnation = $2 AND state = $3 AND heard_us = $4",
    )
    .bind(life.holder.data_plane.as_str())
    .bind(life.holder.incarnation_column())
    .bind(life.state.name())
    .bind(rows::stored(life.heard.0))
    .bind(now)
    .bind(cause.name())
    .execute(&mut *write)
    .await?;
    write.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// All of it is given up.
async fn end(database: &Database, holder: &Holder) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    sqlx::query(
        "UPDATE life SET state = 'given-up'
         WHERE data_plane = $1 AND incarnation = $2 AND state = 'forgetting'",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .execute(&mut *write)
    .await?;
    write.commit().await
}

/// The next accounts of which it has something that is not given up, ascending.
async fn held_accounts(database: &Database, holder: &Holder) -> Result<Vec<Account>, StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT org_uid, key_uid FROM slice WHERE data_plane = $1 AND incarnation = $2
         AND (given_up_us = 0 OR granted - released - settled - unbacked > 0)
         ORDER BY org_uid, key_uid LIMIT $3",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(CHUNK)
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    found.iter().map(rows::account).collect()
}

/// `None`: it was heard of.
async fn give_up_some(
    database: &Database,
    holder: &Holder,
    accounts: &[Account],
    cause: Cause,
) -> Result<Option<Nano>, StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    let mut freed = Vec::new();
    for account in accounts {
        freed.push((*account, give_up_one(&mut write, holder, *account, cause, now).await?));
    }
    if !is_to_be_forgotten(&mut write, holder).await? {
        write.rollback().await?;
        return Ok(None);
    }
    write.commit().await?;
    let of_wallets = freed.into_iter().filter(|(account, _)| account.key().is_none());
    let sum = of_wallets.fold(Nano::ZERO, |sum, (_, freed)| sum.saturating_plus(freed));
    metric::given_up(cause.name(), sum.get());
    tracing::error!(
        data_plane = holder.data_plane,
        incarnation = holder.incarnation,
        cause = cause.name(),
        freed_nano = sum.get(),
        "what a data plane held was given up: its customers have it again, and what it still costs is the company's loss"
    );
    Ok(Some(sum))
}

async fn give_up_one(
    write: &mut Write,
    holder: &Holder,
    account: Account,
    cause: Cause,
    now: i64,
) -> Result<Nano, StorageError> {
    let Some(row) = accounts::lock(write, account).await? else { return Ok(Nano::ZERO) };
    let (mut wallet, mut slice) = (row.wallet, slices::read(write, holder, account).await?);
    let freed = office::give_up(&mut wallet, &mut slice);
    if freed.is_positive() {
        accounts::hold(write, account, wallet.held.saturating_minus(row.wallet.held)).await?;
        slices::save(write, holder, account, slice).await?;
        note(write, holder, account, freed, cause, now).await?;
    }
    slices::mark_given_up(write, holder, account, now).await?;
    Ok(freed)
}

/// The most that the company bears for it.
async fn note(
    write: &mut Write,
    holder: &Holder,
    account: Account,
    amount: Nano,
    cause: Cause,
    now: i64,
) -> Result<(), StorageError> {
    let (org, key) = account.uids();
    sqlx::query(
        "INSERT INTO given_up (data_plane, incarnation, org_uid, key_uid, at_us, amount, cause)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .bind(now)
    .bind(amount.get())
    .bind(cause.name())
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn is_to_be_forgotten(write: &mut Write, holder: &Holder) -> Result<bool, StorageError> {
    let found = sqlx::query(
        "UPDATE life SET state = state
         WHERE data_plane = $1 AND incarnation = $2 AND state = 'forgetting'",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .execute(&mut **write)
    .await?;
    Ok(found.rows_affected() == 1)
}
