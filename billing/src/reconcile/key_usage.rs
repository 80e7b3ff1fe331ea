//! What each key was charged on each day, beside the records and rollups that it sums up.

use super::report::{Names, Report};
use crate::rows;
use domain::id::Account;
use futures::TryStreamExt;
use storage::{Read, StorageError};

/// Compares every sum with what it is the sum of.
pub(super) async fn check(read: &mut Read, report: &mut Report) -> Result<(), StorageError> {
    let names = Names::read(read).await?;
    let mut found = sqlx::query(
        "SELECT org_uid, key_uid, day, CAST(SUM(expected) AS BIGINT) AS expected,
             CAST(SUM(found) AS BIGINT) AS found
         FROM (SELECT org_uid, key_uid, ended_us / 86400000000 AS day, charge_nano AS expected,
                   0 AS found FROM usage_record
               UNION ALL
               SELECT org_uid, key_uid, day_us / 86400000000, charge_nano, 0 FROM usage_rollup
               UNION ALL
               SELECT org_uid, key_uid, day, 0, charge_nano FROM key_usage) AS every
         GROUP BY org_uid, key_uid, day HAVING SUM(expected) <> SUM(found)
         ORDER BY org_uid, key_uid, day",
    )
    .fetch(&mut **read);
    while let Some(row) = found.try_next().await? {
        let (account, day) = (rows::account(&row)?, rows::integer(&row, "day")?);
        let (expected, found) = (rows::integer(&row, "expected")?, rows::integer(&row, "found")?);
        report.compare(|| called(&names, account, day), "charge_nano", expected, found);
    }
    Ok(())
}

fn called(names: &Names, account: Account, day: i64) -> String {
    format!("key_usage of {} on day {day}", names.account(account))
}
