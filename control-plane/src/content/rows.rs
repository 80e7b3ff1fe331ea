//! Rows of contents.

use crate::now;
use domain::id::OrgUid;
use domain::time::Timestamp;
use proto::content::v1::SealedContent;
use sqlx::Row;
use std::collections::BTreeSet;
use storage::{Database, Insert, StorageError};

const CONTENT: Insert = Insert::into("content", &["request_id", "org_uid", "ended_us", "sealed"])
    // Told twice, because an answer was lost.
    .on_conflict("ON CONFLICT DO NOTHING");

/// Keeps contents, all or none.
pub(super) async fn insert(
    database: &Database,
    contents: &[&SealedContent],
) -> Result<(), StorageError> {
    if contents.is_empty() {
        return Ok(());
    }
    let latest = now().0;
    let mut write = database.write().await?;
    CONTENT
        .rows(&mut write, contents, |statement, content| {
            statement
                .bind(content.request_id.clone())
                .bind(content.org_uid)
                // A clock that is ahead must not keep anything for longer.
                .bind(stored(content.ended_us.min(latest)))
                .bind(hex::encode(&content.sealed))
        })
        .await?;
    write.commit().await
}

/// Deletes what ended before a moment, and what is of orgs that are not among these. Returns how many.
pub(super) async fn delete(
    database: &Database,
    before: Timestamp,
    wanted: &BTreeSet<OrgUid>,
) -> Result<u64, StorageError> {
    let mut write = database.write().await?;
    let old = sqlx::query("DELETE FROM content WHERE ended_us < $1").bind(stored(before.0));
    let mut deleted = old.execute(&mut *write).await?.rows_affected();
    let orgs = sqlx::query("SELECT DISTINCT org_uid FROM content").fetch_all(&mut *write).await?;
    for row in orgs {
        let org: i64 = row.try_get("org_uid")?;
        if !wanted.contains(&OrgUid(org)) {
            let unwanted = sqlx::query("DELETE FROM content WHERE org_uid = $1").bind(org);
            let unwanted = unwanted.execute(&mut *write).await?.rows_affected();
            deleted = deleted.saturating_add(unwanted);
        }
    }
    write.commit().await?;
    Ok(deleted)
}

/// A row.
pub(super) struct Found {
    pub(super) org_uid: i64,
    pub(super) ended_us: u64,
    pub(super) sealed: Vec<u8>,
}

/// The row of a request.
pub(super) async fn find(
    database: &Database,
    request_id: &str,
) -> Result<Option<Found>, StorageError> {
    let mut read = database.read().await?;
    let row = sqlx::query("SELECT org_uid, ended_us, sealed FROM content WHERE request_id = $1")
        .bind(request_id)
        .fetch_optional(&mut *read)
        .await?;
    read.finish().await?;
    let Some(row) = row else { return Ok(None) };
    let sealed: String = row.try_get("sealed")?;
    let ended_us: i64 = row.try_get("ended_us")?;
    Ok(Some(Found {
        org_uid: row.try_get("org_uid")?,
        ended_us: u64::try_from(ended_us).unwrap_or(0),
        // What is no hex does not open.
        sealed: hex::decode(sealed).unwrap_or_default(),
    }))
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
