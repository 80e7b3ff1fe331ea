//! What a customer may ask about its own account: what a key has spent, what the wallet got, and one request. Every
//! question names the org; rows of another one are as if they were not there.

use crate::rows;
use domain::id::{KeyUid, OrgUid};
use domain::money::{Currency, Nano};
use domain::name::is_printable;
use proto::usage::v1::UsageEvent;
use sqlx::Row;
use storage::{Database, Read, StorageError};

/// The first days of the running day, week and month, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageWindows {
    /// Today.
    pub day: i64,
    /// This week's first.
    pub week: i64,
    /// This month's first.
    pub month: i64,
}

/// What a key may spend, and has spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    /// Of all amounts.
    pub currency: Currency,
    /// Its budget, if it has one: all of it, and what is left.
    pub budget: Option<(Nano, Nano)>,
    /// Charged in all.
    pub usage: Nano,
    /// Charged today.
    pub daily: Nano,
    /// Charged this week.
    pub weekly: Nano,
    /// Charged this month.
    pub monthly: Nano,
    /// Something was ever credited to its org.
    pub has_paid: bool,
}

/// What a wallet got, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credits {
    /// Of both.
    pub currency: Currency,
    /// All that was put in.
    pub credited: Nano,
    /// What of it is gone.
    pub used: Nano,
}

/// Where a key stands. `None`: the org has no wallet.
///
/// # Errors
/// When the database cannot be read.
pub async fn key_standing(
    database: &Database,
    org: OrgUid,
    key: KeyUid,
    windows: UsageWindows,
) -> Result<Option<KeyStanding>, StorageError> {
    let mut read = database.read().await?;
    let wallet = account(&mut read, org, KeyUid(0)).await?;
    let budget = account(&mut read, org, key).await?;
    let used = sqlx::query(
        "SELECT CAST(COALESCE(SUM(charge_nano), 0) AS BIGINT) AS usage_nano,
         CAST(COALESCE(SUM(CASE WHEN day >= $3 THEN charge_nano ELSE 0 END), 0) AS BIGINT) AS daily,
         CAST(COALESCE(SUM(CASE WHEN day >= $4 THEN charge_nano ELSE 0 END), 0) AS BIGINT) AS weekly,
         CAST(COALESCE(SUM(CASE WHEN day >= $5 THEN charge_nano ELSE 0 END), 0) AS BIGINT) AS monthly
         FROM key_usage WHERE org_uid = $1 AND key_uid = $2",
    )
    .bind(org.0)
    .bind(key.0)
    .bind(windows.day)
    .bind(windows.week)
    .bind(windows.month)
    .fetch_one(&mut *read)
    .await?;
    read.finish().await?;
    let Some(wallet) = wallet else { return Ok(None) };
    Ok(Some(KeyStanding {
        currency: wallet.currency,
        budget: budget.map(|account| (account.credited, account.posted)),
        usage: rows::nano(&used, "usage_nano")?,
        daily: rows::nano(&used, "daily")?,
        weekly: rows::nano(&used, "weekly")?,
        monthly: rows::nano(&used, "monthly")?,
        has_paid: wallet.credited.is_positive(),
    }))
}

/// What an org's wallet got. `None`: it has none.
///
/// # Errors
/// When the database cannot be read.
pub async fn credits(database: &Database, org: OrgUid) -> Result<Option<Credits>, StorageError> {
    let mut read = database.read().await?;
    let wallet = account(&mut read, org, KeyUid(0)).await?;
    read.finish().await?;
    Ok(wallet.map(|wallet| Credits {
        currency: wallet.currency,
        credited: wallet.credited,
        used: wallet.credited.saturating_minus(wallet.posted),
    }))
}

/// The event of a request of this org, by our id or the upstream's; of several with the same upstream id, the newest.
///
/// # Errors
/// When the database cannot be read.
pub async fn generation(
    database: &Database,
    org: OrgUid,
    id: &str,
) -> Result<Option<UsageEvent>, StorageError> {
    if !is_printable(id) {
        return Ok(None);
    }
    let mut read = database.read().await?;
    let found = match find(&mut read, BY_REQUEST, org, id).await? {
        Some(event) => Some(event),
        None => find(&mut read, BY_UPSTREAM, org, id).await?,
    };
    read.finish().await?;
    Ok(found)
}

const BY_REQUEST: &str = "SELECT event FROM usage_record WHERE request_id = $1 AND org_uid = $2
     ORDER BY ended_us DESC LIMIT 1";
const BY_UPSTREAM: &str = "SELECT event FROM usage_record
     WHERE upstream_id = $1 AND upstream_id <> '' AND org_uid = $2 ORDER BY ended_us DESC LIMIT 1";

async fn find(
    read: &mut Read,
    statement: &'static str,
    org: OrgUid,
    id: &str,
) -> Result<Option<UsageEvent>, StorageError> {
    let row = sqlx::query(statement).bind(id).bind(org.0).fetch_optional(&mut **read).await?;
    row.map(|row| rows::event(&row)).transpose()
}

/// What of an account is asked here.
struct Account {
    currency: Currency,
    credited: Nano,
    posted: Nano,
}

async fn account(
    read: &mut Read,
    org: OrgUid,
    key: KeyUid,
) -> Result<Option<Account>, StorageError> {
    let row = sqlx::query(
        "SELECT currency, credited, posted FROM account WHERE org_uid = $1 AND key_uid = $2",
    )
    .bind(org.0)
    .bind(key.0)
    .fetch_optional(&mut **read)
    .await?;
    let Some(row) = row.filter(|row| !row.is_empty()) else { return Ok(None) };
    Ok(Some(Account {
        currency: rows::currency(&row, "currency")?,
        credited: rows::nano(&row, "credited")?,
        posted: rows::nano(&row, "posted")?,
    }))
}
