//! Which events of the streams of a batch have been seen: marks, and the gaps below them, locked, read and written.

use crate::rows;
use crate::slices::Holder;
use domain::id::Partition;
use domain::time::Timestamp;
use domain::usage::progress::{Arrival, Gap, Progress, WrittenOff};
use proto::usage::v1::UsageEnvelope;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::{Database, Insert, Statement, StorageError, Write};

const MARK: Insert =
    Insert::into("usage_mark", &["data_plane", "incarnation", "partition_no", "next_seq"]);
const GAP: Insert = Insert::into(
    "usage_gap",
    &[
        "data_plane",
        "incarnation",
        "partition_no",
        "from_seq",
        "to_seq",
        "since_us",
        "written_off_us",
        "reason",
    ],
);

/// Events of one life of a data plane in one partition, numbered from 1 without gaps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stream {
    pub(crate) holder: Holder,
    pub(crate) partition: Partition,
}

impl Stream {
    /// The stream that an event belongs to.
    pub(crate) fn of(envelope: &UsageEnvelope) -> Self {
        let holder =
            Holder { data_plane: envelope.data_plane.clone(), incarnation: envelope.incarnation };
        Self { holder, partition: Partition(envelope.partition) }
    }
}

/// The streams of a batch, locked until its transaction ends.
#[derive(Debug)]
pub(crate) struct Marks {
    streams: BTreeMap<Stream, Progress>,
    saved: BTreeMap<Stream, Progress>,
    /// Since when gaps that this batch opens are known.
    now: Timestamp,
}

impl Marks {
    /// Locks the marks of all streams of a batch, ascending, and reads how far they have come.
    pub(crate) async fn lock(
        write: &mut Write,
        batch: &[UsageEnvelope],
        now: Timestamp,
    ) -> Result<Self, StorageError> {
        let names: BTreeSet<Stream> = batch.iter().map(Stream::of).collect();
        let names: Vec<Stream> = names.into_iter().collect();
        MARK.on_conflict(
            "ON CONFLICT (data_plane, incarnation, partition_no)
             DO UPDATE SET next_seq = usage_mark.next_seq",
        )
        .rows(write, &names, |statement, stream| {
            statement
                .bind(stream.holder.data_plane.clone())
                .bind(stream.holder.incarnation_column())
                .bind(i64::from(stream.partition.0))
                .bind(1_i64)
        })
        .await?;
        let mut saved: BTreeMap<Stream, Progress> =
            names.iter().map(|name| (name.clone(), Progress::default())).collect();
        read_marks(write, &names, &mut saved).await?;
        read_gaps(write, &names, &mut saved).await?;
        Ok(Self { streams: saved.clone(), saved, now })
    }

    /// Counts an event in.
    pub(crate) fn arrive(&mut self, envelope: &UsageEnvelope) -> Arrival {
        self.streams.entry(Stream::of(envelope)).or_default().arrive(envelope.seq, self.now)
    }

    /// How many gaps are new.
    pub(crate) fn gaps_opened(&self) -> u64 {
        let opened = self.streams.iter().flat_map(|(stream, progress)| {
            let before = self.saved.get(stream).map_or(1, Progress::next);
            progress.gaps().filter(move |(from, _)| *from >= before)
        });
        rows::length(opened.count())
    }

    /// How far each stream may be forgotten.
    pub(crate) fn billed(&self) -> impl Iterator<Item = (&Stream, u64)> {
        self.streams.iter().map(|(stream, progress)| (stream, progress.billed()))
    }

    /// Writes what has changed.
    pub(crate) async fn save(&self, write: &mut Write) -> Result<(), StorageError> {
        let changed: Vec<(&Stream, &Progress)> = self
            .streams
            .iter()
            .filter(|(stream, progress)| self.saved.get(*stream) != Some(*progress))
            .collect();
        MARK.on_conflict(
            "ON CONFLICT (data_plane, incarnation, partition_no)
             DO UPDATE SET next_seq = excluded.next_seq",
        )
        .rows(write, &changed, |statement, (stream, progress)| {
            statement
                .bind(stream.holder.data_plane.clone())
                .bind(stream.holder.incarnation_column())
                .bind(i64::from(stream.partition.0))
                .bind(rows::stored(progress.next()))
        })
        .await?;
        for (stream, progress) in changed {
            let before = self.saved.get(stream);
            if !before.is_some_and(|before| before.gaps().eq(progress.gaps())) {
                save_gaps(write, stream, progress).await?;
            }
        }
        Ok(())
    }
}

/// How far each stream of a holder may be forgotten.
pub(crate) async fn billed_of(
    database: &Database,
    holder: &Holder,
) -> Result<Vec<(Partition, u64)>, StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT partition_no, CAST(COALESCE(
             (SELECT MIN(from_seq) FROM usage_gap
              WHERE usage_gap.data_plane = usage_mark.data_plane
              AND usage_gap.incarnation = usage_mark.incarnation
              AND usage_gap.partition_no = usage_mark.partition_no
              AND usage_gap.written_off_us = 0), next_seq) AS BIGINT) AS billed
         FROM usage_mark WHERE data_plane = $1 AND incarnation = $2",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    let mark = |row| Ok((rows::partition(row)?, rows::count(row, "billed")?));
    found.iter().map(mark).collect()
}

/// How far one stream may be forgotten, and since when something is missing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MarkedPartition {
    pub(crate) partition: Partition,
    pub(crate) billed: u64,
    pub(crate) missing_for: Option<Duration>,
}

/// The same of many holders at once.
pub(crate) async fn marks_of(
    database: &Database,
    holders: &BTreeSet<Holder>,
) -> Result<BTreeMap<Holder, Vec<MarkedPartition>>, StorageError> {
    let holders: Vec<&Holder> = holders.iter().collect();
    let mut marks: BTreeMap<Holder, Vec<MarkedPartition>> = BTreeMap::new();
    if holders.is_empty() {
        return Ok(marks);
    }
    let mut read = database.read().await?;
    for holders in storage::chunks(&holders) {
        let values = storage::values(&read, holders.len(), 2);
        let text = format!(
            "SELECT usage_mark.data_plane, usage_mark.incarnation, usage_mark.partition_no,
                 MIN(next_seq) AS next_seq, CAST(COALESCE(MIN(from_seq), 0) AS BIGINT) AS from_seq,
                 CAST(COALESCE(MIN(since_us), 0) AS BIGINT) AS since_us
             FROM (VALUES {values}) AS asked JOIN usage_mark
                 ON usage_mark.data_plane = asked.column1 AND usage_mark.incarnation = asked.column2
             LEFT JOIN usage_gap ON usage_gap.data_plane = usage_mark.data_plane
                 AND usage_gap.incarnation = usage_mark.incarnation
                 AND usage_gap.partition_no = usage_mark.partition_no
                 AND usage_gap.written_off_us = 0
             GROUP BY usage_mark.data_plane, usage_mark.incarnation, usage_mark.partition_no"
        );
        let bind = |statement: Statement, holder: &&Holder| {
            statement.bind(holder.data_plane.clone()).bind(holder.incarnation_column())
        };
        let statement = holders.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut *read).await? {
            let Stream { holder, partition } = stream_of(&row)?;
            let marked = marked(&row, partition)?;
            marks.entry(holder).or_default().push(marked);
        }
    }
    read.finish().await?;
    Ok(marks)
}

fn marked(row: &AnyRow, partition: Partition) -> Result<MarkedPartition, StorageError> {
    let (next, from) = (rows::count(row, "next_seq")?, rows::count(row, "from_seq")?);
    let age_us = crate::now().0.saturating_sub(rows::count(row, "since_us")?);
    let missing_for = (from > 0).then(|| Duration::from_micros(age_us));
    Ok(MarkedPartition { partition, billed: if from > 0 { from } else { next }, missing_for })
}

async fn read_marks(
    write: &mut Write,
    names: &[Stream],
    streams: &mut BTreeMap<Stream, Progress>,
) -> Result<(), StorageError> {
    for row in rows_of(write, "usage_mark", "next_seq", names).await? {
        if let Some(progress) = streams.get_mut(&stream_of(&row)?) {
            progress.begin_at(rows::count(&row, "next_seq")?);
        }
    }
    Ok(())
}

async fn read_gaps(
    write: &mut Write,
    names: &[Stream],
    streams: &mut BTreeMap<Stream, Progress>,
) -> Result<(), StorageError> {
    let columns = "from_seq, to_seq, since_us, written_off_us, reason";
    for row in rows_of(write, "usage_gap", columns, names).await? {
        if let Some(progress) = streams.get_mut(&stream_of(&row)?) {
            progress.keep(rows::count(&row, "from_seq")?, gap(&row)?);
        }
    }
    Ok(())
}

/// The rows of many streams at once: a batch may be of many data planes.
async fn rows_of(
    write: &mut Write,
    table: &'static str,
    columns: &'static str,
    names: &[Stream],
) -> Result<Vec<AnyRow>, StorageError> {
    let mut found = Vec::with_capacity(names.len());
    for names in storage::chunks(names) {
        let values = storage::values(write, names.len(), 3);
        let text = format!(
            "SELECT data_plane, incarnation, partition_no, {columns}
             FROM (VALUES {values}) AS asked JOIN {table} ON data_plane = asked.column1
             AND incarnation = asked.column2 AND partition_no = asked.column3"
        );
        let bind = |statement: Statement, stream: &Stream| {
            statement
                .bind(stream.holder.data_plane.clone())
                .bind(stream.holder.incarnation_column())
                .bind(i64::from(stream.partition.0))
        };
        let statement = names.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        found.extend(statement.fetch_all(&mut **write).await?);
    }
    Ok(found)
}

fn gap(row: &AnyRow) -> Result<Gap, StorageError> {
    Ok(Gap {
        to: rows::count(row, "to_seq")?,
        since: rows::moment(row, "since_us")?,
        written_off: written_off(row)?,
    })
}

/// When and why a gap was given up, from the columns that say so.
pub(crate) fn written_off(row: &AnyRow) -> Result<Option<WrittenOff>, StorageError> {
    let at = rows::moment(row, "written_off_us")?;
    let reason = rows::text(row, "reason")?;
    Ok((at > Timestamp(0)).then_some(WrittenOff { at, reason }))
}

fn stream_of(row: &AnyRow) -> Result<Stream, StorageError> {
    let incarnation = rows::integer(row, "incarnation")?.cast_unsigned();
    let holder = Holder { data_plane: rows::text(row, "data_plane")?, incarnation };
    Ok(Stream { holder, partition: rows::partition(row)? })
}

async fn save_gaps(
    write: &mut Write,
    stream: &Stream,
    progress: &Progress,
) -> Result<(), StorageError> {
    sqlx::query(
        "DELETE FROM usage_gap WHERE data_plane = $1 AND incarnation = $2 AND partition_no = $3",
    )
    .bind(stream.holder.data_plane.as_str())
    .bind(stream.holder.incarnation_column())
    .bind(i64::from(stream.partition.0))
    .execute(&mut **write)
    .await?;
    let gaps: Vec<(u64, &Gap)> = progress.gaps().collect();
    GAP.rows(write, &gaps, |statement, (from, gap)| {
        let given_up = gap.written_off.as_ref();
        statement
            .bind(stream.holder.data_plane.clone())
            .bind(stream.holder.incarnation_column())
            .bind(i64::from(stream.partition.0))
            .bind(rows::stored(*from))
            .bind(rows::stored(gap.to))
            .bind(rows::stored(gap.since.0))
            .bind(given_up.map_or(0, |given_up| rows::stored(given_up.at.0)))
            .bind(given_up.map_or(String::new(), |given_up| given_up.reason.clone()))
    })
    .await
}
