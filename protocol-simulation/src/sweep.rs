//! Many seeds, on all processors.

use crate::case::Case;
use crate::coverage::Seen;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// What took effect in all of them.
    pub seen: Seen,
    /// The first that was found to fail; of several, that of the smallest seed.
    pub failed: Option<Case>,
}

/// Runs the case of each seed until one fails.
#[must_use]
pub fn sweep(seeds: Range<u64>, case: impl Fn(u64) -> Case + Sync) -> Sweep {
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        let mut own = Sweep::default();
        while !has_failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let case = case(seed);
            let outcome = case.run();
            own.seen.add(&outcome.seen);
            if outcome.violation.is_some() {
                own.failed = Some(case);
                has_failed.store(true, Ordering::Relaxed);
            }
        }
        own
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let all = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a run ends")).collect::<Vec<_>>()
    });
    all.into_iter().fold(Sweep::default(), Sweep::and)
}

impl Sweep {
    fn and(mut self, other: Self) -> Self {
        self.seen.add(&other.seen);
        let failed = self.failed.into_iter().chain(other.failed);
        Self { seen: self.seen, failed: failed.min_by_key(|case| case.seed) }
    }
}
