//! The escrow: tables for each step, and a world of one wallet and several data planes in which messages are lost,
//! repeated and reordered, processes die and the database forgets, checked after every step.

mod row;
mod office;
mod life;
mod step;
mod books;
mod world;

use domain::escrow::slice::{Settled, Slice};
use domain::escrow::wallet::{Ask, SliceTotals, Wallet, grant};
use domain::money::Nano;
use proptest::prelude::*;
use step::{Step, any_step, any_step_or_loss};
use world::World;

fn nano(n: i64) -> Nano {
    Nano::new(n).expect("within range")
}

fn sum(amounts: impl IntoIterator<Item = Nano>) -> Nano {
    amounts.into_iter().fold(Nano::ZERO, |sum, amount| sum.plus(amount).expect("within range"))
}

#[test]
fn a_hold_takes_only_what_is_there() {
    let mut slice = Slice::default();
    assert!(slice.hold(nano(1)).is_none());
    assert!(slice.learn_granted(nano(100)));
    let mut hold = slice.hold(nano(60)).unwrap();
    assert!(slice.hold(nano(41)).is_none());
    assert!(slice.hold(nano(-1)).is_none());
    assert_eq!(slice.top_up(&mut hold, nano(41)), Err(nano(40)));
    assert_eq!(slice.top_up(&mut hold, nano(40)), Ok(()));
    assert_eq!((hold.amount(), slice.available()), (nano(100), Nano::ZERO));
    assert_eq!(
        slice.settle(hold, nano(30)),
        Settled { charged: nano(30), uncollected: Nano::ZERO }
    );
    assert_eq!(
        (slice.spent(), slice.inflight(), slice.available()),
        (nano(30), Nano::ZERO, nano(70))
    );
}

#[test]
fn cost_beyond_the_hold_takes_what_is_free_and_the_rest_is_the_companys_loss() {
    let mut slice = Slice::default();
    slice.learn_granted(nano(100));
    let other = slice.hold(nano(70)).unwrap();
    let hold = slice.hold(nano(10)).unwrap();
    assert_eq!(slice.settle(hold, nano(45)), Settled { charged: nano(30), uncollected: nano(15) });
    assert_eq!(slice.available(), Nano::ZERO, "what the other request holds is untouched");
    let nothing = Settled { charged: Nano::ZERO, uncollected: Nano::ZERO };
    assert_eq!(slice.settle(other, nano(-5)), nothing);
    assert_eq!(slice.spent(), nano(30), "a negative cost earns nothing");
}

#[test]
fn old_and_repeated_grants_and_releases_change_nothing() {
    let mut slice = Slice::default();
    assert!(slice.learn_granted(nano(50)));
    assert!(!slice.learn_granted(nano(50)) && !slice.learn_granted(nano(20)));
    assert_eq!(slice.granted(), nano(50));

    let mut totals = SliceTotals { granted: nano(50), ..SliceTotals::default() };
    assert_eq!(totals.learn_released(nano(20)), nano(20));
    assert_eq!(totals.learn_released(nano(20)), Nano::ZERO);
    assert_eq!(totals.learn_released(nano(5)), Nano::ZERO);
    assert_eq!((totals.released, totals.held()), (nano(20), nano(30)));
}

#[test]
fn release_gives_back_only_what_nobody_holds() {
    let mut slice = Slice::default();
    slice.learn_granted(nano(100));
    let hold = slice.hold(nano(30)).unwrap();
    assert_eq!(slice.release(nano(500)), nano(70));
    assert_eq!(slice.release(nano(1)), Nano::ZERO);
    assert_eq!(slice.release(nano(-1)), Nano::ZERO);
    assert_eq!(slice.settle(hold, nano(30)).charged, nano(30));
}

#[test]
fn a_wallet_gives_back_no_more_than_its_slice_holds_whatever_is_claimed() {
    let mut totals = SliceTotals { granted: nano(50), released: Nano::ZERO, settled: nano(40) };
    assert_eq!(totals.learn_released(nano(1_000)), nano(10));
    assert_eq!(totals.settle(nano(7)), Nano::ZERO);
    assert_eq!(totals.held(), Nano::ZERO);
    assert_eq!(totals.settle(nano(-7)), Nano::ZERO);
}

#[test]
fn a_grant_is_the_need_and_a_fair_share_of_half_of_the_rest() {
    let table = [
        // free, need, want, data planes, granted
        (1_000, 10, 100, 1, Some(100)),
        (1_000, 10, 900, 1, Some(250)),
        (1_000, 10, 900, 4, Some(100)),
        (1_000, 600, 900, 1, Some(600)),
        (1_000, 1_000, 1_000, 4, Some(1_000)),
        (1_000, 1_001, 2_000, 1, None),
        (0, 0, 100, 1, None),
        (-5, 0, 100, 1, None),
        (1_000, -1, 100, 1, None),
        (1, 0, 100, u32::MAX, None),
    ];
    for (free, need, want, data_planes, granted) in table {
        let ask = Ask { need: nano(need), want: nano(want) };
        assert_eq!(
            grant(nano(free), ask, data_planes),
            granted.map(nano),
            "{free} {ask:?} {data_planes}"
        );
    }
}

#[test]
fn a_wallet_on_credit_may_go_down_to_its_limit() {
    let wallet = Wallet { posted: nano(-30), held: nano(15), credit_limit: nano(50) };
    assert_eq!(wallet.free(), nano(5));
    assert!(wallet.is_sound());
    assert!(!Wallet { held: nano(21), ..wallet }.is_sound());
    assert!(!Wallet { held: nano(-1), ..wallet }.is_sound());
}

proptest! {
    #[test]
    fn a_grant_is_within_what_is_free(
        free in -10_i64..1_000_000,
        need in -10_i64..1_000_000,
        want in -10_i64..2_000_000,
        data_planes in 0..200_u32,
    ) {
        let ask = Ask { need: nano(need), want: nano(want) };
        if let Some(granted) = grant(nano(free), ask, data_planes) {
            prop_assert!(granted.is_positive() && granted <= nano(free));
            prop_assert!(granted >= nano(need) && granted <= nano(need.max(want)));
        } else {
            prop_assert!(need < 0 || free < need || need == 0, "a need that is there is met");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_loss_repetition_reordering_or_death_overspends_a_wallet(
        credit_limit in prop_oneof![Just(0_i64), 0..5_000_i64],
        steps in prop::collection::vec(any_step(), 0..300),
    ) {
        live(credit_limit, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn lost_commits_cost_the_company_and_overdraw_nobody(
        credit_limit in prop_oneof![Just(0_i64), 0..5_000_i64],
        steps in prop::collection::vec(any_step_or_loss(), 0..300),
    ) {
        live(credit_limit, steps);
    }
}

fn live(credit_limit: i64, steps: Vec<Step>) {
    let mut world = World::new(credit_limit);
    for step in steps {
        world.take(&step);
        world.assert_sound(&step);
    }
    world.wind_down();
    world.assert_sound(&Step::WindDown);
    world.assert_settled();
}
