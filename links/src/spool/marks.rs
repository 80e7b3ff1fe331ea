//! One sequence number per partition.

use domain::id::{PARTITIONS, Partition};

/// The next sequence number of each partition: all below are given out, or billed. Begins at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    pub(super) fn first() -> Self {
        Self((0..PARTITIONS).map(|_| 1).collect())
    }

    /// Of a partition that exists; of another one, none.
    pub(super) fn get(&self, partition: Partition) -> Option<u64> {
        self.0.get(usize::try_from(partition.0).ok()?).copied()
    }

    /// Moves a mark forward, never back.
    pub(super) fn raise(&mut self, partition: Partition, next: u64) {
        let mark = usize::try_from(partition.0).ok().and_then(|at| self.0.get_mut(at));
        if let Some(mark) = mark {
            *mark = next.max(*mark);
        }
    }

    /// Whether no mark is below that of `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine >= theirs)
    }

    /// How many sequence numbers lie between `earlier` and these.
    pub(super) fn since(&self, earlier: &Self) -> u64 {
        self.0.iter().zip(&earlier.0).map(|(now, then)| now.saturating_sub(*then)).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Partition, u64)> {
        (0..PARTITIONS).map(Partition).zip(self.0.iter().copied())
    }
}
