//! How far one stream has come: the next number, and the gaps below it. Pure.
//!
//! A gap that was written off stays one, so that an event of it which comes after all counts, once; it only no longer
//! keeps the sender from forgetting what is behind it.

use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Sequence numbers beyond this are garbage, not a gap.
const SEQ_MAX: u64 = 1 << 62;

/// Whether an event can have this number.
#[must_use]
pub const fn is_possible(seq: u64) -> bool {
    seq != 0 && seq <= SEQ_MAX
}

/// What is known of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Not seen before: to be applied.
    Fresh,
    /// Applied, or kept as poison, before.
    Duplicate,
    /// No event can have it.
    Impossible,
}

/// Numbers that are missing, up to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last of them.
    pub to: u64,
    /// When later numbers came first.
    pub since: Timestamp,
    /// Whether they are still waited for.
    pub written_off: Option<WrittenOff>,
}

/// That an operator gave a gap up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenOff {
    /// When.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
}

/// How far one stream has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    next: u64,
    gaps: BTreeMap<u64, Gap>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { next: 1, gaps: BTreeMap::new() }
    }
}

impl Progress {
    /// As it is stored: the next number.
    pub const fn begin_at(&mut self, next: u64) {
        self.next = next;
    }

    /// As it is stored: a gap below it.
    pub fn keep(&mut self, from: u64, gap: Gap) {
        self.gaps.insert(from, gap);
    }

    /// The first number beyond all that came.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The gaps, ascending, each with its first number.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, &Gap)> {
        self.gaps.iter().map(|(from, gap)| (*from, gap))
    }

    /// Counts an event in.
    pub fn arrive(&mut self, seq: u64, now: Timestamp) -> Arrival {
        if !is_possible(seq) {
            return Arrival::Impossible;
        }
        if seq >= self.next {
            if seq > self.next {
                let gap = Gap { to: seq.saturating_sub(1), since: now, written_off: None };
                self.gaps.insert(self.next, gap);
            }
            self.next = seq.saturating_add(1);
            return Arrival::Fresh;
        }
        if self.close(seq) { Arrival::Fresh } else { Arrival::Duplicate }
    }

    /// Takes a number out of the gap that it is in.
    fn close(&mut self, seq: u64) -> bool {
        let found = self.gaps.range(..=seq).next_back();
        let Some((from, _)) = found.filter(|(_, gap)| gap.to >= seq) else { return false };
        let from = *from;
        let Some(gap) = self.gaps.remove(&from) else { return false };
        if from < seq {
            self.gaps.insert(from, Gap { to: seq.saturating_sub(1), ..gap.clone() });
        }
        if seq < gap.to {
            self.gaps.insert(seq.saturating_add(1), gap);
        }
        true
    }

    /// The end of the prefix in which nothing is waited for: everything below may be forgotten by whoever sent it.
    #[must_use]
    pub fn billed(&self) -> u64 {
        let waited_for = self.gaps.iter().find(|(_, gap)| gap.written_off.is_none());
        waited_for.map_or(self.next, |(from, _)| *from)
    }
}
