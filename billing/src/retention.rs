//! Usage records that are older than they may be: added up into rollups and deleted, in one transaction.
//!
//! Rollups are as fine as whatever else was derived from the records, so that `reconcile` needs no record to find a
//! nano-unit out of place. How long records are kept is the operator's choice; the default is for ever.

mod rollup;

use crate::consumer::Billable;
use crate::{metric, now, rows};
use domain::time::Timestamp;
use rollup::Rollups;
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use storage::{Database, Insert, Statement, StorageError, Write};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long records are kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// Records that ended longer ago are rolled up; `None` keeps them for ever.
    pub keep: Option<Duration>,
    /// How often they are looked for.
    pub sweep_every: Duration,
    /// Records of one transaction, about: other writers wait for it.
    pub batch: u32,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { keep: None, sweep_every: Duration::from_secs(60 * 60), batch: 1000 }
    }
}

const ROLLED_UP: Insert = Insert::into("usage_rolled_up", &["request_digest", "rolled_up_us"])
    .on_conflict("ON CONFLICT DO NOTHING");

/// Rolls old records up until the token is cancelled.
#[must_use]
pub fn start(
    settings: RetentionSettings,
    database: Database,
    token: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(keep) = settings.keep else { return };
        let keep_us = u64::try_from(keep.as_micros()).unwrap_or(u64::MAX);
        let mut sweep = interval(settings.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                _ = sweep.tick() => {}
            }
            let before = Timestamp(now().0.saturating_sub(keep_us));
            while !token.is_cancelled() {
                match roll_up(&database, before, settings.batch, now()).await {
                    Ok(0) => break,
                    Ok(records) => metric::rolled_up(records),
                    Err(error) => {
                        tracing::warn!(%error, "old usage records could not be rolled up; trying again later");
                        break;
                    }
                }
            }
        }
    })
}

/// Rolls up about `batch` of the oldest records that ended before a moment, all or none of them. Returns how many; 0 when
/// there are no more.
///
/// # Errors
/// When the database fails; then nothing has changed.
pub async fn roll_up(
    database: &Database,
    before: Timestamp,
    batch: u32,
    now: Timestamp,
) -> Result<u64, StorageError> {
    let mut write = database.write().await?;
    let deleted = delete(&mut write, before, batch).await?;
    if deleted.is_empty() {
        write.rollback().await?;
        return Ok(0);
    }
    let mut rollups = Rollups::default();
    let mut digests = Vec::with_capacity(deleted.len());
    for row in &deleted {
        rollups.add(row)?;
        let request_id = rows::text(row, "request_id")?;
        if !request_id.is_empty() {
            digests.push(digest(&request_id));
        }
    }
    rollups.save(&mut write).await?;
    ROLLED_UP
        .rows(&mut write, &digests, |statement, digest| {
            statement.bind(digest.clone()).bind(rows::stored(now.0))
        })
        .await?;
    write.commit().await?;
    Ok(rows::length(deleted.len()))
}

/// Deletes records, and returns just those that were deleted: nothing that is written meanwhile can be missed.
async fn delete(
    write: &mut Write,
    before: Timestamp,
    batch: u32,
) -> Result<Vec<sqlx::any::AnyRow>, StorageError> {
    let beyond = sqlx::query(
        "SELECT ended_us FROM usage_record WHERE ended_us < $1 ORDER BY ended_us LIMIT 1 OFFSET $2",
    )
    .bind(rows::stored(before.0))
    .bind(i64::from(batch))
    .fetch_optional(&mut **write)
    .await?;
    let until = match beyond {
        Some(row) => rows::integer(&row, "ended_us")?.saturating_add(1),
        None => rows::stored(before.0),
    };
    let deleted = sqlx::query(
        "DELETE FROM usage_record WHERE ended_us < $1
         RETURNING transaction_id, data_plane, incarnation, partition_no, org_uid, key_uid, model,
             currency, budgeted, ended_us, request_id, charge_nano, uncollected_nano,
             shortfall_nano, budget_shortfall_nano, input_tokens, output_tokens",
    )
    .bind(until)
    .fetch_all(&mut **write)
    .await?;
    Ok(deleted)
}

/// When the record of a request was rolled up, by our id; `None` when it was not.
///
/// # Errors
/// When the database cannot be read.
pub async fn rolled_up(
    database: &Database,
    request_id: &str,
) -> Result<Option<Timestamp>, StorageError> {
    let mut read = database.read().await?;
    let row = sqlx::query("SELECT rolled_up_us FROM usage_rolled_up WHERE request_digest = $1")
        .bind(digest(request_id))
        .fetch_optional(&mut *read)
        .await?;
    read.finish().await?;
    row.map(|row| rows::moment(&row, "rolled_up_us")).transpose()
}

/// Which requests of these events were billed so long ago that they are rolled up.
pub(crate) async fn rolled_up_among(
    write: &mut Write,
    batch: &[Billable<'_>],
) -> Result<HashSet<String>, StorageError> {
    let mut among = HashSet::new();
    // Most databases keep all records.
    let any = sqlx::query("SELECT 1 AS found FROM usage_rolled_up LIMIT 1");
    if any.fetch_optional(&mut **write).await?.is_none() {
        return Ok(among);
    }
    let requests: HashMap<String, &str> = batch
        .iter()
        .map(|billable| billable.event.request_id.as_str())
        .map(|request_id| (digest(request_id), request_id))
        .collect();
    let digests: Vec<&String> = requests.keys().collect();
    for digests in storage::chunks(&digests) {
        let list = storage::values(write, 1, digests.len());
        let text =
            format!("SELECT request_digest FROM usage_rolled_up WHERE request_digest IN {list}");
        let bind = |statement: Statement, digest: &&String| statement.bind((*digest).clone());
        let statement = digests.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut **write).await? {
            let known = requests.get(&rows::text(&row, "request_digest")?);
            among.extend(known.map(|request_id| (*request_id).to_owned()));
        }
    }
    Ok(among)
}

/// What is kept of a request's id: enough to know it again, nothing that could be read.
fn digest(request_id: &str) -> String {
    let hash = blake3::hash(request_id.as_bytes());
    rows::hex_text(hash.as_bytes().split_at(16).0)
}
