//! How far one stream has come: the next number, and the gaps below it. Pure.
//!
//! A gap that was written off stays one, so that an event of it which comes after all counts, once; it only no longer
//! keeps the sender from forgetting what is behind it.

use domain::time::Timestamp;
use std::collections::BTreeMap;

/// Sequence numbers beyond this are garbage, not a gap.
const SEQ_MAX: u64 = 1 << 62;

/// Whether an event can have this number.
pub(crate) const fn is_possible(seq: u64) -> bool {
    seq != 0 && seq <= SEQ_MAX
}

/// What is known of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Not seen before: to be applied.
    Fresh,
    /// Applied, or kept as poison, before.
    Duplicate,
    /// No event can have it.
    Impossible,
}

/// Numbers that are missing, up to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) to: u64,
    /// When later numbers came first.
    pub(crate) since: Timestamp,
    pub(crate) written_off: Option<WrittenOff>,
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
pub(super) struct Progress {
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
    pub(super) const fn begin_at(&mut self, next: u64) {
        self.next = next;
    }

    /// As it is stored: a gap below it.
    pub(super) fn keep(&mut self, from: u64, gap: Gap) {
        self.gaps.insert(from, gap);
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The gaps, ascending, each with its first number.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (u64, &Gap)> {
        self.gaps.iter().map(|(from, gap)| (*from, gap))
    }

    /// Counts an event in.
    pub(super) fn arrive(&mut self, seq: u64, now: Timestamp) -> Arrival {
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
    pub(super) fn billed(&self) -> u64 {
        let waited_for = self.gaps.iter().find(|(_, gap)| gap.written_off.is_none());
        waited_for.map_or(self.next, |(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Progress, WrittenOff};
    use domain::time::Timestamp;
    use proptest::prelude::{Strategy, prop_oneof, proptest};
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp(1_000);

    impl Progress {
        /// Gives up the gap with that number in it, if there is one.
        fn write_off(&mut self, seq: u64) -> BTreeSet<u64> {
            let found = self.gaps.range_mut(..=seq).next_back().filter(|(_, gap)| gap.to >= seq);
            let Some((from, gap)) = found else { return BTreeSet::new() };
            gap.written_off = Some(WrittenOff { at: NOW, reason: "lost".to_owned() });
            (*from..=gap.to).collect()
        }
    }

    #[test]
    fn a_gap_is_kept_until_every_number_in_it_has_come() {
        let mut progress = Progress::default();
        let table = [
            // arrives, is, billed below
            (1, Arrival::Fresh, 2),
            (5, Arrival::Fresh, 2),
            (5, Arrival::Duplicate, 2),
            (3, Arrival::Fresh, 2),
            (3, Arrival::Duplicate, 2),
            (2, Arrival::Fresh, 4),
            (1, Arrival::Duplicate, 4),
            (4, Arrival::Fresh, 6),
            (6, Arrival::Fresh, 7),
            (0, Arrival::Impossible, 7),
            (u64::MAX, Arrival::Impossible, 7),
        ];
        for (seq, arrival, billed) in table {
            assert_eq!((progress.arrive(seq, NOW), progress.billed()), (arrival, billed), "{seq}");
        }
        assert!(progress.gaps.is_empty());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Arrive(u64),
        WriteOff(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..40_u64).prop_map(Step::Arrive),
            1 => (1..40_u64).prop_map(Step::WriteOff),
        ]
    }

    proptest! {
        /// A set says the same, whatever the order, and whatever was given up before it came.
        #[test]
        fn each_number_is_fresh_once(steps in proptest::collection::vec(step(), 0..200)) {
            let mut progress = Progress::default();
            let mut seen = BTreeSet::new();
            let mut given_up = BTreeSet::new();
            for step in steps {
                match step {
                    Step::WriteOff(seq) => given_up.extend(progress.write_off(seq)),
                    Step::Arrive(seq) => {
                        let fresh = if seen.insert(seq) { Arrival::Fresh } else { Arrival::Duplicate };
                        assert_eq!(progress.arrive(seq, NOW), fresh);
                    }
                }
                let is_over = |seq: &u64| seen.contains(seq) || given_up.contains(seq);
                let prefix = (1..).find(|seq| !is_over(seq)).unwrap();
                assert_eq!(progress.billed(), prefix);
                let highest = seen.last().copied().unwrap_or(0);
                let missing: u64 = progress.gaps().map(|(from, gap)| gap.to - from + 1).sum();
                assert_eq!(u64::try_from(seen.len()).unwrap() + missing, highest);
            }
        }
    }
}
