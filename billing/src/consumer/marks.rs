//! Which events of a stream have been seen: a mark, and the gaps below it.

use crate::rows;
use crate::slices::Holder;
use domain::id::Partition;
use proto::usage::v1::UsageEnvelope;
use std::collections::{BTreeMap, BTreeSet};
use storage::{Insert, StorageError, Write};

/// Sequence numbers beyond this are garbage, not a gap.
const SEQ_MAX: u64 = 1 << 62;

const MARK: Insert =
    Insert::into("usage_mark", &["data_plane", "incarnation", "partition_no", "next_seq"]);
const GAP: Insert =
    Insert::into("usage_gap", &["data_plane", "incarnation", "partition_no", "from_seq", "to_seq"]);

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

/// What is known of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Not seen before: to be applied.
    Fresh,
    /// Applied, or kept as poison, before.
    Duplicate,
    /// No event can have it.
    Impossible,
}

/// How far one stream has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    next: u64,
    gaps: BTreeMap<u64, u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { next: 1, gaps: BTreeMap::new() }
    }
}

impl Progress {
    /// Counts an event in.
    pub(crate) fn arrive(&mut self, seq: u64) -> Arrival {
        if seq == 0 || seq > SEQ_MAX {
            return Arrival::Impossible;
        }
        if seq >= self.next {
            if seq > self.next {
                self.gaps.insert(self.next, seq.saturating_sub(1));
            }
            self.next = seq.saturating_add(1);
            return Arrival::Fresh;
        }
        if self.close(seq) { Arrival::Fresh } else { Arrival::Duplicate }
    }

    /// Takes a number out of the gap that it is in.
    fn close(&mut self, seq: u64) -> bool {
        let found = self.gaps.range(..=seq).next_back().map(|(from, to)| (*from, *to));
        let Some((from, to)) = found.filter(|(_, to)| *to >= seq) else { return false };
        self.gaps.remove(&from);
        if from < seq {
            self.gaps.insert(from, seq.saturating_sub(1));
        }
        if seq < to {
            self.gaps.insert(seq.saturating_add(1), to);
        }
        true
    }

    /// The end of the contiguous prefix: everything below may be forgotten by whoever sent it.
    pub(crate) fn billed(&self) -> u64 {
        self.gaps.keys().next().copied().unwrap_or(self.next)
    }
}

/// The streams of a batch, locked until its transaction ends.
#[derive(Debug)]
pub(crate) struct Marks {
    streams: BTreeMap<Stream, Progress>,
    saved: BTreeMap<Stream, Progress>,
}

impl Marks {
    /// Locks the marks of all streams of a batch, ascending, and reads how far they have come.
    pub(crate) async fn lock(
        write: &mut Write,
        batch: &[UsageEnvelope],
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
        let holders: BTreeSet<&Holder> = names.iter().map(|stream| &stream.holder).collect();
        for holder in holders {
            read_marks(write, holder, &mut saved).await?;
            read_gaps(write, holder, &mut saved).await?;
        }
        Ok(Self { streams: saved.clone(), saved })
    }

    /// Counts an event in.
    pub(crate) fn arrive(&mut self, envelope: &UsageEnvelope) -> Arrival {
        self.streams.entry(Stream::of(envelope)).or_default().arrive(envelope.seq)
    }

    /// How many gaps are new.
    pub(crate) fn gaps_opened(&self) -> u64 {
        let opened = self.streams.iter().flat_map(|(stream, progress)| {
            let before = self.saved.get(stream).map_or(1, |saved| saved.next);
            progress.gaps.keys().filter(move |from| **from >= before)
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
                .bind(rows::stored(progress.next))
        })
        .await?;
        for (stream, progress) in changed {
            let before = self.saved.get(stream).map(|saved| &saved.gaps);
            if before != Some(&progress.gaps) {
                save_gaps(write, stream, progress).await?;
            }
        }
        Ok(())
    }
}

async fn read_marks(
    write: &mut Write,
    holder: &Holder,
    streams: &mut BTreeMap<Stream, Progress>,
) -> Result<(), StorageError> {
    let found = sqlx::query(
        "SELECT partition_no, next_seq FROM usage_mark WHERE data_plane = $1 AND incarnation = $2",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .fetch_all(&mut **write)
    .await?;
    for row in found {
        if let Some(progress) = streams.get_mut(&stream(holder, &row)?) {
            progress.next = rows::count(&row, "next_seq")?;
        }
    }
    Ok(())
}

async fn read_gaps(
    write: &mut Write,
    holder: &Holder,
    streams: &mut BTreeMap<Stream, Progress>,
) -> Result<(), StorageError> {
    let found = sqlx::query(
        "SELECT partition_no, from_seq, to_seq FROM usage_gap
         WHERE data_plane = $1 AND incarnation = $2",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .fetch_all(&mut **write)
    .await?;
    for row in found {
        if let Some(progress) = streams.get_mut(&stream(holder, &row)?) {
            progress.gaps.insert(rows::count(&row, "from_seq")?, rows::count(&row, "to_seq")?);
        }
    }
    Ok(())
}

fn stream(holder: &Holder, row: &sqlx::any::AnyRow) -> Result<Stream, StorageError> {
    let partition = u32::try_from(rows::integer(row, "partition_no")?).unwrap_or(u32::MAX);
    Ok(Stream { holder: holder.clone(), partition: Partition(partition) })
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
    let gaps: Vec<(u64, u64)> = progress.gaps.iter().map(|(from, to)| (*from, *to)).collect();
    GAP.rows(write, &gaps, |statement, (from, to)| {
        statement
            .bind(stream.holder.data_plane.clone())
            .bind(stream.holder.incarnation_column())
            .bind(i64::from(stream.partition.0))
            .bind(rows::stored(*from))
            .bind(rows::stored(*to))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Progress};
    use proptest::prelude::proptest;
    use std::collections::BTreeSet;

    #[test]
    fn a_gap_is_kept_until_every_number_in_it_has_come() {
        let mut progress = Progress::default();
        let table = [
            // arrives, is, billed below
            (1, Arrival::Fresh, 2),
            (5, Arrival::Fresh, 2),
            (5, Arrival::Duplicate, 2),
            (3, Arrival::Fresh, 2),
            (3, Arrival::Duplicate, 2),
            (2, Arrival::Fresh, 4),
            (1, Arrival::Duplicate, 4),
            (4, Arrival::Fresh, 6),
            (6, Arrival::Fresh, 7),
            (0, Arrival::Impossible, 7),
            (u64::MAX, Arrival::Impossible, 7),
        ];
        for (seq, arrival, billed) in table {
            assert_eq!((progress.arrive(seq), progress.billed()), (arrival, billed), "{seq}");
        }
        assert!(progress.gaps.is_empty());
    }

    proptest! {
        /// A set says the same, whatever the order.
        #[test]
        fn each_number_is_fresh_once(order in proptest::collection::vec(1..40_u64, 0..200)) {
            let mut progress = Progress::default();
            let mut seen = BTreeSet::new();
            for seq in order {
                let fresh = if seen.insert(seq) { Arrival::Fresh } else { Arrival::Duplicate };
                assert_eq!(progress.arrive(seq), fresh);
                let prefix = (1..).find(|seq| !seen.contains(seq)).unwrap();
                assert_eq!(progress.billed(), prefix);
                let highest = seen.last().copied().unwrap();
                let missing: u64 = progress.gaps.iter().map(|(from, to)| to - from + 1).sum();
                assert_eq!(u64::try_from(seen.len()).unwrap() + missing, highest);
            }
        }
    }
}
