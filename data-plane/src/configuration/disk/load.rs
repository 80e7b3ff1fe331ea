//! Finding the newest state on the disk that can be trusted.
//!
//! Every snapshot is tried, the newest first, and each file that is refused is named in the log; the journals then lead on,
//! as far as each delta fits onto the one before. Of millions of keys none is held twice: one thread reads, another puts them
//! where they will be found.

use super::files::{self, Listed};
use super::frames::{Damage, FrameReader, TagKey};
use crate::keys::KeyTable;
use domain::id::Revision;
use domain::snapshot::{Change, Delta, Snapshot};
use proto::feed::v1::stored_record::Record;
use proto::feed::v1::{AgeNote, SnapshotChunk, StoredHeader};
use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use thiserror::Error;

/// Chunks that may be read before the keys of the first one are in place.
const CHUNKS_AHEAD: usize = 4;

/// A state from the disk.
pub(in crate::configuration) struct Loaded {
    /// All of it but the keys.
    pub(in crate::configuration) snapshot: Snapshot,
    /// The keys.
    pub(in crate::configuration) keys: KeyTable,
    /// What came after it, unbroken.
    pub(in crate::configuration) deltas: Vec<Delta>,
    /// How old the control plane's last word was.
    pub(in crate::configuration) note: Option<AgeNote>,
    /// Something of it could not be used when it came.
    pub(in crate::configuration) is_incomplete: bool,
    /// Some file was refused.
    pub(in crate::configuration) has_damage: bool,
    /// Of the snapshot's file.
    pub(super) number: u64,
}

/// Why a file is not used.
#[derive(Debug, Error)]
enum Refused {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("it ends before its last record")]
    NoEnd,
    #[error("something follows its last record")]
    MoreThanWhole,
    #[error("its records are not in the order in which they are written")]
    OutOfOrder,
    #[error("it belongs to the cell {0:?}")]
    Foreign(String),
    #[error("a {kind} in it cannot be read: {reason}", kind = .0, reason = .1)]
    Unreadable(&'static str, String),
    #[error("it goes on from {from:?}, but what could be used before it ends at {head:?}")]
    Gap { from: Revision, head: Revision },
    #[error("the thread that reads it died")]
    Died,
    #[error("it is of {at:?}, older than the one before it, of {before:?}")]
    Older { at: Revision, before: Revision },
}

/// Reads what there is.
pub(super) fn load(directory: &Path, key: &TagKey, cell: &str) -> io::Result<Option<Loaded>> {
    let listed = files::list(directory)?;
    let mut has_damage = false;
    let mut best: Option<Loaded> = None;
    for file in listed.iter().rev().filter(|file| file.is_snapshot) {
        let found = match &best {
            None => read_snapshot(file, key, cell).map(Some),
            Some(newest) => read_newer(file, key, cell, newest.at()),
        };
        match (found, &best) {
            (Ok(Some(older)), Some(newest)) => {
                let (at, before) = (newest.at(), older.at());
                refuse(file_of(&listed, newest.number), &Refused::Older { at, before });
                (best, has_damage) = (Some(older), true);
            }
            (Ok(None), _) => break,
            (Ok(found), None) => best = found,
            (Err(refused), _) => {
                refuse(&file.path, &refused);
                has_damage = true;
            }
        }
    }
    let Some(mut loaded) = best else { return Ok(None) };
    let first = loaded.number;
    for journal in listed.iter().filter(|file| !file.is_snapshot && file.number >= first) {
        if let Err(refused) = follow_journal(journal, key, cell, &mut loaded) {
            refuse(&journal.path, &refused);
            has_damage = true;
        }
    }
    loaded.has_damage = has_damage;
    Ok(Some(loaded))
}

fn file_of(listed: &[Listed], number: u64) -> &Path {
    let found = listed.iter().find(|file| file.is_snapshot && file.number == number);
    found.map_or(Path::new(""), |file| &file.path)
}

fn refuse(path: &Path, refused: &Refused) {
    tracing::error!(
        path = %path.display(),
        reason = %refused,
        "a file of the configuration on the disk is not used; what was good before it is kept"
    );
}

/// A snapshot that should be older than another one, if it is not. Of all others nothing is needed but that they are good.
fn read_newer(
    file: &Listed,
    key: &TagKey,
    cell: &str,
    than: Revision,
) -> Result<Option<Loaded>, Refused> {
    let mut frames = FrameReader::open(&file.path, key)?;
    let at = header(&mut frames, cell)?.at.ok_or(Refused::OutOfOrder)?;
    let Some(Record::End(_)) = frames.last()? else { return Err(Refused::NoEnd) };
    if Revision::from(at) > than { read_snapshot(file, key, cell).map(Some) } else { Ok(None) }
}

fn read_snapshot(file: &Listed, key: &TagKey, cell: &str) -> Result<Loaded, Refused> {
    let mut frames = FrameReader::open(&file.path, key)?;
    let header = header(&mut frames, cell)?;
    let mut loaded = Loaded::begin(file.number, header)?;
    let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
    let objects = thread::scope(|scope| {
        let reading = scope.spawn(move || read_chunks(&mut frames, &sender));
        let put = |all: u64, chunk: Vec<Change>| all.saturating_add(loaded.extend(chunk));
        let objects = chunks.into_iter().fold(0, put);
        reading.join().unwrap_or(Err(Refused::Died)).map(|promised| promised == objects)
    });
    if objects? { Ok(loaded) } else { Err(Refused::NoEnd) }
}

/// Reads a snapshot to its end, which says how many objects there must have been.
fn read_chunks(frames: &mut FrameReader, chunks: &SyncSender<Vec<Change>>) -> Result<u64, Refused> {
    loop {
        match frames.next()?.ok_or(Refused::NoEnd)? {
            Record::Chunk(chunk) => chunks.send(read_chunk(chunk)?).map_err(|_| Refused::Died)?,
            Record::End(end) => {
                let is_last = frames.next()?.is_none();
                return is_last.then_some(end.objects).ok_or(Refused::MoreThanWhole);
            }
            Record::Header(_) | Record::Delta(_) | Record::Note(_) => {
                return Err(Refused::OutOfOrder);
            }
        }
    }
}

fn read_chunk(chunk: SnapshotChunk) -> Result<Vec<Change>, Refused> {
    let changes: Result<_, _> = chunk.changes.into_iter().map(Change::try_from).collect();
    changes.map_err(|wrong| Refused::Unreadable("change", wrong.to_string()))
}

fn header(frames: &mut FrameReader, cell: &str) -> Result<StoredHeader, Refused> {
    let Some(Record::Header(header)) = frames.next()? else { return Err(Refused::OutOfOrder) };
    if header.cell == cell { Ok(header) } else { Err(Refused::Foreign(header.cell)) }
}

/// A journal that was being written when the process died ends in the middle of a record: that is no damage, nobody was
/// told of it.
fn follow_journal(
    file: &Listed,
    key: &TagKey,
    cell: &str,
    loaded: &mut Loaded,
) -> Result<(), Refused> {
    let followed = (|| {
        let mut frames = FrameReader::open(&file.path, key)?;
        let from = header(&mut frames, cell)?.at.ok_or(Refused::OutOfOrder)?.into();
        let head = loaded.head();
        // Its notes tell the age of states that are not here.
        if from > head {
            return Err(Refused::Gap { from, head });
        }
        while let Some(record) = frames.next()? {
            loaded.take(record)?;
        }
        Ok(())
    })();
    match followed {
        Err(Refused::Damaged(Damage::Truncated(at))) => {
            tracing::info!(path = %file.path.display(), at, "the journal of an earlier process ends in the middle of a record");
            Ok(())
        }
        other => other,
    }
}

impl Loaded {
    fn begin(number: u64, header: StoredHeader) -> Result<Self, Refused> {
        let revision = header.at.ok_or(Refused::OutOfOrder)?.into();
        Ok(Self {
            snapshot: Snapshot { revision, ..Snapshot::default() },
            keys: KeyTable::default(),
            deltas: Vec::new(),
            note: header.note,
            is_incomplete: header.incomplete,
            has_damage: false,
            number,
        })
    }

    /// What the snapshot is.
    fn at(&self) -> Revision {
        self.snapshot.revision
    }

    /// Where it leads with what came after it.
    fn head(&self) -> Revision {
        self.deltas.last().map_or(self.at(), |last| last.to)
    }

    /// Returns how many objects these were.
    fn extend(&mut self, chunk: Vec<Change>) -> u64 {
        let objects = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.keys.apply(self.snapshot.extend(chunk));
        objects
    }

    fn take(&mut self, record: Record) -> Result<(), Refused> {
        match record {
            Record::Delta(stored) => {
                let delta = Delta::try_from(stored.delta.unwrap_or_default())
                    .map_err(|wrong| Refused::Unreadable("delta", wrong.to_string()))?;
                if delta.from == self.head() {
                    self.is_incomplete = stored.incomplete;
                    self.deltas.push(delta);
                }
                Ok(())
            }
            Record::Note(note) => {
                self.note = Some(note);
                Ok(())
            }
            Record::Header(_) | Record::Chunk(_) | Record::End(_) => Err(Refused::OutOfOrder),
        }
    }
}
