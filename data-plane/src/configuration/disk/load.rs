//! Finding the newest state on the disk that can be trusted.
//!
//! Every snapshot is tried, the newest first, and each file that is refused is named in the log; the journals then lead on,
//! as far as each delta fits onto the one before.

use super::files::{self, Listed};
use super::frames::{Damage, FrameReader, TagKey};
use domain::id::Revision;
use domain::snapshot::{Change, Delta};
use proto::feed::v1::stored_record::Record;
use proto::feed::v1::{AgeNote, SnapshotChunk, StoredHeader};
use std::io;
use std::path::Path;
use thiserror::Error;

/// A state from the disk.
#[derive(Debug)]
pub(in crate::configuration) struct Loaded {
    /// What the snapshot is.
    pub(in crate::configuration) at: Revision,
    /// Puts.
    pub(in crate::configuration) changes: Vec<Change>,
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
    #[error("it is of {at:?}, older than the one before it, of {before:?}")]
    Older { at: Revision, before: Revision },
}

/// Reads what there is.
pub(super) fn load(directory: &Path, key: &TagKey, cell: &str) -> io::Result<Option<Loaded>> {
    let listed = files::list(directory)?;
    let mut has_damage = false;
    let mut best: Option<Loaded> = None;
    for file in listed.iter().rev().filter(|file| file.is_snapshot) {
        match (read_snapshot(file, key, cell), &best) {
            (Ok(older), Some(newest)) if older.at > newest.at => {
                refuse(
                    file_of(&listed, newest.number),
                    &Refused::Older { at: newest.at, before: older.at },
                );
                (best, has_damage) = (Some(older), true);
            }
            (Ok(_), Some(_)) => break,
            (Ok(found), None) => best = Some(found),
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

fn read_snapshot(file: &Listed, key: &TagKey, cell: &str) -> Result<Loaded, Refused> {
    let mut frames = FrameReader::open(&file.path, key)?;
    let header = header(&mut frames, cell)?;
    let at = header.at.ok_or(Refused::OutOfOrder)?.into();
    let mut loaded = Loaded {
        at,
        changes: Vec::new(),
        deltas: Vec::new(),
        note: header.note,
        is_incomplete: header.incomplete,
        has_damage: false,
        number: file.number,
    };
    loop {
        match frames.next()?.ok_or(Refused::NoEnd)? {
            Record::Chunk(chunk) => loaded.extend(chunk)?,
            Record::End(end) => {
                let is_whole = end.objects == u64::try_from(loaded.changes.len()).unwrap_or(0);
                return match (is_whole, frames.next()?) {
                    (true, None) => Ok(loaded),
                    (true, Some(_)) => Err(Refused::MoreThanWhole),
                    (false, _) => Err(Refused::NoEnd),
                };
            }
            Record::Header(_) | Record::Delta(_) | Record::Note(_) => {
                return Err(Refused::OutOfOrder);
            }
        }
    }
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
    fn head(&self) -> Revision {
        self.deltas.last().map_or(self.at, |last| last.to)
    }

    fn extend(&mut self, chunk: SnapshotChunk) -> Result<(), Refused> {
        let read = |change| Change::try_from(change);
        let changes: Result<Vec<Change>, _> = chunk.changes.into_iter().map(read).collect();
        self.changes
            .extend(changes.map_err(|wrong| Refused::Unreadable("change", wrong.to_string()))?);
        Ok(())
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
