//! How far a stream of numbered events has come, in whatever order they arrive and whatever is given up.

use domain::time::Timestamp;
use domain::usage::progress::{Arrival, Gap, Progress, WrittenOff};
use proptest::prelude::{Strategy, prop_oneof, proptest};
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp(1_000);

/// Gives up the gap with that number in it, if there is one.
fn write_off(progress: &mut Progress, seq: u64) -> BTreeSet<u64> {
    let found = progress.gaps().find(|(from, gap)| *from <= seq && gap.to >= seq);
    let Some((from, gap)) = found.map(|(from, gap)| (from, gap.clone())) else {
        return BTreeSet::new();
    };
    let written_off = Some(WrittenOff { at: NOW, reason: "lost".to_owned() });
    let numbers = (from..=gap.to).collect();
    progress.keep(from, Gap { written_off, ..gap });
    numbers
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
    assert_eq!(progress.gaps().count(), 0);
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
                Step::WriteOff(seq) => given_up.extend(write_off(&mut progress, seq)),
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
