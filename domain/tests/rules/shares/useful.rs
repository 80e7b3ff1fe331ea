//! What is limited can be used: at least nineteen of twenty wherever it is asked for, once the seats are taken or while they
//! are not, and what is parked for the dead comes back.

use super::step::{DATA_PLANES, LIMITS, Step};
use super::world::{World, WrongClock};
use domain::time::{MINUTE_US, Timestamp};
use proptest::prelude::*;

const TICK_US: u64 = 250_000;
const TICKS: u64 = MINUTE_US / TICK_US;

/// How many requests each data plane gets in a minute.
type Demand = [u64; DATA_PLANES];

fn calm_world(stands_for: u64) -> World {
    let ahead = |ahead_us| WrongClock { rate_ppm: 0, ahead_us };
    let clocks = [ahead(0), ahead(3_600_000_000), ahead(59_000_000)];
    World::new(stands_for, 200, &clocks)
}

/// Lets a minute pass, from its beginning, in which all goes well. Who is refused waits a moment, as long as it takes to ask.
fn pass_minute(world: &mut World, limit: usize, demand: Demand) -> u64 {
    world.now = world.now.next_minute();
    let minute = world.now.minute();
    for tick in 0..TICKS {
        if tick % 4 == 0 {
            world.calm();
        }
        for (data_plane, demand) in demand.into_iter().enumerate() {
            let due = demand * (tick + 1) / TICKS - demand * tick / TICKS;
            for _ in 0..due {
                let mut tries = 0..3;
                while tries.next().is_some() && world.request(data_plane, limit, 1, 1) == 0 {
                    world.rush();
                }
            }
        }
        let checked = world.check();
        assert!(checked.is_ok(), "{checked:?}");
        world.now.0 += TICK_US - u64::from(tick + 1 == TICKS);
    }
    world.admitted_in(limit, minute).amount
}

/// Nineteen of twenty of what there is, or of what was asked for if that is less.
fn enough(limit: u64, demand: Demand) -> u64 {
    limit.min(demand.iter().sum()) * 19 / 20
}

/// Demand for more than the limit, all from one, from two, or from all.
fn any_demand() -> impl Strategy<Value = [u64; DATA_PLANES]> {
    let weight = || prop_oneof![Just(0_u64), Just(10), 1..10_u64];
    [weight(), weight(), weight()].prop_map(|weights| {
        let all: u64 = weights.iter().sum::<u64>().max(1);
        weights.map(|weight| weight * 100 / all)
    })
}

fn of_limit(percent: Demand, limit: u64) -> Demand {
    percent.map(|percent| percent * limit * 3 / 200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn of_every_limit_nineteen_of_twenty_can_be_used_where_they_are_asked_for(
        limit in 0..LIMITS.len(),
        first in any_demand(),
        second in any_demand(),
    ) {
        let mut world = calm_world(1_000);
        let most = LIMITS[limit];
        let (first, second) = (of_limit(first, most), of_limit(second, most));
        let demands = [first, first, first, second, second, first, second, second, second];
        for (minute, demand) in demands.into_iter().enumerate() {
            let admitted = pass_minute(&mut world, limit, demand);
            // In the minute in which the first data plane ceases to be alone, nobody knows what it has used.
            let is_enough = minute == 0 || admitted >= enough(most, demand);
            prop_assert!(is_enough, "{admitted} of {most} in minute {minute} of {demands:?}");
        }
        prop_assert_eq!(world.office.fleet.seated.of, 3, "all have seats by now");
    }
}

/// All have their seats, and half of what there is is asked of each.
fn settled_world(stands_for: u64, limit: usize) -> (World, Demand) {
    let mut world = calm_world(stands_for);
    let demand = [LIMITS[limit] / 2; DATA_PLANES];
    for _ in 0..7 {
        pass_minute(&mut world, limit, demand);
    }
    assert_eq!(world.office.fleet.seated.of, 3);
    (world, demand)
}

#[test]
fn what_a_dead_data_plane_held_is_parked_until_it_lapses() {
    for (limit, most) in LIMITS.into_iter().enumerate() {
        let (mut world, mut demand) = settled_world(5, limit);
        demand[2] = 0;
        world.take(&Step::Stop { data_plane: 2 });
        pass_minute(&mut world, limit, demand);
        let parked = most - pass_minute(&mut world, limit, demand);
        assert!(parked > 0 && parked <= most * 2 / 5, "{parked} of {most} are parked");
        for _ in 0..4 {
            pass_minute(&mut world, limit, demand);
        }
        let admitted = pass_minute(&mut world, limit, demand);
        assert!(admitted >= most * 19 / 20, "{admitted} of {most} once it has lapsed");
    }
}

#[test]
fn what_one_leaves_is_there_for_others_in_the_next_minute() {
    for (limit, most) in LIMITS.into_iter().enumerate() {
        let (mut world, mut demand) = settled_world(1_000, limit);
        world.now = Timestamp(world.now.next_minute().0 + MINUTE_US / 2);
        world.calm();
        world.leave(2);
        world.planes[2].memory = None;
        demand[2] = 0;
        let admitted = pass_minute(&mut world, limit, demand);
        assert!(admitted >= most * 19 / 20, "{admitted} of {most}");
    }
}

#[test]
fn without_a_control_plane_the_last_share_stands() {
    for (limit, most) in LIMITS.into_iter().enumerate() {
        let (mut world, demand) = settled_world(1_000, limit);
        world.is_cut_off = [true; DATA_PLANES];
        pass_minute(&mut world, limit, demand);
        for _ in 0..3 {
            let admitted = pass_minute(&mut world, limit, demand);
            assert!(admitted >= most * 19 / 20, "{admitted} of {most}");
        }
        world.is_cut_off = [false; DATA_PLANES];
        pass_minute(&mut world, limit, demand);
        let admitted = pass_minute(&mut world, limit, demand);
        assert!(admitted >= most * 19 / 20, "{admitted} of {most} once it is back");
    }
}

#[test]
fn one_that_is_cut_off_keeps_its_part_and_the_others_have_the_rest() {
    for (limit, most) in LIMITS.into_iter().enumerate() {
        let (mut world, demand) = settled_world(1_000, limit);
        world.is_cut_off[0] = true;
        for minute in 0..4 {
            let admitted = pass_minute(&mut world, limit, demand);
            // In the first minute it may have said that it draws, and cannot.
            let is_enough = minute == 0 || admitted >= most * 19 / 20;
            assert!(is_enough, "{admitted} of {most} in minute {minute}");
        }
    }
}
