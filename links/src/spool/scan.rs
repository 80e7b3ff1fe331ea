//! Reads one file of the directory, changing nothing, and judges what it is.

use super::SpoolError;
use super::files::{Listed, failed};
use super::frame::{self, Found, Kind, SegmentHeader};
use super::marks::Marks;
use super::replay::{Replay, decode};
use proto::usage::v1::spool_record::Record;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;

/// How closely a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// A later checkpoint replaces what it adds up to.
    Skim,
    /// Each record counts.
    Full,
}

/// A file that was read, its records applied.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) listed: Listed,
    pub(super) file: File,
    pub(super) length: u64,
    /// Of its checkpoint; without one none of its records count.
    pub(super) incarnation: Option<u64>,
    /// Where the records after the checkpoint begin.
    pub(super) first: u64,
    /// Where its last whole record ends.
    pub(super) end: u64,
    /// Up to where it was synced, at least.
    pub(super) synced: u64,
    /// Where its last byte that is not zero ends.
    pub(super) written: u64,
    pub(super) next_at_end: Marks,
    /// Why reading stopped before the end, if it did.
    pub(super) stop: Option<&'static str>,
    is_head_unreadable: bool,
}

impl Scanned {
    /// Reads the file and applies its records up to the first that is not whole.
    pub(super) fn scan(
        listed: Listed,
        depth: Depth,
        data_plane: &str,
        replay: &mut Replay,
    ) -> Result<Self, SpoolError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&listed.path)
            .map_err(failed("open", &listed.path))?;
        let length = file.metadata().map_err(failed("stat", &listed.path))?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let unreadable = file.read_to_end(&mut bytes).err();
        let mut scanned = Self::unread(listed, file, length, replay);
        scanned.written = written(&bytes);
        match frame::read_segment_header(&bytes) {
            SegmentHeader::Blank => {}
            SegmentHeader::Ours { synced } => {
                scanned.synced = synced;
                scanned.apply_frames(&bytes, depth, data_plane, replay)?;
            }
            SegmentHeader::Newer { version } => return Err(scanned.too_new(version)),
            SegmentHeader::Unreadable => {
                scanned.is_head_unreadable = true;
                scanned.stop = Some("its head is unreadable");
            }
        }
        if let Some(error) = unreadable {
            tracing::error!(path = %scanned.listed.path.display(), %error, "cannot read a spool file");
            scanned.stop = Some("the disk cannot read it");
            scanned.is_head_unreadable = true;
        }
        scanned.next_at_end = replay.books.next().clone();
        Ok(scanned)
    }

    fn unread(listed: Listed, file: File, length: u64, replay: &Replay) -> Self {
        Self {
            listed,
            file,
            length,
            incarnation: None,
            first: 0,
            end: 0,
            synced: 0,
            written: 0,
            next_at_end: replay.books.next().clone(),
            stop: None,
            is_head_unreadable: false,
        }
    }

    fn too_new(&self, version: u32) -> SpoolError {
        let path = self.listed.path.clone();
        let reason = format!("has format {version}: run the newer program that wrote it");
        SpoolError::Foreign { path, reason }
    }

    fn apply_frames(
        &mut self,
        bytes: &[u8],
        depth: Depth,
        data_plane: &str,
        replay: &mut Replay,
    ) -> Result<(), SpoolError> {
        let mut offset = frame::SEGMENT_HEADER_BYTES;
        loop {
            match frame::read(bytes, offset) {
                Found::Frame { record, next } => {
                    let is_first = self.first == 0;
                    let is_taken = if is_first {
                        self.begin(record, frame::bytes(next), data_plane, replay)?
                    } else {
                        self.apply(record, depth, replay)
                    };
                    if !is_taken {
                        self.stop = Some("a record is not what a spool contains");
                        return Ok(());
                    }
                    offset = next;
                    self.end = frame::bytes(next);
                }
                Found::End => return Ok(()),
                Found::Cut { .. } | Found::Bad => {
                    self.stop = Some("the checksum of a record is wrong");
                    return Ok(());
                }
            }
        }
    }

    /// Takes in the checkpoint that a segment begins with. Returns false for anything else.
    fn begin(
        &mut self,
        record: &[u8],
        next: u64,
        data_plane: &str,
        replay: &mut Replay,
    ) -> Result<bool, SpoolError> {
        let Ok(record) = decode(record) else { return Ok(false) };
        let Some(Record::Checkpoint(checkpoint)) = &record.record else { return Ok(false) };
        if checkpoint.data_plane != data_plane {
            return Err(self.of_another(&checkpoint.data_plane, data_plane));
        }
        let incarnation = checkpoint.incarnation;
        let is_taken = replay.apply(record, self.listed.number).is_ok();
        if is_taken {
            self.incarnation = Some(incarnation);
            self.first = next;
        }
        Ok(is_taken)
    }

    fn apply(&self, record: &[u8], depth: Depth, replay: &mut Replay) -> bool {
        let number = self.listed.number;
        let outcome = match depth {
            Depth::Skim => replay.skim(record, number),
            Depth::Full => decode(record).and_then(|record| replay.apply(record, number)),
        };
        outcome.is_ok()
    }

    fn of_another(&self, found: &str, expected: &str) -> SpoolError {
        let path = self.listed.path.clone();
        let reason = format!(
            "belongs to the data plane {found:?}, not to {expected:?}: give each its own directory"
        );
        SpoolError::Foreign { path, reason }
    }

    /// Preallocated, and never used as far as a sync tells.
    pub(super) const fn is_unused(&self) -> bool {
        self.incarnation.is_none() && self.synced == 0 && !self.is_head_unreadable
    }

    pub(super) const fn is_blank(&self) -> bool {
        self.written == 0
    }

    /// What is wrong with it. A torn tail is not, in the last segment, as long as it was never synced.
    pub(super) fn damage(&self, is_last: bool) -> Option<&'static str> {
        if self.is_head_unreadable || (self.stop.is_some() && !is_last) {
            return self.stop;
        }
        if self.incarnation.is_none() {
            return Some(self.stop.unwrap_or("it has no checkpoint"));
        }
        if self.end < self.synced {
            return Some(self.stop.unwrap_or("records that were synced are missing"));
        }
        None
    }
}

/// Whether a file begins with a whole checkpoint, by reading no more than that.
pub(super) fn begins_with_checkpoint(listed: &Listed) -> bool {
    let Ok(file) = File::open(&listed.path) else { return false };
    let mut head = [0; frame::SEGMENT_HEADER_BYTES + frame::FRAME_HEADER_BYTES];
    if file.read_exact_at(&mut head, 0).is_err() {
        return false;
    }
    let Found::Cut { length } = frame::read(&head, frame::SEGMENT_HEADER_BYTES) else {
        return false;
    };
    let is_within = file.metadata().is_ok_and(|of| frame::bytes(length) <= of.len());
    let mut checkpoint = vec![0; if is_within { length } else { 0 }];
    let read = file.read_exact_at(&mut checkpoint, frame::bytes(frame::SEGMENT_HEADER_BYTES));
    let Found::Frame { record, .. } = frame::read(&checkpoint, 0) else { return false };
    let is_ours = matches!(frame::read_segment_header(&head), SegmentHeader::Ours { .. });
    read.is_ok() && is_ours && record.first() == Some(&Kind::Checkpoint.key())
}

fn written(bytes: &[u8]) -> u64 {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| frame::bytes(last).saturating_add(1))
}
