//! Usage events that are known to be missing: which, since when, and how an operator gives up those that no spool has any
//! more (docs/decisions/0018). Moves no money: what slices hold for them stays held.

use crate::consumer::{WrittenOff, written_off};
use crate::rows;
use domain::id::Partition;
use domain::name::is_printable;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use std::time::Duration;
use storage::{Database, Read, StorageError, Write};
use thiserror::Error;

/// Which numbers of which stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapName {
    /// Who numbered them.
    pub data_plane: String,
    /// In which life.
    pub incarnation: u64,
    /// In which partition.
    pub partition: Partition,
    /// The first.
    pub from_seq: u64,
    /// The last.
    pub to_seq: u64,
}

/// Events that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageGap {
    /// Which.
    pub name: GapName,
    /// When later ones came first.
    pub since: Timestamp,
    /// That they were given up.
    pub written_off: Option<WrittenOff>,
}

/// How many events are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Waited for.
    pub awaited: u64,
    /// Given up.
    pub written_off: u64,
}

/// A page of gaps.
#[derive(Clone, Debug, Default)]
pub struct GapQuery {
    /// Those that were given up, too.
    pub written_off: bool,
    /// Behind this one.
    pub after: Option<GapName>,
    /// So many at most.
    pub limit: u32,
}

/// A gap to be given up.
#[derive(Clone, Debug)]
pub struct WriteOff {
    /// Exactly as it is listed: one that an event has come into meanwhile is another one.
    pub gap: GapName,
    /// Why.
    pub reason: String,
    /// It must be known for as long: what only comes late needs no operator.
    pub age_min: Duration,
}

/// Why a gap is not given up. Nothing was changed.
#[derive(Debug, Error)]
pub enum WriteOffError {
    /// There is none with just these numbers.
    #[error(
        "just these numbers are not missing: some may have come meanwhile; list the gaps again"
    )]
    NotMissing,
    /// Once is enough.
    #[error("they are written off already")]
    WrittenOff,
    /// They may still come.
    #[error(
        "they have been missing for {} s only, and may still come: wait until it is {} s",
        known.as_secs(), age_min.as_secs()
    )]
    Young {
        /// How long they are known to be missing.
        known: Duration,
        /// How long that must be.
        age_min: Duration,
    },
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<sqlx::Error> for WriteOffError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Gaps, in the order of their names.
///
/// # Errors
/// When the database cannot be read.
pub async fn usage_gaps(
    database: &Database,
    query: &GapQuery,
) -> Result<Vec<UsageGap>, StorageError> {
    let after = query.after.as_ref();
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT data_plane, incarnation, partition_no, from_seq, to_seq, since_us, written_off_us,
             reason
         FROM usage_gap
         WHERE (data_plane, incarnation, partition_no, from_seq) > ($1, $2, $3, $4)
             AND (written_off_us = 0 OR $5 = 1)
         ORDER BY data_plane, incarnation, partition_no, from_seq LIMIT $6",
    )
    .bind(after.map_or(String::new(), |gap| gap.data_plane.clone()))
    .bind(after.map_or(i64::MIN, |gap| gap.incarnation.cast_signed()))
    .bind(after.map_or(i64::MIN, |gap| i64::from(gap.partition.0)))
    .bind(after.map_or(i64::MIN, |gap| rows::stored(gap.from_seq)))
    .bind(i64::from(query.written_off))
    .bind(i64::from(query.limit))
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    found.iter().map(gap).collect()
}

/// How many events are missing in all.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn missing(read: &mut Read) -> Result<Missing, StorageError> {
    let found = sqlx::query(
        "SELECT
             CAST(COALESCE(SUM(CASE WHEN written_off_us = 0 THEN to_seq - from_seq + 1 ELSE 0 END), 0)
                 AS BIGINT) AS awaited,
             CAST(COALESCE(SUM(CASE WHEN written_off_us > 0 THEN to_seq - from_seq + 1 ELSE 0 END), 0)
                 AS BIGINT) AS written_off
         FROM usage_gap",
    )
    .fetch_one(&mut **read)
    .await?;
    Ok(Missing {
        awaited: rows::count(&found, "awaited")?,
        written_off: rows::count(&found, "written_off")?,
    })
}

/// Gives a gap up: the billed mark steps over it. Durable with the caller's transaction, which records who did it.
///
/// # Errors
/// When it is not given up.
pub async fn write_off(
    write: &mut Write,
    order: &WriteOff,
    now: Timestamp,
) -> Result<UsageGap, WriteOffError> {
    if !is_printable(&order.gap.data_plane) {
        return Err(WriteOffError::NotMissing);
    }
    lock(write, &order.gap).await?;
    let gap = find(write, &order.gap).await?.ok_or(WriteOffError::NotMissing)?;
    if gap.written_off.is_some() {
        return Err(WriteOffError::WrittenOff);
    }
    let known = Duration::from_micros(now.0.saturating_sub(gap.since.0));
    if known < order.age_min {
        return Err(WriteOffError::Young { known, age_min: order.age_min });
    }
    let GapName { data_plane, incarnation, partition, from_seq, .. } = &order.gap;
    sqlx::query(
        "UPDATE usage_gap SET written_off_us = $5, reason = $6
         WHERE data_plane = $1 AND incarnation = $2 AND partition_no = $3 AND from_seq = $4",
    )
    .bind(data_plane.as_str())
    .bind(incarnation.cast_signed())
    .bind(i64::from(partition.0))
    .bind(rows::stored(*from_seq))
    .bind(rows::stored(now.0))
    .bind(order.reason.as_str())
    .execute(&mut **write)
    .await?;
    let written_off = Some(WrittenOff { at: now, reason: order.reason.clone() });
    Ok(UsageGap { written_off, ..gap })
}

/// The mark of the stream is what every batch of it locks first.
async fn lock(write: &mut Write, gap: &GapName) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE usage_mark SET next_seq = next_seq
         WHERE data_plane = $1 AND incarnation = $2 AND partition_no = $3",
    )
    .bind(gap.data_plane.as_str())
    .bind(gap.incarnation.cast_signed())
    .bind(i64::from(gap.partition.0))
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn find(write: &mut Write, name: &GapName) -> Result<Option<UsageGap>, StorageError> {
    let found = sqlx::query(
        "SELECT data_plane, incarnation, partition_no, from_seq, to_seq, since_us, written_off_us,
             reason
         FROM usage_gap WHERE data_plane = $1 AND incarnation = $2 AND partition_no = $3
             AND from_seq = $4 AND to_seq = $5",
    )
    .bind(name.data_plane.as_str())
    .bind(name.incarnation.cast_signed())
    .bind(i64::from(name.partition.0))
    .bind(rows::stored(name.from_seq))
    .bind(rows::stored(name.to_seq))
    .fetch_optional(&mut **write)
    .await?;
    found.as_ref().map(gap).transpose()
}

fn gap(row: &AnyRow) -> Result<UsageGap, StorageError> {
    let partition = u32::try_from(rows::integer(row, "partition_no")?).unwrap_or(u32::MAX);
    let name = GapName {
        data_plane: rows::text(row, "data_plane")?,
        incarnation: rows::integer(row, "incarnation")?.cast_unsigned(),
        partition: Partition(partition),
        from_seq: rows::count(row, "from_seq")?,
        to_seq: rows::count(row, "to_seq")?,
    };
    Ok(UsageGap { name, since: rows::moment(row, "since_us")?, written_off: written_off(row)? })
}
