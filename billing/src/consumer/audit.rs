//! Computes every charge again after it was applied. The data plane's charge stands; a difference is an alarm.

use crate::metric;
use crate::rating::{self, PriceHistory};
use proto::usage::v1::UsageEnvelope;
use storage::{Database, StorageError};

/// Compares a batch with the prices that it was promised.
pub(crate) async fn audit(
    database: &Database,
    prices: &mut PriceHistory,
    batch: &[UsageEnvelope],
) -> Result<(), StorageError> {
    let mut read = database.read().await?;
    for event in batch.iter().filter_map(|envelope| envelope.event.as_ref()) {
        let schedule = prices.schedule(&mut read, event).await?;
        for wrong in rating::check(event, schedule.as_deref()) {
            metric::charge_differs();
            tracing::error!(
                request_id = event.request_id,
                field = wrong.field,
                expected = wrong.expected,
                found = wrong.found,
                "a charge is not what its quantities and price make it; it stands as it is"
            );
        }
    }
    read.finish().await
}
