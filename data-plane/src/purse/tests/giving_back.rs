//! Recalls, idle slices, reports: what is given back is durable before anyone hears of it.

use super::world::{WALLET, World, nano, quiet, soon, until};
use crate::purse::PurseSettings;
use links::escrow::{SliceReport, ToDataPlane};
use std::cell::Cell;
use std::time::Duration;

fn report(granted: i64, released: i64, spent: i64, inflight: i64) -> SliceReport {
    SliceReport {
        account: WALLET,
        granted_seen: nano(granted),
        released: nano(released),
        spent: nano(spent),
        inflight: nano(inflight),
    }
}

#[tokio::test]
async fn a_recall_gives_back_what_no_request_holds_and_says_so_at_once() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    let hold = world.hold(1, 30).await.unwrap();
    world.hold(1, 20).await.unwrap().settle(nano(5));
    desk.send(ToDataPlane::Recall(WALLET)).await;
    assert_eq!(desk.report().await, vec![report(100, 65, 5, 30)]);
    assert_eq!(hold.settle(nano(30)).charged, nano(30));
    desk.send(ToDataPlane::Recall(WALLET)).await;
    assert_eq!(desk.report().await, vec![report(100, 65, 35, 0)], "nothing more to give");
}

#[tokio::test]
async fn what_was_told_as_given_back_is_gone_after_a_restart() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    desk.send(ToDataPlane::Recall(WALLET)).await;
    assert_eq!(desk.report().await, vec![report(100, 100, 0, 0)]);
    let mut world = world.restarted(quiet()).await;
    let connection = soon(world.listener.accept()).await.unwrap();
    assert_eq!(connection.hello.slices, vec![report(100, 100, 0, 0)]);
}

#[tokio::test]
async fn a_release_that_cannot_be_made_durable_is_not_told() {
    let settings = PurseSettings { report_every: Duration::from_millis(5), ..quiet() };
    let (world, mut desk) = World::warm(settings, 100).await;
    assert_eq!(desk.report().await, vec![report(100, 0, 0, 0)]);
    world.spool.close().await.unwrap();
    desk.send(ToDataPlane::Recall(WALLET)).await;
    until(|| world.purse.gauges().parked == nano(0)).await;
    let hello = world.purse.hello();
    assert_eq!(hello.slices, vec![report(100, 0, 0, 0)], "lowered here, but not told");
}

#[tokio::test]
async fn a_slice_that_lies_idle_is_given_back() {
    let settings = PurseSettings {
        report_every: Duration::from_millis(10),
        idle_release_after: Duration::from_millis(30),
        ..quiet()
    };
    let (world, mut desk) = World::warm(settings, 100).await;
    let hold = world.hold(1, 30).await.unwrap();
    assert_eq!(desk.report().await, vec![report(100, 0, 0, 30)], "a slice in use stays");
    hold.settle(nano(10));
    loop {
        let told = desk.report().await;
        if told == vec![report(100, 90, 10, 0)] {
            break;
        }
        assert_eq!(told, vec![report(100, 0, 10, 0)]);
    }
    assert_eq!(world.purse.gauges().parked, nano(0));
}

#[tokio::test]
async fn changes_are_told_every_few_seconds_and_only_changes() {
    let settings = PurseSettings { report_every: Duration::from_millis(10), ..quiet() };
    let (world, mut desk) = World::warm(settings, 100).await;
    assert_eq!(desk.report().await, vec![report(100, 0, 0, 0)]);
    world.hold(1, 30).await.unwrap().settle(nano(7));
    assert_eq!(desk.report().await, vec![report(100, 0, 7, 0)]);
    let hold = world.hold(1, 30).await.unwrap();
    assert_eq!(desk.report().await, vec![report(100, 0, 7, 30)]);
    hold.release();
}

#[tokio::test]
async fn draining_gives_back_at_once_what_no_request_holds() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    world.purse.drain();
    assert_eq!(desk.report().await, vec![report(100, 100, 0, 0)]);
    assert_eq!(world.purse.gauges().parked, nano(0));
}

#[tokio::test]
async fn draining_leaves_a_running_request_what_it_may_need_and_gives_that_back_when_it_ends() {
    let settings = PurseSettings { report_every: Duration::from_millis(10), ..quiet() };
    let (world, mut desk) = World::warm(settings, 100).await;
    assert_eq!(desk.report().await, vec![report(100, 0, 0, 0)]);
    let hold = world.hold(1, 30).await.unwrap();
    assert_eq!(desk.report().await, vec![report(100, 0, 0, 30)]);
    world.purse.drain();
    desk.expect_nothing().await;
    hold.settle(nano(10));
    loop {
        let told = desk.report().await;
        if told == vec![report(100, 90, 10, 0)] {
            break;
        }
        assert_eq!(told, vec![report(100, 0, 10, 0)]);
    }
}

#[tokio::test]
async fn without_a_control_plane_draining_keeps_the_money_for_the_next_life() {
    let (mut world, desk) = World::warm(quiet(), 100).await;
    drop(desk);
    until(|| !world.purse.is_connected()).await;
    world.purse.drain();
    // By the time that it is back, it has long looked at what it has.
    soon(world.listener.accept()).await.unwrap();
    assert_eq!(world.purse.gauges().parked, nano(100));
}

#[tokio::test]
async fn stopping_gives_back_what_no_request_holds_and_waits_until_that_was_heard() {
    let (mut world, mut desk) = World::warm(quiet(), 100).await;
    let hold = world.hold(1, 30).await.unwrap();
    let has_stopped = Cell::new(false);
    let stops = async {
        world.stop().await;
        has_stopped.set(true);
    };
    let hears = async {
        assert_eq!(desk.report().await, vec![report(100, 70, 0, 30)]);
        assert_eq!(desk.connection.next().await, None);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(!has_stopped.get(), "nobody has said yet that it was taken in");
        drop(desk);
    };
    futures::join!(stops, hears);
    hold.release();
}
