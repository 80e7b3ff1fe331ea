//! Events that were kept because they could not be applied: applied by their place once they can be.

use super::apply::{KnownAccounts, post, sort_out};
use super::billable::Billable;
use super::error::ApplyError;
use super::ownership::Own;
use crate::rows;
use crate::slices::Holder;
use domain::id::Partition;
use domain::time::Timestamp;
use domain::usage::progress::is_possible;
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use std::collections::BTreeMap;
use storage::{Database, StorageError, Write};

/// Events that are read at once to be tried again.
const PAGE: i64 = 100;

/// Applies events that were kept and can be applied now. Returns how many.
///
/// # Errors
/// When the database fails. What was applied before stays applied.
pub async fn retry_poison(database: &Database, now: Timestamp) -> Result<u64, StorageError> {
    retry_of(database, |_| Some(None), now).await
}

/// The same for those whose partitions are the caller's own: two who try the same request at once, told by two lives of a
/// data plane, could bill it twice.
pub(super) async fn retry_own<'a>(
    database: &Database,
    own: &BTreeMap<Partition, Own<'a>>,
    now: Timestamp,
) -> Result<u64, StorageError> {
    retry_of(database, |partition| own.get(&partition).copied().map(Some), now).await
}

/// `whose` tells which partitions to look at, and what proves to be their owner.
async fn retry_of<'a>(
    database: &Database,
    whose: impl Fn(Partition) -> Option<Option<Own<'a>>>,
    now: Timestamp,
) -> Result<u64, StorageError> {
    let mut applied = 0_u64;
    let mut after = String::new();
    loop {
        let page = read_page(database, &after).await?;
        let Some((last, _)) = page.last() else { return Ok(applied) };
        after.clone_from(last);
        for (_, envelope) in &page {
            let Some(own) = whose(Partition(envelope.partition)) else { continue };
            if retry(database, envelope, own, now).await? {
                applied = applied.saturating_add(1);
            }
        }
    }
}

/// Each in a transaction of its own, so that one that is refused again keeps no other from being applied.
async fn retry(
    database: &Database,
    envelope: &UsageEnvelope,
    own: Option<Own<'_>>,
    now: Timestamp,
) -> Result<bool, StorageError> {
    if !is_possible(envelope.seq) {
        return Ok(false);
    }
    let Ok(billable) = Billable::read(envelope) else { return Ok(false) };
    let mut write = database.write().await?;
    if let Some(own) = own
        && !own.hold(&mut write).await?
    {
        write.rollback().await?;
        return Ok(false);
    }
    let mut batch = vec![billable];
    sort_out(&mut write, &mut KnownAccounts::default(), &mut batch).await?;
    if batch.is_empty() || !take(&mut write, envelope).await? {
        write.rollback().await?;
        return Ok(false);
    }
    match post(&mut write, &mut batch, now).await {
        Ok(()) => {
            write.commit().await?;
            Ok(true)
        }
        Err(ApplyError::Storage(error)) if error.is_transient() => Err(error),
        Err(_) => Ok(false),
    }
}

/// The next events that are kept, each with its place. Those without a number can never be applied.
async fn read_page(
    database: &Database,
    after: &str,
) -> Result<Vec<(String, UsageEnvelope)>, StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT raw FROM usage_poison WHERE seq > 0 AND raw > $1 ORDER BY raw LIMIT $2",
    )
    .bind(after)
    .bind(PAGE)
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    let mut page = Vec::with_capacity(found.len());
    for row in found {
        let raw = rows::text(&row, "raw")?;
        let message = UsageEnvelope::decode(hex::decode(&raw).unwrap_or_default().as_slice());
        page.push((raw, message.unwrap_or_default()));
    }
    Ok(page)
}

/// Takes an event out, unless someone else did.
async fn take(write: &mut Write, envelope: &UsageEnvelope) -> Result<bool, StorageError> {
    let holder =
        Holder { data_plane: envelope.data_plane.clone(), incarnation: envelope.incarnation };
    let done = sqlx::query(
        "DELETE FROM usage_poison
         WHERE data_plane = $1 AND incarnation = $2 AND partition_no = $3 AND seq = $4",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(i64::from(envelope.partition))
    .bind(rows::stored(envelope.seq))
    .execute(&mut **write)
    .await?;
    Ok(done.rows_affected() == 1)
}
