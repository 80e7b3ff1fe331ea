//! Opening: reads what an earlier process left, mends the tail that a crash may have torn, and goes on there.
//!
//! Damage elsewhere never keeps a spool from starting: what precedes it is kept, the file is put aside, and it is told.
//! Where the newest segment is damaged, its books cannot be trusted, and a new incarnation begins.

use super::files::{self, Listed, Spare, failed};
use super::frame;
use super::log::{Log, Segment};
use super::replay::{MissingEvents, Replay, UsedKey};
use super::scan::{Depth, Scanned, begins_with_checkpoint};
use super::{SpoolError, SpoolSettings, Upkeep};
use domain::id::Partition;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of the spool that could not be read to its end. It is renamed to `*.damaged`, to `*.evidence` when what could be
/// read is billed, and kept until it is removed by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// All records before this offset are intact and in use.
    pub offset: u64,
    /// What is wrong.
    pub reason: &'static str,
}

/// A log that is ready to be written to.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) log: Log,
    pub(super) damaged: Vec<Damage>,
    pub(super) missing: Vec<MissingEvents>,
    pub(super) used_keys: Vec<UsedKey>,
}

/// Reads the directory and mends it.
pub(super) fn restore(
    settings: SpoolSettings,
    data_plane: &str,
    directory: &File,
) -> Result<Restored, SpoolError> {
    let mut replay = Replay::new();
    let listed = files::list(&settings.directory)?;
    let next_number = listed.last().map_or(1, |last| last.number.saturating_add(1));
    let newest = listed.iter().rposition(begins_with_checkpoint);
    let mut scanned = Vec::new();
    for (at, listed) in listed.into_iter().enumerate() {
        let is_replaced = newest.is_some_and(|newest| at < newest);
        let depth = if is_replaced { Depth::Skim } else { Depth::Full };
        scanned.push(Scanned::scan(listed, depth, data_plane, &mut replay)?);
    }
    let unused = scanned.iter().rev().take_while(|scanned| scanned.is_unused()).count();
    let spares = scanned.split_off(scanned.len().saturating_sub(unused));

    let missing = replay.missing();
    let used_keys = std::mem::take(&mut replay.used_keys);
    let mut log = Log::new(settings, data_plane.to_owned(), replay);
    log.next_number = next_number;
    let damaged = take_in_segments(&mut log, scanned)?;
    for spare in spares {
        take_in_spare(&mut log, spare)?;
    }
    if damaged.is_newest || log.segments.is_empty() {
        let incarnation = match log.settings.upkeep {
            Upkeep::Thread => new_incarnation(),
            Upkeep::ByHand { incarnation } => incarnation,
        };
        log.begin_incarnation(incarnation)?;
    }
    log.count_pins();
    sync_all(&mut log, directory)?;
    tell(&log, &damaged.all, &missing);
    Ok(Restored { log, damaged: damaged.all, missing, used_keys })
}

#[derive(Debug, Default)]
struct Damaged {
    all: Vec<Damage>,
    is_newest: bool,
}

fn take_in_segments(log: &mut Log, scanned: Vec<Scanned>) -> Result<Damaged, SpoolError> {
    let mut damaged = Damaged::default();
    let mut left = scanned.len();
    for segment in scanned {
        left = left.saturating_sub(1);
        let is_last = left == 0;
        if segment.is_unused() && segment.is_blank() {
            files::remove(&segment.listed.path);
            continue;
        }
        let mut path = segment.listed.path.clone();
        let mut length = segment.length;
        if let Some(reason) = segment.damage(is_last) {
            path = put_aside(&segment.listed)?;
            damaged.all.push(Damage { path: path.clone(), offset: segment.end, reason });
            damaged.is_newest = is_last;
        } else if is_last {
            length = mend_tail(&segment, log.settings.segment_bytes)?;
        }
        log.bytes = log.bytes.saturating_add(length);
        log.segments.extend(readable(segment, path, length));
    }
    Ok(damaged)
}

fn put_aside(listed: &Listed) -> Result<PathBuf, SpoolError> {
    if listed.is_quarantined { Ok(listed.path.clone()) } else { files::quarantine(listed) }
}

/// Removes what a crash has torn, and has the room behind it again. Returns how long the file is.
fn mend_tail(segment: &Scanned, segment_bytes: u64) -> Result<u64, SpoolError> {
    let path = &segment.listed.path;
    if segment.written > segment.end {
        tracing::warn!(
            path = %path.display(),
            bytes = segment.written.saturating_sub(segment.end),
            "a spool file ended in the middle of a record, as after a power cut; that record is gone"
        );
        files::wipe(&segment.file, segment.end, segment.written).map_err(failed("mend", path))?;
    }
    let length = segment.length.max(segment_bytes);
    match files::reserve(&segment.file, length) {
        Ok(()) => Ok(length),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot preallocate the rest of a spool file");
            Ok(segment.length)
        }
    }
}

fn readable(scanned: Scanned, path: PathBuf, length: u64) -> Option<Segment> {
    Some(Segment {
        number: scanned.listed.number,
        path,
        file: Arc::new(scanned.file),
        incarnation: scanned.incarnation?,
        length,
        first: scanned.first,
        end: scanned.end,
        synced: 0,
        pins: 0,
        next_at_end: scanned.next_at_end,
    })
}

fn take_in_spare(log: &mut Log, spare: Scanned) -> Result<(), SpoolError> {
    let path = spare.listed.path;
    files::wipe(&spare.file, 0, spare.written).map_err(failed("mend", &path))?;
    if files::reserve(&spare.file, spare.length).is_err() {
        files::remove(&path);
        return Ok(());
    }
    log.bytes = log.bytes.saturating_add(spare.length);
    log.spares.push_back(Spare {
        number: spare.listed.number,
        path,
        file: spare.file,
        length: spare.length,
    });
    Ok(())
}

/// Time keeps it unique for one directory, chance for copies of it. Positive as a signed number, too.
fn new_incarnation() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    let chance = rand::random::<u64>() & 0x3ff;
    ((micros << 10) | chance) & (u64::MAX >> 1)
}

/// After a kill, frames that were never synced are whole: they count once they are synced.
fn sync_all(log: &mut Log, directory: &File) -> Result<(), SpoolError> {
    let path: &Path = &log.settings.directory;
    directory.sync_all().map_err(failed("sync", path))?;
    for segment in &mut log.segments {
        segment.file.sync_data().map_err(failed("sync", &segment.path))?;
        segment.synced = segment.end;
    }
    if let Some(active) = log.segments.back() {
        let mark = frame::synced_mark(active.end);
        let written = active.file.write_all_at(&mark, frame::SYNCED_MARK_OFFSET);
        written.map_err(failed("write", &active.path))?;
    }
    log.is_dirty = false;
    log.is_directory_dirty = false;
    Ok(())
}

fn tell(log: &Log, damaged: &[Damage], missing: &[MissingEvents]) {
    for damage in damaged {
        tracing::error!(
            path = %damage.path.display(),
            offset = damage.offset,
            reason = damage.reason,
            incarnation = log.incarnation,
            "a spool file is damaged; what precedes the damage is used, and the file is kept until it is removed"
        );
    }
    for MissingEvents { incarnation, partition: Partition(partition), seqs } in missing {
        tracing::error!(incarnation, partition, ?seqs, "usage events are missing from the spool");
    }
}

impl Log {
    fn count_pins(&mut self) {
        for (_, number, _) in self.books.open_requests() {
            let segment = self.segments.iter_mut().find(|segment| segment.number == number);
            if let Some(segment) = segment {
                segment.pins = segment.pins.saturating_add(1);
            }
        }
    }
}
