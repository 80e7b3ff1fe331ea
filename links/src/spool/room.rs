//! Room: no request is admitted unless its end is sure to fit into what is preallocated, whatever happens to the disk.
//!
//! Ends are at most `event_bytes_max` long, so what a segment can still take is counted in slots of that size; a frame
//! that does not fit the tail of one segment wastes less than a slot, and each rotation costs one checkpoint.

use super::SpoolError;
use super::files::{self, Spare, failed};
use super::frame;
use super::log::{Log, Segment};
use super::marks::Marks;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

impl Log {
    /// Makes sure that a frame can be appended with so many ends after it, preallocating what lacks.
    pub(super) fn make_room(
        &mut self,
        frame_bytes: u64,
        checkpoint_growth: u64,
        ends: u64,
    ) -> Result<(), SpoolError> {
        while !self.has_room(frame_bytes, checkpoint_growth, ends) {
            if let Err(error) = self.preallocate() {
                self.note_full();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Until a spare can be had. The syncing thread keeps trying, so that this ends without a request.
    fn note_full(&mut self) {
        if !self.is_full {
            tracing::warn!(bytes = self.bytes, "the spool is full: new requests are refused");
        }
        self.is_full = true;
    }

    fn has_room(&self, frame_bytes: u64, checkpoint_growth: u64, ends: u64) -> bool {
        let slot_bytes = self.settings.event_bytes_max;
        let head_bytes = self.head_bytes_max().saturating_add(checkpoint_growth);
        let tail = self.tail();
        let mut slots = tail.saturating_sub(frame_bytes) / slot_bytes;
        let mut unplaced = if tail < frame_bytes { frame_bytes } else { 0 };
        for spare in &self.spares {
            let Some(room) = spare.length.checked_sub(head_bytes.saturating_add(unplaced)) else {
                continue;
            };
            unplaced = 0;
            slots = slots.saturating_add(room / slot_bytes);
        }
        unplaced == 0 && slots >= ends
    }

    /// How long what comes before the first record of a segment can be.
    fn head_bytes_max(&self) -> u64 {
        frame::bytes(frame::SEGMENT_HEADER_BYTES)
            .saturating_add(self.books.checkpoint_bytes_max(&self.data_plane))
    }

    /// Adds a spare, unless the disk refused one a moment ago.
    fn preallocate(&mut self) -> Result<(), SpoolError> {
        if self.refused_at.is_some_and(|at| at.elapsed() < self.settings.retry_interval) {
            return Err(SpoolError::Full);
        }
        let length = self.spare_bytes(0);
        self.check_capacity(length, self.settings.high_water_bytes())?;
        let spare = files::preallocate(&self.settings.directory, length);
        self.add_spare(spare)
    }

    /// Checkpoints take at most half of a segment, however many slices there are.
    fn spare_bytes(&self, needed: u64) -> u64 {
        let head = self.head_bytes_max();
        self.settings.segment_bytes.max(head.saturating_mul(2)).max(head.saturating_add(needed))
    }

    fn check_capacity(&self, length: u64, limit: u64) -> Result<(), SpoolError> {
        if self.bytes.saturating_add(length) > limit { Err(SpoolError::Full) } else { Ok(()) }
    }

    /// As `add_spare`, for one that was made without the lock: somebody may have made one meanwhile.
    pub(super) fn add_spare_ahead(
        &mut self,
        spare: Result<Spare, SpoolError>,
    ) -> Result<(), SpoolError> {
        match spare {
            Ok(spare) if self.spare_due().is_none() => {
                files::remove(&spare.path);
                Ok(())
            }
            spare => self.add_spare(spare),
        }
    }

    /// Takes in what `files::preallocate` made, or remembers that it could not.
    fn add_spare(&mut self, spare: Result<Spare, SpoolError>) -> Result<(), SpoolError> {
        let numbered = spare.and_then(|spare| self.number(spare));
        self.refused_at = numbered.is_err().then(Instant::now);
        let spare = numbered?;
        if std::mem::take(&mut self.is_full) {
            tracing::info!(bytes = self.bytes, "the spool has room again");
        }
        self.bytes = self.bytes.saturating_add(spare.length);
        self.spares.push_back(spare);
        self.is_directory_dirty = true;
        Ok(())
    }

    /// Numbers are given under the lock, so that they have the order in which segments will be used.
    fn number(&mut self, spare: Spare) -> Result<Spare, SpoolError> {
        let path = files::segment_path(&self.settings.directory, self.next_number);
        fs::rename(&spare.path, &path).map_err(failed("rename", &spare.path))?;
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        Ok(Spare { number, path, ..spare })
    }

    /// How long a spare to make ahead of need, if one is due: half a segment beyond what is owed should be there.
    pub(super) fn spare_due(&self) -> Option<u64> {
        let ahead = self.settings.segment_bytes / 2 / self.settings.event_bytes_max;
        let ends = self.books.open_count().saturating_add(ahead);
        let is_refused =
            self.refused_at.is_some_and(|at| at.elapsed() < self.settings.retry_interval);
        if is_refused || self.is_closed || self.has_room(0, 0, ends) {
            return None;
        }
        let length = self.spare_bytes(0);
        self.check_capacity(length, self.settings.high_water_bytes()).ok().map(|()| length)
    }

    /// Goes on in the next spare, beginning with a checkpoint. What is owed may use all of the capacity.
    pub(super) fn rotate(&mut self, needed: u64) -> Result<(), SpoolError> {
        let mut head = frame::segment_header().to_vec();
        self.books.put_checkpoint(&mut head, &self.data_plane, self.incarnation);
        let first = frame::bytes(head.len());
        let spare = self.take_spare(first.saturating_add(needed), needed)?;
        if let Err(source) = spare.file.write_all_at(&head, 0) {
            let error = failed("write", &spare.path)(source);
            self.spares.push_front(spare);
            return Err(error);
        }
        if let Some(left) = self.segments.back_mut() {
            left.next_at_end.clone_from(self.books.next());
        }
        self.segments.push_back(Segment {
            number: spare.number,
            path: spare.path,
            file: Arc::new(spare.file),
            incarnation: self.incarnation,
            length: spare.length,
            first,
            end: first,
            synced: 0,
            pins: 0,
            next_at_end: Marks::first(),
        });
        self.note_append();
        Ok(())
    }

    fn take_spare(&mut self, length: u64, needed: u64) -> Result<Spare, SpoolError> {
        loop {
            match self.spares.pop_front() {
                Some(spare) if spare.length >= length => return Ok(spare),
                Some(short) => {
                    self.bytes = self.bytes.saturating_sub(short.length);
                    files::remove(&short.path);
                }
                None => {
                    let length = self.spare_bytes(needed);
                    self.check_capacity(length, self.settings.capacity_bytes)?;
                    let spare = files::preallocate(&self.settings.directory, length);
                    self.add_spare(spare)?;
                }
            }
        }
    }
}
