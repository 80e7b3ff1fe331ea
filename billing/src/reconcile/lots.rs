//! Lots: used first in, first out, so that the newest hold just what the wallet has.

use super::report::Report;
use crate::rows;
use futures::TryStreamExt;
use storage::{Read, StorageError};

/// Compares what remains of every lot with what the wallet's balance leaves of it.
pub(super) async fn check(read: &mut Read, report: &mut Report) -> Result<(), StorageError> {
    let mut found = sqlx::query(
        "SELECT lot.id AS id, lot.org_uid AS org_uid, lot.amount AS amount,
             lot.remaining AS remaining, account.posted AS posted
         FROM lot JOIN account ON account.org_uid = lot.org_uid AND account.key_uid = 0
         ORDER BY lot.org_uid, lot.id DESC",
    )
    .fetch(&mut **read);
    let (mut wallet, mut left) = (None, 0);
    while let Some(row) = found.try_next().await? {
        let org = rows::integer(&row, "org_uid")?;
        if wallet != Some(org) {
            (wallet, left) = (Some(org), rows::integer(&row, "posted")?.max(0));
        }
        let expected = rows::integer(&row, "amount")?.min(left);
        left = left.saturating_sub(expected);
        let number = rows::integer(&row, "id")?;
        let found = rows::integer(&row, "remaining")?;
        report.compare(|| format!("lot {number}"), "remaining", expected, found);
    }
    Ok(())
}
