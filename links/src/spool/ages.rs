//! Since when each partition has waited for billing, from a bounded sample of its events.

use super::marks::Marks;
use domain::id::{PARTITIONS, Partition};
use std::collections::VecDeque;

const SAMPLES_MAX: usize = 128;
const STEP_US_FIRST: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct Sample {
    seq: u64,
    ended_us: u64,
}

/// The samples of one partition, at least `step_us` apart.
#[derive(Debug)]
struct Samples {
    step_us: u64,
    kept: VecDeque<Sample>,
    last: Option<Sample>,
}

#[derive(Debug)]
pub(super) struct Ages(Vec<Samples>);

impl Ages {
    pub(super) fn new() -> Self {
        Self((0..PARTITIONS).map(|_| Samples::new()).collect())
    }

    /// Notes an event that was appended.
    pub(super) fn push(&mut self, partition: Partition, seq: u64, ended_us: u64) {
        let samples = usize::try_from(partition.0).ok().and_then(|at| self.0.get_mut(at));
        if let Some(samples) = samples {
            samples.push(Sample { seq, ended_us });
        }
    }

    /// Lets go of what is billed.
    pub(super) fn forget(&mut self, billed: &Marks) {
        for (samples, (_, billed)) in self.0.iter_mut().zip(billed.iter()) {
            samples.forget(billed);
        }
    }

    /// When the oldest event that is not billed ended: exactly where one waits or all do, else a little early.
    pub(super) fn oldest_us(&self, billed: &Marks, next: &Marks) -> Option<u64> {
        let marks = billed.iter().zip(next.iter()).map(|((_, billed), (_, next))| (billed, next));
        let waiting = self.0.iter().zip(marks).filter(|(_, (billed, next))| billed < next);
        waiting.filter_map(|(samples, (billed, _))| samples.oldest_us(billed)).min()
    }
}

impl Samples {
    const fn new() -> Self {
        Self { step_us: STEP_US_FIRST, kept: VecDeque::new(), last: None }
    }

    fn push(&mut self, sample: Sample) {
        self.last = Some(sample);
        let due_us = self.kept.back().map_or(0, |back| back.ended_us.saturating_add(self.step_us));
        if sample.ended_us < due_us {
            return;
        }
        if self.kept.len() >= SAMPLES_MAX {
            self.thin_out();
        }
        self.kept.push_back(sample);
    }

    fn thin_out(&mut self) {
        let mut keep = false;
        self.kept.retain(|_| {
            keep = !keep;
            keep
        });
        self.step_us = self.step_us.saturating_mul(2);
    }

    /// Keeps the last sample at or before the mark: what waits ended after it, and before the next one.
    fn forget(&mut self, billed: u64) {
        while self.kept.get(1).is_some_and(|second| second.seq <= billed) {
            self.kept.pop_front();
        }
        if self.kept.len() <= 1 {
            self.step_us = STEP_US_FIRST;
        }
    }

    fn oldest_us(&self, billed: u64) -> Option<u64> {
        let last = self.last.filter(|last| last.seq == billed);
        last.or(self.kept.front().copied()).map(|sample| sample.ended_us)
    }
}
