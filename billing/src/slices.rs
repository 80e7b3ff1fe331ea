//! Slices of accounts: what one life of a data plane was granted, gave back and spent. Rows only; what becomes of them is
//! decided by `domain::escrow`.
//!
//! Called only by transactions that have locked the account's row.

use crate::rows;
use domain::escrow::row::SliceRow;
use domain::escrow::wallet::SliceTotals;
use domain::id::Account;
use domain::money::Nano;
use sqlx::AssertSqlSafe;
use std::collections::HashSet;
use storage::{Statement, StorageError, Write};

/// One life of one data plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holder {
    pub(crate) data_plane: String,
    pub(crate) incarnation: u64,
}

impl Holder {
    /// The incarnation as its column holds it: the same 64 bits.
    pub(crate) const fn incarnation_column(&self) -> i64 {
        self.incarnation.cast_signed()
    }
}

/// Reads a slice; one that is not there is empty.
pub(crate) async fn read(
    write: &mut Write,
    holder: &Holder,
    account: Account,
) -> Result<SliceRow, StorageError> {
    let (org, key) = account.uids();
    let row = sqlx::query(
        "SELECT granted, released, settled, unbacked, given_up_us FROM slice
         WHERE data_plane = $1 AND incarnation = $2 AND org_uid = $3 AND key_uid = $4",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(SliceRow::default()) };
    Ok(SliceRow {
        totals: SliceTotals {
            granted: rows::nano(&row, "granted")?,
            released: rows::nano(&row, "released")?,
            settled: rows::nano(&row, "settled")?,
        },
        unbacked: rows::nano(&row, "unbacked")?,
        given_up: rows::integer(&row, "given_up_us")? > 0,
    })
}

/// Writes a slice. When it was given up is another statement's.
pub(crate) async fn save(
    write: &mut Write,
    holder: &Holder,
    account: Account,
    slice: SliceRow,
) -> Result<(), StorageError> {
    let (org, key) = account.uids();
    sqlx::query(
        "INSERT INTO slice
         (data_plane, incarnation, org_uid, key_uid, granted, released, settled, unbacked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (data_plane, incarnation, org_uid, key_uid) DO UPDATE SET
         granted = excluded.granted, released = excluded.released, settled = excluded.settled,
         unbacked = excluded.unbacked",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .bind(slice.totals.granted.get())
    .bind(slice.totals.released.get())
    .bind(slice.totals.settled.get())
    .bind(slice.unbacked.get())
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Notes when a slice was given up.
pub(crate) async fn mark_given_up(
    write: &mut Write,
    holder: &Holder,
    account: Account,
    at_us: i64,
) -> Result<(), StorageError> {
    let (org, key) = account.uids();
    sqlx::query(
        "UPDATE slice SET given_up_us = $5
         WHERE data_plane = $1 AND incarnation = $2 AND org_uid = $3 AND key_uid = $4",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .bind(at_us)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// A charge to one slice.
pub(crate) type SliceCharge<'a> = (&'a Holder, Account, Nano);

/// Counts charges that slices cover wholly with money that the account holds, as nearly all do. Returns those that none
/// did: they were not counted. What was given up is paid by another first.
pub(crate) async fn settle_covered<'a>(
    write: &mut Write,
    charges: &[SliceCharge<'a>],
) -> Result<Vec<SliceCharge<'a>>, StorageError> {
    let mut uncovered = Vec::new();
    for charges in storage::chunks(charges) {
        let values = storage::values(write, charges.len(), 5);
        let text = format!(
            "UPDATE slice SET settled = settled + charge.column5 FROM (VALUES {values}) AS charge
             WHERE data_plane = charge.column1 AND incarnation = charge.column2
             AND org_uid = charge.column3 AND key_uid = charge.column4
             AND released + settled + unbacked + charge.column5 <= granted
             AND (given_up_us = 0 OR unbacked = 0)
             RETURNING data_plane, incarnation, org_uid, key_uid"
        );
        let statement = charges.iter().fold(sqlx::query(AssertSqlSafe(text)), bind_charge);
        let mut covered = HashSet::with_capacity(charges.len());
        for row in statement.fetch_all(&mut **write).await? {
            let incarnation = rows::integer(&row, "incarnation")?.cast_unsigned();
            let holder = Holder { data_plane: rows::text(&row, "data_plane")?, incarnation };
            covered.insert((holder, rows::account(&row)?));
        }
        let is_covered = |charge: &SliceCharge<'_>| covered.contains(&(charge.0.clone(), charge.1));
        uncovered.extend(charges.iter().filter(|charge| !is_covered(charge)));
    }
    Ok(uncovered)
}

fn bind_charge(statement: Statement, (holder, account, amount): &SliceCharge<'_>) -> Statement {
    let (org, key) = account.uids();
    statement
        .bind(holder.data_plane.clone())
        .bind(holder.incarnation_column())
        .bind(org)
        .bind(key)
        .bind(amount.get())
}
