//! What an admitted request holds: the right, and the duty, to write down its end.

use super::books::Slot;
use super::shorten::shorten;
use super::{Core, EventId, SpoolError, frame};
use proto::usage::v1::{Progress, UsageEvent};
use std::sync::Arc;

/// Frame, record and sequence number round an event are not longer than this.
const ENVELOPE_BYTES: u64 = 48;
/// Of `SequencedEvent`, in which the event stands.
const FIELD_EVENT: u8 = 3;

/// An open request. Dropped without `finish` it writes nothing: the request is closed as interrupted at the next start.
#[derive(Debug)]
#[must_use = "a request without an end is charged only after a restart"]
pub struct Ticket {
    core: Arc<Core>,
    slot: Slot,
    is_finished: bool,
}

impl Ticket {
    pub(super) const fn new(core: Arc<Core>, slot: Slot) -> Self {
        Self { core, slot, is_finished: false }
    }

    /// Writes down what the request has metered so far, for the case that it gets no end. Where room is only left for
    /// ends it is skipped, counted and logged.
    ///
    /// # Errors
    /// When the disk fails or the spool is closed; the request may go on.
    pub fn progress(&mut self, progress: &Progress) -> Result<(), SpoolError> {
        let is_written = self.core.shared.with(|log| log.progress(self.slot, progress))?;
        if !is_written {
            let request_id = progress.request_id.as_str();
            tracing::warn!(request_id, "the spool has no room for the progress of a request");
        }
        Ok(())
    }

    /// Writes down the end, and gives it its place in the order of its partition. Returns once it is written, which
    /// outlives this process; it is synced a little later.
    ///
    /// # Errors
    /// When it cannot be written: then the request is still open, and is closed at the next start.
    pub fn finish(mut self, mut event: UsageEvent) -> Result<EventId, SpoolError> {
        let limit = self.core.event_bytes_max.saturating_sub(ENVELOPE_BYTES);
        let mut encoded = frame::field(FIELD_EVENT, &event);
        if frame::bytes(encoded.len()) > limit {
            if !shorten(&mut event, usize::try_from(limit).unwrap_or(usize::MAX)) {
                let bytes = frame::bytes(prost::Message::encoded_len(&event));
                return Err(SpoolError::TooLarge { bytes, limit });
            }
            encoded = frame::field(FIELD_EVENT, &event);
        }
        let id = self.core.shared.with(|log| log.finish(self.slot, &event, &encoded))?;
        self.is_finished = true;
        Ok(id)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let request_id = self.core.shared.with(|log| log.abandon(self.slot));
        tracing::error!(
            request_id,
            "a request ended without a usage event; it will be closed as interrupted at the next start"
        );
    }
}
