//! Events that cannot be applied: kept raw, in the transaction that moved the mark over them. Nothing is ever skipped
//! silently.

use super::billable::Unbillable;
use super::error::ApplyError;
use super::marks::Marks;
use super::right::Right;
use crate::rows;
use domain::usage::progress::Arrival;
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use storage::{Database, Insert, StorageError, Write};

const POISON: Insert = Insert::into(
    "usage_poison",
    &["data_plane", "incarnation", "partition_no", "seq", "raw", "reason"],
)
.on_conflict("ON CONFLICT DO NOTHING");

/// Keeps events with the reason for it.
pub(crate) async fn keep(
    write: &mut Write,
    events: &[(&UsageEnvelope, Unbillable)],
) -> Result<(), StorageError> {
    for (envelope, reason) in events {
        let request_id = envelope.event.as_ref().map_or("", |event| event.request_id.as_str());
        tracing::error!(
            data_plane = envelope.data_plane,
            incarnation = envelope.incarnation,
            partition = envelope.partition,
            seq = envelope.seq,
            request_id,
            %reason,
            "a usage event cannot be applied; it is kept"
        );
    }
    POISON
        .rows(write, events, |statement, (envelope, reason)| {
            statement
                .bind(envelope.data_plane.clone())
                .bind(envelope.incarnation.cast_signed())
                .bind(i64::from(envelope.partition))
                .bind(rows::stored(envelope.seq))
                .bind(hex::encode(envelope.encode_to_vec()))
                .bind(printable(&reason.to_string()))
        })
        .await
}

/// A reason may repeat what the event says, which may be anything.
fn printable(reason: &str) -> String {
    reason.replace(char::is_control, "\u{fffd}")
}

/// Keeps one event that the ledger refuses for a reason that will not pass by itself, as long as the caller may take it
/// in.
pub(crate) async fn keep_refused(
    database: &Database,
    right: Right<'_>,
    envelope: &UsageEnvelope,
    error: &ApplyError,
) -> Result<(), ApplyError> {
    let mut write = database.write().await?;
    if let Err(error) = right.assert(&mut write).await {
        write.rollback().await?;
        return Err(error);
    }
    let batch = std::slice::from_ref(envelope);
    let mut marks = Marks::lock(&mut write, batch, crate::now()).await?;
    if marks.arrive(envelope) != Arrival::Duplicate {
        keep(&mut write, &[(envelope, Unbillable::Refused(error.to_string()))]).await?;
        marks.save(&mut write).await?;
    }
    Ok(write.commit().await?)
}
