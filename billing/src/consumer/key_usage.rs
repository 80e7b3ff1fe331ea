//! What each key was charged on each UTC day: kept beside the records, so that asking costs the same however many
//! requests there were.

use super::billable::Billable;
use crate::rows;
use domain::money::{AmountOutOfRange, Nano};
use std::collections::BTreeMap;
use storage::{Insert, StorageError, Write};

/// Microseconds of a day. UTC has no other days, for our purposes.
const DAY_US: u64 = 86_400_000_000;

const ADD: Insert = Insert::into("key_usage", &["org_uid", "key_uid", "day", "charge_nano"])
    .on_conflict(
        "ON CONFLICT (org_uid, key_uid, day)
         DO UPDATE SET charge_nano = key_usage.charge_nano + excluded.charge_nano",
    );

/// What a batch adds.
#[derive(Debug, Default)]
pub(crate) struct KeyUsage(BTreeMap<(i64, i64, i64), Nano>);

impl KeyUsage {
    /// Adds a batch up, so that each row is written once.
    pub(crate) fn of(batch: &[Billable<'_>]) -> Result<Self, AmountOutOfRange> {
        let mut sums = BTreeMap::<_, Nano>::new();
        for billable in batch {
            let day = rows::stored(billable.event.ended_us / DAY_US);
            let sum = sums.entry((billable.org.0, billable.key.0, day)).or_default();
            *sum = sum.plus(billable.charge)?;
        }
        Ok(Self(sums))
    }

    pub(crate) async fn save(self, write: &mut Write) -> Result<(), StorageError> {
        let sums: Vec<_> = self.0.into_iter().collect();
        ADD.rows(write, &sums, |statement, ((org, key, day), charge)| {
            statement.bind(*org).bind(*key).bind(*day).bind(charge.get())
        })
        .await
    }
}
