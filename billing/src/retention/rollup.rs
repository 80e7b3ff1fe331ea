//! Sums over records that are deleted.

use crate::rows;
use domain::money::Nano;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use storage::{Insert, StorageError, Write};

const ROLLUP: Insert = Insert::into(
    "usage_rollup",
    &[
        "transaction_id",
        "data_plane",
        "incarnation",
        "partition_no",
        "org_uid",
        "key_uid",
        "model",
        "currency",
        "budgeted",
        "day_us",
        "records",
        "charge_nano",
        "uncollected_nano",
        "shortfall_nano",
        "budget_shortfall_nano",
        "input_tokens",
        "output_tokens",
    ],
)
.on_conflict(
    "ON CONFLICT (transaction_id, data_plane, incarnation, partition_no, org_uid, key_uid, model,
                  currency, budgeted, day_us)
     DO UPDATE SET
         records = usage_rollup.records + excluded.records,
         charge_nano = usage_rollup.charge_nano + excluded.charge_nano,
         uncollected_nano = usage_rollup.uncollected_nano + excluded.uncollected_nano,
         shortfall_nano = usage_rollup.shortfall_nano + excluded.shortfall_nano,
         budget_shortfall_nano =
             usage_rollup.budget_shortfall_nano + excluded.budget_shortfall_nano,
         input_tokens = usage_rollup.input_tokens + excluded.input_tokens,
         output_tokens = usage_rollup.output_tokens + excluded.output_tokens",
);

/// Which records are added up together: all that else is derived from them can be told from this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grain {
    transaction: i64,
    data_plane: String,
    incarnation: i64,
    partition: i64,
    org: i64,
    key: i64,
    model: String,
    currency: String,
    budgeted: i64,
    day_us: i64,
}

/// Sums of one grain.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    records: i64,
    charge: Nano,
    uncollected: Nano,
    shortfall: Nano,
    budget_shortfall: Nano,
    input_tokens: i64,
    output_tokens: i64,
}

/// Sums by grain.
#[derive(Debug, Default)]
pub(super) struct Rollups(BTreeMap<Grain, Sums>);

impl Rollups {
    /// Adds a record.
    pub(super) fn add(&mut self, row: &AnyRow) -> Result<(), StorageError> {
        let sums = self.0.entry(grain(row)?).or_default();
        let add =
            |sum: Nano, column: &str| sum.plus(rows::nano(row, column)?).map_err(rows::unreadable);
        let count = |sum: i64, column: &str| {
            Ok::<_, StorageError>(sum.saturating_add(rows::integer(row, column)?))
        };
        *sums = Sums {
            records: sums.records.saturating_add(1),
            charge: add(sums.charge, "charge_nano")?,
            uncollected: add(sums.uncollected, "uncollected_nano")?,
            shortfall: add(sums.shortfall, "shortfall_nano")?,
            budget_shortfall: add(sums.budget_shortfall, "budget_shortfall_nano")?,
            input_tokens: count(sums.input_tokens, "input_tokens")?,
            output_tokens: count(sums.output_tokens, "output_tokens")?,
        };
        Ok(())
    }

    /// Writes them, on top of what was rolled up before.
    pub(super) async fn save(&self, write: &mut Write) -> Result<(), StorageError> {
        let rollups: Vec<(&Grain, &Sums)> = self.0.iter().collect();
        ROLLUP
            .rows(write, &rollups, |statement, (grain, sums)| {
                statement
                    .bind(grain.transaction)
                    .bind(grain.data_plane.clone())
                    .bind(grain.incarnation)
                    .bind(grain.partition)
                    .bind(grain.org)
                    .bind(grain.key)
                    .bind(grain.model.clone())
                    .bind(grain.currency.clone())
                    .bind(grain.budgeted)
                    .bind(grain.day_us)
                    .bind(sums.records)
                    .bind(sums.charge.get())
                    .bind(sums.uncollected.get())
                    .bind(sums.shortfall.get())
                    .bind(sums.budget_shortfall.get())
                    .bind(sums.input_tokens)
                    .bind(sums.output_tokens)
            })
            .await
    }
}

fn grain(row: &AnyRow) -> Result<Grain, StorageError> {
    Ok(Grain {
        transaction: rows::integer(row, "transaction_id")?,
        data_plane: rows::text(row, "data_plane")?,
        incarnation: rows::integer(row, "incarnation")?,
        partition: rows::integer(row, "partition_no")?,
        org: rows::integer(row, "org_uid")?,
        key: rows::integer(row, "key_uid")?,
        model: rows::text(row, "model")?,
        currency: rows::text(row, "currency")?,
        budgeted: rows::integer(row, "budgeted")?,
        day_us: rows::stored(rows::moment(row, "ended_us")?.start_of_day().0),
    })
}
