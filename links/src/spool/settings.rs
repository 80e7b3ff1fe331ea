//! What can be set about a spool, and what makes no sense.

use super::SpoolError;
use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;
const EVENT_BYTES_LEAST: u64 = 512;
const EVENTS_PER_SEGMENT_LEAST: u64 = 8;

/// Who syncs a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// A thread of its own, a few milliseconds after each append.
    Thread,
    /// Whoever waits for a sync, in place, and nobody else; readers read in place, too. So no future of the spool is ever
    /// pending but for want of events, and all that happens is decided by its caller: for simulations.
    ByHand {
        /// The life that begins here, if one does.
        incarnation: u64,
    },
}

/// Where a spool lies and how large it may become. `SpoolSettings::new` has the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory, of which this spool is the only owner. Made when missing.
    pub directory: PathBuf,
    /// Size of one preallocated file. 16 MiB.
    pub segment_bytes: u64,
    /// Size of the whole spool, preallocated files included. 10 GiB.
    pub capacity_bytes: u64,
    /// How long appended frames may wait for their `fdatasync`: what a power cut can take. 5 ms.
    pub sync_interval: Duration,
    /// Above this part of `capacity_bytes` no file is added, and so admissions end. 95.
    pub high_water_percent: u8,
    /// Room kept for the end of each open request; a longer event is shortened, but for its money. 4 KiB.
    pub event_bytes_max: u64,
    /// How soon after a failed preallocation, or a failed sync, the disk is tried again. 100 ms.
    pub retry_interval: Duration,
    /// Who syncs. A thread.
    pub upkeep: Upkeep,
}

impl SpoolSettings {
    /// The defaults, in this directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 16 * MIB,
            capacity_bytes: 10 * 1024 * MIB,
            sync_interval: Duration::from_millis(5),
            high_water_percent: 95,
            event_bytes_max: 4096,
            retry_interval: Duration::from_millis(100),
            upkeep: Upkeep::Thread,
        }
    }

    /// Up to how many bytes of files may be preallocated.
    pub(super) const fn high_water_bytes(&self) -> u64 {
        (self.capacity_bytes / 100).saturating_mul(self.high_water_percent as u64)
    }

    pub(super) fn check(&self) -> Result<(), SpoolError> {
        let refuse = |reason| Err(SpoolError::Settings { reason });
        if self.event_bytes_max < EVENT_BYTES_LEAST {
            return refuse("event_bytes_max must be at least 512");
        }
        if self.segment_bytes < self.event_bytes_max.saturating_mul(EVENTS_PER_SEGMENT_LEAST) {
            return refuse("segment_bytes must be at least 8 times event_bytes_max");
        }
        if self.segment_bytes > 1024 * MIB {
            return refuse("segment_bytes must be at most 1 GiB");
        }
        if self.high_water_percent == 0 || self.high_water_percent > 100 {
            return refuse("high_water_percent must be from 1 to 100");
        }
        if self.high_water_bytes() < self.segment_bytes.saturating_mul(2) {
            return refuse(
                "capacity_bytes at high_water_percent must hold two segments of segment_bytes",
            );
        }
        Ok(())
    }
}
