//! Reads the events that are synced, in the order of the log, beside the writer and without its lock.
//!
//! A reader keeps nothing but a place in the log and the next number of each partition; what is billed is left out.

use super::files::failed;
use super::frame::{self, Found};
use super::log::Stretch;
use super::marks::Marks;
use super::replay::decode_event;
use super::syncing::SyncPoint;
use super::{Core, SpoolError, Upkeep};
use domain::id::Partition;
use proto::convert::usage::USAGE_SCHEMA;
use proto::usage::v1::{SequencedEvent, UsageEnvelope};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::watch;

const CHUNK_BYTES: u64 = 256 * 1024;

/// Where a reader is.
#[derive(Clone, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    incarnation: u64,
    next: Marks,
    /// Where to go on in the current incarnation, if not at what is not billed.
    sought: Option<Marks>,
}

/// Delivers each synced event once, in order within its partition, from what is not trimmed.
#[derive(Debug)]
pub struct SpoolReader {
    core: Arc<Core>,
    point: watch::Receiver<SyncPoint>,
    place: Place,
    upkeep: Upkeep,
}

/// What one read gave.
#[derive(Debug, Default)]
struct Chunk {
    events: Vec<SequencedEvent>,
    next: u64,
    is_damaged: bool,
}

impl SpoolReader {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let point = core.shared.point.subscribe();
        let place = Place::billed(&core);
        let upkeep = core.shared.with(|log| log.settings.upkeep);
        Self { core, point, place, upkeep }
    }

    /// Goes back to the oldest event that is not billed.
    pub fn rewind(&mut self) {
        self.place = Place::billed(&self.core);
    }

    /// Goes to these numbers of the current incarnation's partitions, but never before what is not billed; what is left of
    /// earlier incarnations is delivered again.
    pub fn rewind_to(&mut self, places: &[(Partition, u64)]) {
        self.place = Place::billed(&self.core);
        for (partition, next) in places {
            self.place.next.raise(*partition, *next);
        }
        self.place.sought = Some(self.place.next.clone());
    }

    /// The next events, at least one, at most `max`; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the disk cannot be read, or the spool is closed and all was delivered.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<UsageEnvelope>, SpoolError> {
        loop {
            let is_closed = self.point.borrow_and_update().is_closed;
            let mut place = self.place.clone();
            let batch = self.read(&mut place, max.max(1)).await?;
            self.place = place;
            if !batch.is_empty() {
                return Ok(batch);
            }
            if is_closed || self.point.changed().await.is_err() {
                return Err(SpoolError::Closed);
            }
        }
    }

    async fn read(&self, place: &mut Place, max: usize) -> Result<Vec<UsageEnvelope>, SpoolError> {
        let mut batch = Vec::new();
        while batch.len() < max {
            let (segment, offset) = (place.segment, place.offset);
            let Some(stretch) = self.core.shared.with(|log| log.stretch(segment, offset)) else {
                break;
            };
            place.enter(&stretch, &self.core);
            let left = max.saturating_sub(batch.len());
            let (file, range) = (stretch.file, stretch.range);
            let read = match self.upkeep {
                Upkeep::Thread => read_chunk_apart(file, range, left).await,
                Upkeep::ByHand { .. } => read_chunk(&file, &range, left),
            };
            let chunk = read.map_err(failed("read", &stretch.path))?;
            if chunk.is_damaged {
                tracing::error!(path = %stretch.path.display(), "a spool segment is damaged; its later events are missing");
            }
            place.offset = chunk.next;
            let fresh = chunk.events.into_iter().filter_map(|ended| place.deliver(ended));
            batch.extend(fresh.map(|ended| self.envelope(stretch.incarnation, ended)));
        }
        Ok(batch)
    }

    fn envelope(&self, incarnation: u64, ended: SequencedEvent) -> UsageEnvelope {
        UsageEnvelope {
            data_plane: self.core.data_plane.clone(),
            incarnation,
            partition: ended.partition,
            seq: ended.seq,
            event: ended.event,
            schema: USAGE_SCHEMA,
        }
    }
}

impl Place {
    /// Before all that is kept, but past what is billed.
    fn billed(core: &Core) -> Self {
        let next = core.shared.with(|log| log.billed.clone());
        Self { segment: 0, offset: 0, incarnation: core.incarnation, next, sought: None }
    }

    fn enter(&mut self, stretch: &Stretch, core: &Core) {
        self.segment = stretch.segment;
        self.offset = stretch.range.start;
        if self.incarnation != stretch.incarnation {
            let is_ours = stretch.incarnation == core.incarnation;
            let billed = || core.shared.with(|log| log.billed.clone());
            self.next = match self.sought.take_if(|_| is_ours) {
                Some(sought) => sought,
                None if is_ours => billed(),
                None => Marks::first(),
            };
            self.incarnation = stretch.incarnation;
        }
    }

    /// The event, unless it was delivered or billed before.
    fn deliver(&mut self, ended: SequencedEvent) -> Option<SequencedEvent> {
        let partition = Partition(ended.partition);
        let is_new = self.next.get(partition).is_some_and(|next| ended.seq >= next);
        self.next.raise(partition, ended.seq.saturating_add(1));
        is_new.then_some(ended)
    }
}

/// The pages are nearly always cached, but a backlog may have to come from the disk.
async fn read_chunk_apart(file: Arc<File>, range: Range<u64>, max: usize) -> io::Result<Chunk> {
    tokio::task::spawn_blocking(move || read_chunk(&file, &range, max))
        .await
        .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

/// Reads up to `max` events.
fn read_chunk(file: &File, range: &Range<u64>, max: usize) -> io::Result<Chunk> {
    let length = CHUNK_BYTES.min(range.end.saturating_sub(range.start));
    let bytes = read_range(file, range.start, length)?;
    let chunk = parse(&bytes, max);
    if chunk.next > 0 || !matches!(frame::read(&bytes, 0), Found::Cut { .. }) {
        return Ok(chunk.moved_to(range));
    }
    // The first frame is longer than a chunk, or says so.
    let all = read_range(file, range.start, range.end.saturating_sub(range.start))?;
    let mut chunk = parse(&all, max);
    chunk.is_damaged |= chunk.next == 0;
    Ok(chunk.moved_to(range))
}

fn read_range(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], max: usize) -> Chunk {
    let mut chunk = Chunk::default();
    let mut offset = 0;
    while chunk.events.len() < max && offset < bytes.len() {
        match frame::read(bytes, offset) {
            Found::Frame { record, next } => match decode_event(record) {
                Ok(event) => {
                    chunk.events.extend(event);
                    offset = next;
                }
                Err(_) => chunk.is_damaged = true,
            },
            Found::Cut { .. } => break,
            Found::End | Found::Bad => chunk.is_damaged = true,
        }
        if chunk.is_damaged {
            break;
        }
    }
    chunk.next = frame::bytes(offset);
    chunk
}

impl Chunk {
    /// Turns the offset in the chunk into one in the file. What is synced ends with a frame, so after damage reading
    /// goes on there.
    fn moved_to(mut self, range: &Range<u64>) -> Self {
        self.next = if self.is_damaged { range.end } else { range.start.saturating_add(self.next) };
        self
    }
}
