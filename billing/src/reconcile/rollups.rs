//! Rollups: what is left of records that were deleted. They are taken at their word, and must fit everything else.

use super::records::Sums;
use crate::rows;
use domain::time::Timestamp;
use futures::TryStreamExt;
use std::ops::RangeInclusive;
use storage::{Read, StorageError};

/// Adds the rollups of some transactions to the sums of their records.
pub(super) async fn add_paid(
    read: &mut Read,
    range: RangeInclusive<i64>,
    sums: &mut Sums,
) -> Result<(), StorageError> {
    add(read, &range, Timestamp::default(), sums).await
}

/// Adds the rollups of records that cost nothing.
pub(super) async fn add_free(
    read: &mut Read,
    since: Timestamp,
    sums: &mut Sums,
) -> Result<(), StorageError> {
    add(read, &(i64::MIN..=0), since, sums).await
}

async fn add(
    read: &mut Read,
    range: &RangeInclusive<i64>,
    since: Timestamp,
    sums: &mut Sums,
) -> Result<(), StorageError> {
    let mut found = sqlx::query(
        "SELECT transaction_id, org_uid, currency, day_us, records, charge_nano, uncollected_nano,
             shortfall_nano
         FROM usage_rollup WHERE transaction_id BETWEEN $1 AND $2 AND day_us >= $3",
    )
    .bind(*range.start())
    .bind(*range.end())
    .bind(rows::stored(since.start_of_day().0))
    .fetch(&mut **read);
    while let Some(row) = found.try_next().await? {
        sums.rolled_up = sums.rolled_up.saturating_add(rows::count(&row, "records")?);
        sums.rollups.insert(rows::integer(&row, "transaction_id")?);
        sums.add_amounts(&row, rows::moment(&row, "day_us")?)?;
    }
    Ok(())
}
