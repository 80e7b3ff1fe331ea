//! Limits among several data planes: tables for each step, and a world in which messages are lost, repeated and reordered,
//! clocks differ, and processes and disks die, checked after every step.

mod desk;
mod minutes;
mod office;
mod plane;
mod step;
mod tables;
mod useful;
mod world;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use step::{DATA_PLANES, any_step};
use world::{World, WrongClock};

const HOUR_US: u64 = 3_600_000_000;

fn any_clock() -> impl Strategy<Value = WrongClock> {
    (-10_000..10_000_i64, 0..2 * HOUR_US)
        .prop_map(|(rate_ppm, ahead_us)| WrongClock { rate_ppm, ahead_us })
}

fn any_clocks() -> impl Strategy<Value = Vec<WrongClock>> {
    prop::collection::vec(any_clock(), 1..=DATA_PLANES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 30_000, ..ProptestConfig::default() })]

    #[test]
    fn no_loss_repetition_reordering_death_or_clock_admits_more_than_a_limit(
        stands_for in 2..15_u64,
        clocks in any_clocks(),
        steps in prop::collection::vec(any_step(), 0..500),
    ) {
        // Clocks of the data planes run wrong by one in a hundred, and twice that is allowed for.
        let mut world = World::new(stands_for, 20_000, &clocks);
        for step in steps {
            world.take(&step);
            let checked = world.check();
            prop_assert!(checked.is_ok(), "after {step:?}: {}", checked.unwrap_err());
        }
    }
}

/// What never happens proves nothing.
#[test]
fn in_that_world_everything_happens() {
    let mut runner = TestRunner::deterministic();
    let strategy = (2..15_u64, any_clocks(), prop::collection::vec(any_step(), 500));
    let mut totals = [0_u64; 11];
    for _ in 0..100 {
        let (stands_for, clocks, steps) = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new(stands_for, 20_000, &clocks);
        for step in steps {
            world.take(&step);
        }
        let (requests, counts) = (world.requests, world.office.counts);
        let seen = [
            requests.alone,
            requests.shared,
            requests.at_boundaries,
            requests.after_a_restart,
            requests.refused,
            counts.raised,
            counts.lowered,
            counts.drawn,
            counts.seated_alone,
            counts.seated_together,
            counts.lapsed,
        ];
        totals.iter_mut().zip(seen).for_each(|(total, seen)| *total += seen);
    }
    assert!(totals.iter().all(|total| *total > 50), "{totals:?}");
}
