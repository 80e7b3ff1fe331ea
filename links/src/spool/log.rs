//! The writer: appends records to the newest segment and keeps the books. Lives behind one mutex.
//!
//! Where room comes from is in `room.rs`, when appended frames are synced in `syncing.rs`.

use super::ages::Ages;
use super::books::{Books, Slot};
use super::files::{Spare, failed};
use super::frame::{self, Kind};
use super::marks::Marks;
use super::replay::Replay;
use super::shorten::outer_attempts;
use super::{EventId, SpoolError, SpoolSettings, SpoolStatus};
use domain::id::{OrgUid, Partition};
use proto::usage::v1::{Admitted, Progress, SequencedEvent, SliceMark, UsageEvent};
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// One file of the log. The newest is written to, all are read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) incarnation: u64,
    /// Preallocated.
    pub(super) length: u64,
    /// Where the records after the checkpoint begin.
    pub(super) first: u64,
    /// Where the next frame goes; in older segments, where the last one ended.
    pub(super) end: u64,
    /// Up to where readers may read.
    pub(super) synced: u64,
    /// Open requests that were admitted here.
    pub(super) pins: u64,
    /// The next sequence numbers when it was left. Not kept up while it is written to.
    pub(super) next_at_end: Marks,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) settings: SpoolSettings,
    pub(super) data_plane: String,
    pub(super) incarnation: u64,
    pub(super) books: Books,
    pub(super) billed: Marks,
    pub(super) ages: Ages,
    /// Oldest first. Empty only while a new spool is being made.
    pub(super) segments: VecDeque<Segment>,
    pub(super) spares: VecDeque<Spare>,
    pub(super) next_number: u64,
    /// All that is preallocated, quarantined files included.
    pub(super) bytes: u64,
    /// The frame being written; one buffer for all.
    pub(super) frame: Vec<u8>,
    /// Frames of ends that no sync has covered, to be written again should the sync fail.
    pub(super) unsynced_ends: Vec<u8>,
    /// Counts appends, to tell waiters which of them a sync has covered.
    pub(super) appended: u64,
    pub(super) is_dirty: bool,
    pub(super) is_directory_dirty: bool,
    pub(super) is_failing: bool,
    /// New requests are refused for good.
    pub(super) is_stopping: bool,
    pub(super) is_closed: bool,
    pub(super) is_full: bool,
    pub(super) refused_at: Option<Instant>,
    pub(super) progress_skipped: u64,
}

/// A stretch of a segment that readers may read.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) segment: u64,
    pub(super) incarnation: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) range: Range<u64>,
}

impl Log {
    pub(super) fn new(settings: SpoolSettings, data_plane: String, replay: Replay) -> Self {
        Self {
            settings,
            data_plane,
            incarnation: replay.incarnation,
            books: replay.books,
            billed: replay.billed,
            ages: replay.ages,
            segments: VecDeque::new(),
            spares: VecDeque::new(),
            next_number: 1,
            bytes: 0,
            frame: Vec::new(),
            unsynced_ends: Vec::new(),
            appended: 0,
            is_dirty: false,
            is_directory_dirty: true,
            is_failing: false,
            is_stopping: false,
            is_closed: false,
            is_full: false,
            refused_at: None,
            progress_skipped: 0,
        }
    }

    /// From now on everything counts for another incarnation; requests that are open stay so.
    pub(super) fn begin_incarnation(&mut self, incarnation: u64) -> Result<(), SpoolError> {
        self.incarnation = incarnation;
        self.books.begin_incarnation();
        self.billed = Marks::first();
        self.ages = Ages::new();
        self.rotate(0)
    }

    /// Writes down that a request will be answered, and keeps room for its end.
    pub(super) fn admit(&mut self, admitted: &Admitted) -> Result<Slot, SpoolError> {
        self.check_admitting()?;
        let message = self.encode_admitted(admitted)?;
        let frame_bytes = frame::bytes(self.frame.len());
        let ends = self.books.open_count().saturating_add(1);
        self.make_room(frame_bytes, Books::open_cost(message.len()), ends)?;
        self.append()?;
        let Some(active) = self.segments.back_mut() else { return Err(SpoolError::Closed) };
        active.pins = active.pins.saturating_add(1);
        let message = self.frame.get(message).unwrap_or_default();
        Ok(self.books.admit(message, active.number))
    }

    fn check_admitting(&self) -> Result<(), SpoolError> {
        if self.is_closed {
            Err(SpoolError::Closed)
        } else if self.is_stopping {
            Err(SpoolError::Stopping)
        } else if self.is_failing {
            Err(SpoolError::Failing)
        } else {
            Ok(())
        }
    }

    /// The name of the app is the only part that a client can make long.
    fn encode_admitted(&mut self, admitted: &Admitted) -> Result<Range<usize>, SpoolError> {
        let message = self.encode(Kind::Admitted, admitted);
        if self.fits() {
            return Ok(message);
        }
        let anonymous = Admitted { app: String::new(), ..admitted.clone() };
        let message = self.encode(Kind::Admitted, &anonymous);
        if self.fits() { Ok(message) } else { Err(self.too_large()) }
    }

    /// Writes down how far a request has come, if there is room that nothing else is owed. Returns whether it did.
    pub(super) fn progress(&mut self, slot: Slot, progress: &Progress) -> Result<bool, SpoolError> {
        if self.is_closed {
            return Err(SpoolError::Closed);
        }
        let mut message = self.encode(Kind::Progress, progress);
        if !self.fits() {
            let mut shorter = progress.clone();
            outer_attempts(&mut shorter.attempts);
            message = self.encode(Kind::Progress, &shorter);
        }
        let frame_bytes = frame::bytes(self.frame.len());
        let growth = frame::bytes(message.len());
        let ends = self.books.open_count();
        if !self.fits() || self.make_room(frame_bytes, growth, ends).is_err() {
            self.progress_skipped = self.progress_skipped.saturating_add(1);
            return Ok(false);
        }
        self.append()?;
        self.books.progress(slot, self.frame.get(message).unwrap_or_default());
        Ok(true)
    }

    /// Writes down how a request ended, in the room that was kept for it, and gives that its number. `encoded` is the event as
    /// a field of its record, so that nobody waits for it to be encoded.
    pub(super) fn finish(
        &mut self,
        slot: Slot,
        event: &UsageEvent,
        encoded: &[u8],
    ) -> Result<EventId, SpoolError> {
        if self.is_closed {
            return Err(SpoolError::Closed);
        }
        let partition = Partition::of(OrgUid(event.org_uid));
        let seq = self.books.next().get(partition).unwrap_or(1);
        let numbered = SequencedEvent { partition: partition.0, seq, event: None };
        self.frame.clear();
        frame::put_parts(&mut self.frame, Kind::Ended, &numbered, encoded);
        self.append()?;
        self.unsynced_ends.extend_from_slice(&self.frame);
        self.books.number(partition, seq);
        self.books.charge(event);
        self.ages.push(partition, seq, event.ended_us);
        if let Some(number) = self.books.close(slot) {
            self.unpin(number);
        }
        Ok(EventId { partition, seq })
    }

    /// A ticket was lost: the request stays open until the next start, but no longer keeps its segment. Returns its id.
    pub(super) fn abandon(&mut self, slot: Slot) -> Option<String> {
        let number = self.books.segment(slot)?;
        self.unpin(number);
        self.books.request_id(slot)
    }

    fn unpin(&mut self, number: u64) {
        let segment = self.segments.iter_mut().rev().find(|segment| segment.number == number);
        if let Some(segment) = segment {
            segment.pins = segment.pins.saturating_sub(1);
        }
    }

    /// Writes down what is known of a slice. Returns which append it was.
    pub(super) fn note_slice(&mut self, mark: &SliceMark) -> Result<u64, SpoolError> {
        if self.is_closed {
            return Err(SpoolError::Closed);
        }
        self.encode(Kind::Slice, mark);
        let frame_bytes = frame::bytes(self.frame.len());
        self.make_room(frame_bytes, self.books.slice_cost(mark), self.books.open_count())?;
        self.append()?;
        self.books.learn(mark);
        Ok(self.appended)
    }

    /// What may be read at or after an offset of a segment.
    pub(super) fn stretch(&self, segment: u64, offset: u64) -> Option<Stretch> {
        let at = self.segments.partition_point(|of| of.number < segment);
        for of in self.segments.range(at..) {
            let from = if of.number == segment { of.first.max(offset) } else { of.first };
            if from < of.synced {
                return Some(Stretch {
                    segment: of.number,
                    incarnation: of.incarnation,
                    path: of.path.clone(),
                    file: Arc::clone(&of.file),
                    range: from..of.synced,
                });
            }
            if of.synced < of.end {
                return None;
            }
        }
        None
    }

    pub(super) fn status(&self) -> SpoolStatus {
        SpoolStatus {
            bytes: self.bytes,
            open_requests: self.books.open_count(),
            unbilled_events: self.books.next().since(&self.billed),
            oldest_unbilled_us: self.ages.oldest_us(&self.billed, self.books.next()),
            progress_skipped: self.progress_skipped,
            is_full: self.is_full,
            is_failing: self.is_failing,
            ..SpoolStatus::default()
        }
    }

    fn encode(&mut self, kind: Kind, message: &impl prost::Message) -> Range<usize> {
        self.frame.clear();
        frame::put(&mut self.frame, kind, message)
    }

    fn fits(&self) -> bool {
        frame::bytes(self.frame.len()) <= self.settings.event_bytes_max
    }

    fn too_large(&self) -> SpoolError {
        let bytes = frame::bytes(self.frame.len());
        SpoolError::TooLarge { bytes, limit: self.settings.event_bytes_max }
    }

    /// Writes the frame that was encoded last.
    fn append(&mut self) -> Result<(), SpoolError> {
        let length = frame::bytes(self.frame.len());
        if self.tail() < length {
            self.rotate(length)?;
        }
        let Some(active) = self.segments.back_mut() else { return Err(SpoolError::Closed) };
        active.file.write_all_at(&self.frame, active.end).map_err(failed("write", &active.path))?;
        active.end = active.end.saturating_add(length);
        self.note_append();
        Ok(())
    }

    pub(super) fn note_append(&mut self) {
        self.appended = self.appended.saturating_add(1);
        self.is_dirty = true;
    }

    /// What is left of the newest segment.
    pub(super) fn tail(&self) -> u64 {
        self.segments.back().map_or(0, |active| active.length.saturating_sub(active.end))
    }
}
