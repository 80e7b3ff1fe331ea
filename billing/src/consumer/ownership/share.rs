//! Who should have how much of a topic. Pure.

use domain::id::{PARTITIONS, Partition};
use std::collections::BTreeMap;

/// A partition, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Empty: nobody.
    pub(super) owner: String,
    pub(super) epoch: u64,
    pub(super) next_offset: u64,
    pub(super) renewed_us: i64,
}

/// Who asks, and among how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a> {
    pub(super) me: &'a str,
    /// All that were seen lately, the one who asks among them.
    pub(super) consumers: u64,
    /// By the clock of the rows.
    pub(super) now_us: i64,
    /// An owner that was heard of longer ago has lost its partition to whoever claims it.
    pub(super) stale_after_us: i64,
}

/// What one consumer is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) let_go: Vec<Partition>,
    pub(super) claim: Vec<Partition>,
}

/// Nobody has more than an equal part, rounded up; who has less claims what is free.
pub(super) fn decide(rows: &BTreeMap<Partition, Row>, shared: Shared<'_>) -> Decision {
    let fair = u64::from(PARTITIONS).div_ceil(shared.consumers.max(1));
    let fair = usize::try_from(fair).unwrap_or(usize::MAX);
    let own = rows.iter().filter(|(_, row)| row.owner == shared.me);
    let own: Vec<Partition> = own.map(|(partition, _)| *partition).collect();
    let let_go = own.iter().skip(fair).copied().collect();
    // Who was heard of in what is to come was so before the clock was set back.
    let stale_after = shared.stale_after_us.unsigned_abs();
    let is_stale = |row: &Row| row.renewed_us.abs_diff(shared.now_us) > stale_after;
    let is_free = |row: &Row| row.owner.is_empty() || (row.owner != shared.me && is_stale(row));
    let free = rows.iter().filter(|(_, row)| is_free(row)).map(|(partition, _)| *partition);
    let claim = free.take(fair.saturating_sub(own.len())).collect();
    Decision { let_go, claim }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Row, Shared, decide};
    use domain::id::{PARTITIONS, Partition};
    use proptest::prelude::proptest;
    use std::collections::BTreeMap;

    type Rows = BTreeMap<Partition, Row>;

    fn nobodys() -> Rows {
        let row = Row { owner: String::new(), epoch: 0, next_offset: 0, renewed_us: 0 };
        (0..PARTITIONS).map(|number| (Partition(number), row.clone())).collect()
    }

    /// Does what was decided.
    fn turn(rows: &mut Rows, me: &str, consumers: u64, now: i64) -> Decision {
        rows.values_mut().filter(|row| row.owner == me).for_each(|row| row.renewed_us = now);
        let decision = decide(rows, Shared { me, consumers, now_us: now, stale_after_us: 10 });
        for partition in &decision.let_go {
            rows.get_mut(partition).unwrap().owner.clear();
        }
        for partition in &decision.claim {
            let row = rows.get_mut(partition).unwrap();
            *row =
                Row { owner: me.to_owned(), epoch: row.epoch + 1, renewed_us: now, ..row.clone() };
        }
        decision
    }

    fn count(rows: &Rows, owner: &str) -> usize {
        rows.values().filter(|row| row.owner == owner).count()
    }

    #[test]
    fn one_who_comes_gets_its_part_and_what_the_dead_had_is_shared() {
        let mut rows = nobodys();
        turn(&mut rows, "a", 1, 100);
        assert_eq!(count(&rows, "a"), 64);
        turn(&mut rows, "b", 2, 101);
        assert_eq!(
            (count(&rows, "a"), count(&rows, "b")),
            (64, 0),
            "nothing is taken from the living"
        );
        turn(&mut rows, "a", 2, 102);
        turn(&mut rows, "b", 2, 103);
        assert_eq!((count(&rows, "a"), count(&rows, "b")), (32, 32));
        assert_eq!(turn(&mut rows, "a", 2, 104), Decision::default());
        // One that is silent has its part until it is stale.
        assert_eq!(turn(&mut rows, "a", 1, 113), Decision::default());
        turn(&mut rows, "a", 1, 114);
        assert_eq!((count(&rows, "a"), count(&rows, "b")), (64, 0));
        assert!(rows.values().all(|row| row.epoch >= 1));
    }

    proptest! {
        /// Whoever comes and goes: after two rounds of the living, everything is somebody's who lives, in equal parts.
        #[test]
        fn all_is_owned_by_the_living_in_equal_parts(
            before in proptest::collection::vec(0..6_usize, 0..40),
            living in 1..6_usize,
        ) {
            let names = ["a", "b", "c", "d", "e", "f"];
            let mut rows = nobodys();
            for (at, who) in (0..).zip(&before) {
                turn(&mut rows, names[*who], 6, at);
            }
            let consumers = u64::try_from(living).unwrap();
            for round in 0..2 {
                for name in &names[..living] {
                    turn(&mut rows, name, consumers, 1000 + round);
                }
            }
            let fair = usize::try_from(PARTITIONS).unwrap().div_ceil(living);
            let owned: Vec<usize> = names[..living].iter().map(|name| count(&rows, name)).collect();
            assert_eq!(owned.iter().sum::<usize>(), usize::try_from(PARTITIONS).unwrap());
            assert!(owned.iter().all(|count| *count <= fair), "{owned:?}");
        }
    }
}
