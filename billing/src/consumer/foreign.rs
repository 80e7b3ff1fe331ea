//! What is in a topic and is no event that this version can read: kept raw, in the transaction that moves the offset over
//! it, and applied like any other event once a version can.

use super::apply::{KnownAccounts, apply_in};
use super::error::ApplyError;
use super::ownership::Own;
use crate::{metric, rows};
use domain::time::Timestamp;
use links::usage::topic::{ForeignMessage, read_message};
use proto::usage::v1::UsageEnvelope;
use storage::{Database, Insert, StorageError, Write};

const FOREIGN: Insert =
    Insert::into("usage_foreign", &["cell", "partition_no", "offset_no", "raw", "reason", "at_us"])
        .on_conflict("ON CONFLICT DO NOTHING");

/// No event is as long; of what is longer, its length and digest are kept.
const LENGTH_MAX: usize = 1 << 20;

/// Messages that are read at once to be tried again.
const PAGE: i64 = 100;

/// Keeps messages.
pub(super) async fn keep(
    write: &mut Write,
    cell: &str,
    messages: &[ForeignMessage],
    now: Timestamp,
) -> Result<(), StorageError> {
    FOREIGN
        .rows(write, messages, |statement, message| {
            let (raw, reason) = shown(message);
            statement
                .bind(cell.to_owned())
                .bind(i64::from(message.partition.0))
                .bind(rows::stored(message.offset))
                .bind(raw)
                .bind(reason)
                .bind(rows::stored(now.0))
        })
        .await
}

/// Says what was kept, once it is.
pub(super) fn tell(cell: &str, messages: &[ForeignMessage]) {
    for ForeignMessage { partition, offset, payload, reason } in messages {
        let (partition, bytes) = (partition.0, payload.len());
        tracing::error!(
            cell,
            partition,
            offset,
            bytes,
            reason,
            "the usage topic has what is no usage event; it is kept"
        );
    }
    metric::foreign(rows::length(messages.len()));
}

fn shown(message: &ForeignMessage) -> (String, String) {
    let ForeignMessage { payload, reason, .. } = message;
    let reason = reason.replace(char::is_control, "\u{fffd}");
    if payload.len() <= LENGTH_MAX {
        return (hex::encode(payload), reason);
    }
    let digest = blake3::hash(payload).to_hex();
    (String::new(), format!("{reason}; {} bytes, BLAKE3 {digest}", payload.len()))
}

/// Applies what was kept of a partition and can be read by now. Returns how many.
pub(super) async fn retry(
    database: &Database,
    own: Own<'_>,
    now: Timestamp,
) -> Result<u64, ApplyError> {
    let mut applied = 0_u64;
    let mut after = -1;
    loop {
        let page = read_page(database, own, after).await?;
        let Some((last, _)) = page.last() else { return Ok(applied) };
        after = *last;
        for (offset, payload) in &page {
            if let Ok(envelope) = read_message(own.partition, payload)
                && retry_one(database, own, *offset, &envelope, now).await?
            {
                applied = applied.saturating_add(1);
            }
        }
    }
}

/// False: somebody else did, or will.
async fn retry_one(
    database: &Database,
    own: Own<'_>,
    offset: i64,
    envelope: &UsageEnvelope,
    now: Timestamp,
) -> Result<bool, ApplyError> {
    let mut write = database.write().await?;
    if !own.hold(&mut write).await? || !take(&mut write, own, offset).await? {
        write.rollback().await?;
        return Ok(false);
    }
    let batch = std::slice::from_ref(envelope);
    match apply_in(&mut write, &mut KnownAccounts::default(), batch, now).await {
        Ok(_) => {
            write.commit().await?;
            Ok(true)
        }
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(false),
    }
}

async fn take(write: &mut Write, own: Own<'_>, offset: i64) -> Result<bool, StorageError> {
    let taken = sqlx::query(
        "DELETE FROM usage_foreign WHERE cell = $1 AND partition_no = $2 AND offset_no = $3",
    )
    .bind(own.cell)
    .bind(i64::from(own.partition.0))
    .bind(offset)
    .execute(&mut **write)
    .await?;
    Ok(taken.rows_affected() == 1)
}

async fn read_page(
    database: &Database,
    own: Own<'_>,
    after: i64,
) -> Result<Vec<(i64, Vec<u8>)>, StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT offset_no, raw FROM usage_foreign
         WHERE cell = $1 AND partition_no = $2 AND offset_no > $3 ORDER BY offset_no LIMIT $4",
    )
    .bind(own.cell)
    .bind(i64::from(own.partition.0))
    .bind(after)
    .bind(PAGE)
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    let message = |row| {
        let raw = hex::decode(rows::text(row, "raw")?).unwrap_or_default();
        Ok((rows::integer(row, "offset_no")?, raw))
    };
    found.iter().map(message).collect()
}
