//! What remains of each top-up, used first in, first out. Together they are the wallet's posted balance, or nothing when
//! that is below zero.
//!
//! Called only by transactions that have locked the wallet's row.

use crate::rows;
use domain::id::OrgUid;
use domain::money::Nano;
use domain::time::Timestamp;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use storage::{Statement, StorageError, Write};

/// Opens the lot of a top-up. `posted` is the wallet's balance with it: what was below zero before is paid back first.
pub(crate) async fn open(
    write: &mut Write,
    transaction: i64,
    org: OrgUid,
    amount: Nano,
    posted: Nano,
    at: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO lot (id, org_uid, kind, amount, remaining, created_us)
         VALUES ($1, $2, 'paid', $3, $4, $5)",
    )
    .bind(transaction)
    .bind(org.0)
    .bind(amount.get())
    .bind(amount.min(posted.or_zero()).get())
    .bind(rows::stored(at.0))
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Takes amounts from the oldest lots of wallets. What they do not hold was used on credit.
pub(crate) async fn consume(
    write: &mut Write,
    amounts: &BTreeMap<OrgUid, Nano>,
) -> Result<(), StorageError> {
    let mut left: BTreeMap<OrgUid, Nano> =
        amounts.iter().filter(|(_, amount)| amount.is_positive()).map(|(k, v)| (*k, *v)).collect();
    // Nearly always the oldest lot is enough, and one round does it.
    while !left.is_empty() {
        let oldest = oldest(write, &left).await?;
        let taken: Vec<(i64, Nano)> = oldest
            .iter()
            .filter_map(|lot| Some((lot.id, lot.remaining.min(*left.get(&lot.org)?))))
            .collect();
        take(write, &taken).await?;
        let before = std::mem::take(&mut left);
        for lot in oldest {
            let wanted = before.get(&lot.org).copied().unwrap_or_default();
            let missing = wanted.saturating_minus(lot.remaining);
            if missing.is_positive() {
                left.insert(lot.org, missing);
            }
        }
    }
    Ok(())
}

struct Lot {
    id: i64,
    org: OrgUid,
    remaining: Nano,
}

/// The oldest lot of each org in which something remains.
async fn oldest(
    write: &mut Write,
    orgs: &BTreeMap<OrgUid, Nano>,
) -> Result<Vec<Lot>, StorageError> {
    let orgs: Vec<i64> = orgs.keys().map(|org| org.0).collect();
    let mut lots = Vec::with_capacity(orgs.len());
    for orgs in storage::chunks(&orgs) {
        let list = storage::values(write, 1, orgs.len());
        let text = format!(
            "SELECT id, org_uid, remaining FROM lot WHERE id IN
             (SELECT MIN(id) FROM lot WHERE org_uid IN {list} AND remaining > 0 GROUP BY org_uid)"
        );
        let statement = sqlx::query(AssertSqlSafe(text));
        let statement = orgs.iter().fold(statement, |statement, org| statement.bind(*org));
        for row in statement.fetch_all(&mut **write).await? {
            lots.push(Lot {
                id: rows::integer(&row, "id")?,
                org: OrgUid(rows::integer(&row, "org_uid")?),
                remaining: rows::nano(&row, "remaining")?,
            });
        }
    }
    Ok(lots)
}

async fn take(write: &mut Write, taken: &[(i64, Nano)]) -> Result<(), StorageError> {
    for taken in storage::chunks(taken) {
        let values = storage::values(write, taken.len(), 2);
        let text = format!(
            "UPDATE lot SET remaining = remaining - taken.column2
             FROM (VALUES {values}) AS taken WHERE id = taken.column1"
        );
        let bind = |statement: Statement, (lot, amount): &(i64, Nano)| {
            statement.bind(*lot).bind(amount.get())
        };
        taken.iter().fold(sqlx::query(AssertSqlSafe(text)), bind).execute(&mut **write).await?;
    }
    Ok(())
}
