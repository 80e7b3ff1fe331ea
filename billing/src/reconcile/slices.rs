//! Slices: settled is what the records of that holder charge to the account.

use super::report::{Names, Report};
use crate::rows;
use domain::id::Account;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use storage::{Read, StorageError};

type Key = (String, i64, Account);

/// Compares every slice with the records of its holder.
pub(super) async fn check(read: &mut Read, report: &mut Report) -> Result<(), StorageError> {
    let names = Names::read(read).await?;
    let mut charged = charged(read).await?;
    let found = sqlx::query(
        "SELECT data_plane, incarnation, org_uid, key_uid, granted, released, settled, unbacked
         FROM slice",
    )
    .fetch_all(&mut **read)
    .await?;
    for row in found {
        let key = key(&row)?;
        let settled = i128::from(rows::integer(&row, "settled")?);
        let expected = charged.remove(&key).unwrap_or(0);
        report.compare(|| name(&names, &key), "settled", expected, settled);
    }
    for (key, amount) in charged.into_iter().filter(|(_, amount)| *amount != 0) {
        report.differ(name(&names, &key), "settled", amount.to_string(), "no slice".to_owned());
    }
    Ok(())
}

fn name(names: &Names, (data_plane, incarnation, account): &Key) -> String {
    let incarnation = incarnation.cast_unsigned();
    format!("slice of {} on {data_plane}:{incarnation}", names.account(*account))
}

fn key(row: &AnyRow) -> Result<Key, StorageError> {
    let data_plane = rows::text(row, "data_plane")?;
    Ok((data_plane, rows::integer(row, "incarnation")?, rows::account(row)?))
}

/// What records and rollups charge to slices: each to the wallet's, budgeted ones to the key's too.
async fn charged(read: &mut Read) -> Result<BTreeMap<Key, i128>, StorageError> {
    let mut sums: BTreeMap<Key, i128> = BTreeMap::new();
    let wallets = sqlx::query(
        "SELECT data_plane, incarnation, org_uid, CAST(0 AS BIGINT) AS key_uid,
             CAST(SUM(charge_nano) AS BIGINT) AS amount
         FROM (SELECT data_plane, incarnation, org_uid, charge_nano FROM usage_record
               UNION ALL
               SELECT data_plane, incarnation, org_uid, charge_nano FROM usage_rollup) AS charges
         GROUP BY data_plane, incarnation, org_uid",
    )
    .fetch_all(&mut **read)
    .await?;
    let budgets = sqlx::query(
        "SELECT data_plane, incarnation, org_uid, key_uid,
             CAST(SUM(charge_nano) AS BIGINT) AS amount
         FROM (SELECT data_plane, incarnation, org_uid, key_uid, charge_nano FROM usage_record
               WHERE budgeted = 1
               UNION ALL
               SELECT data_plane, incarnation, org_uid, key_uid, charge_nano FROM usage_rollup
               WHERE budgeted = 1) AS charges
         GROUP BY data_plane, incarnation, org_uid, key_uid",
    )
    .fetch_all(&mut **read)
    .await?;
    for row in wallets.iter().chain(&budgets) {
        sums.insert(key(row)?, i128::from(rows::integer(row, "amount")?));
    }
    Ok(sums)
}
