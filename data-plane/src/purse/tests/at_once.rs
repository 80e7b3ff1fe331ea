//! Warm slices.

use super::world::{WALLET, World, nano, quiet, until};
use crate::purse::PurseSettings;
use domain::escrow::slice::Settled;

fn renewing() -> PurseSettings {
    PurseSettings { renew_below_percent: 50, ..quiet() }
}

#[tokio::test]
async fn a_warm_slice_holds_without_asking() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    let first = world.hold(1, 60).await.unwrap();
    let second = world.hold(1, 40).await.unwrap();
    assert_eq!((first.amount(), second.amount()), (nano(60), nano(40)));
    let gauges = world.purse.gauges();
    assert_eq!((gauges.parked, gauges.inflight, gauges.holds), (nano(0), nano(100), 2));
    first.release();
    second.release();
    assert_eq!(world.purse.gauges().parked, nano(100));
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_settled_hold_charges_its_cost_and_frees_the_rest() {
    let (world, _desk) = World::warm(quiet(), 100).await;
    let settled = world.hold(1, 60).await.unwrap().settle(nano(25));
    assert_eq!(settled, Settled { charged: nano(25), uncollected: nano(0) });
    assert_eq!((world.purse.gauges().parked, world.purse.gauges().holds), (nano(75), 0));
}

#[tokio::test]
async fn a_cost_above_the_hold_takes_what_is_free_and_the_rest_is_the_companys_loss() {
    let (world, _desk) = World::warm(quiet(), 100).await;
    let running = world.hold(1, 30).await.unwrap();
    let settled = world.hold(1, 60).await.unwrap().settle(nano(90));
    assert_eq!(settled, Settled { charged: nano(70), uncollected: nano(20) });
    assert_eq!(running.settle(nano(30)).charged, nano(30), "another's hold is never touched");
}

#[tokio::test]
async fn a_running_request_tops_up_from_what_is_at_hand() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    let mut hold = world.hold(1, 60).await.unwrap();
    assert!(hold.try_top_up(nano(40)));
    assert!(!hold.try_top_up(nano(1)), "nothing is left");
    assert_eq!(hold.amount(), nano(100));
    desk.expect_nothing().await;
    assert_eq!(hold.settle(nano(100)).charged, nano(100));
}

#[tokio::test]
async fn a_dropped_hold_is_never_freed_by_accident() {
    let (world, _desk) = World::warm(quiet(), 100).await;
    drop(world.hold(1, 60).await.unwrap());
    assert_eq!(world.purse.gauges().inflight, nano(60));
}

#[tokio::test]
async fn a_slice_that_runs_low_is_renewed_beside_the_path() {
    let (world, mut desk) = World::warm(renewing(), 100).await;
    let first = world.hold(1, 50).await.unwrap();
    desk.expect_nothing().await;
    let second = world.hold(1, 1).await.unwrap();
    let renewal = desk.want().await;
    assert_eq!((renewal.account, renewal.need), (WALLET, nano(0)));
    assert_eq!(renewal.want, nano(100 - 49), "as much as it had");
    let third = world.hold(1, 49).await.unwrap();
    desk.expect_nothing().await;
    desk.grant(renewal, 151, 1_000).await;
    until(|| world.purse.gauges().parked == nano(51)).await;
    [first, second, third].into_iter().for_each(|hold| hold.release());
}

#[tokio::test]
async fn a_renewal_that_brought_too_little_is_not_repeated_at_once() {
    let (world, mut desk) = World::warm(renewing(), 100).await;
    let first = world.hold(1, 90).await.unwrap();
    let renewal = desk.want().await;
    desk.grant(renewal, 101, 0).await;
    until(|| world.purse.gauges().parked == nano(11)).await;
    world.hold(1, 8).await.unwrap().release();
    first.release();
    world.hold(1, 100).await.unwrap().release();
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_top_up_renews_as_well() {
    let (world, mut desk) = World::warm(renewing(), 100).await;
    let mut hold = world.hold(1, 10).await.unwrap();
    assert!(hold.try_top_up(nano(80)));
    assert_eq!(desk.want().await.need, nano(0));
    hold.release();
}
