//! What remains of each top-up, used first in, first out. Together they are the wallet's posted balance, or nothing when
//! that is below zero.
//!
//! Called only by transactions that have locked the wallet's row.

use crate::rows;
use domain::id::OrgUid;
use domain::money::Nano;
use domain::time::Timestamp;
use storage::{StorageError, Write};

/// Lots that one statement reads. Nearly always the first is enough.
const PAGE: i64 = 8;

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

/// Takes an amount from the oldest lots. What they do not hold was used on credit.
pub(crate) async fn consume(
    write: &mut Write,
    org: OrgUid,
    amount: Nano,
) -> Result<(), StorageError> {
    let mut left = amount;
    while left.is_positive() {
        let open = sqlx::query(
            "SELECT id, remaining FROM lot WHERE org_uid = $1 AND remaining > 0
             ORDER BY id LIMIT $2",
        )
        .bind(org.0)
        .bind(PAGE)
        .fetch_all(&mut **write)
        .await?;
        if open.is_empty() {
            break;
        }
        for lot in open {
            let taken = rows::nano(&lot, "remaining")?.min(left);
            if taken.is_positive() {
                take(write, rows::integer(&lot, "id")?, taken).await?;
                left = left.saturating_minus(taken);
            }
        }
    }
    Ok(())
}

async fn take(write: &mut Write, lot: i64, amount: Nano) -> Result<(), StorageError> {
    sqlx::query("UPDATE lot SET remaining = remaining - $2 WHERE id = $1 AND remaining >= $2")
        .bind(lot)
        .bind(amount.get())
        .execute(&mut **write)
        .await?;
    Ok(())
}
