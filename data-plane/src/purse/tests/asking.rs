//! Slices that have not enough: one request asks.

use super::world::{WALLET, World, nano, quiet, soon, until};
use crate::purse::{HoldRefused, PurseSettings};
use links::escrow::DenialReason;
use std::time::Duration;

#[tokio::test]
async fn a_cold_request_waits_for_its_first_slice() {
    let settings = PurseSettings { store_holds: 4, ..quiet() };
    let (world, mut desk) = World::by_hand(settings).await;
    let waiting = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    assert_eq!((want.account, want.need, want.granted_seen), (WALLET, nano(10), nano(0)));
    assert_eq!(want.want, nano(40 + 4 * 40), "and a few holds in store");
    desk.grant(want, 200, 1_000).await;
    let hold = soon(waiting).await.unwrap().unwrap();
    assert_eq!((hold.amount(), world.purse.gauges().parked), (nano(40), nano(160)));
    world.hold(10, 40).await.unwrap().release();
    hold.release();
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_request_of_a_short_wallet_takes_what_it_chooses_of_the_free_money() {
    let (world, mut desk) = World::warm(quiet(), 5).await;
    let waiting = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    assert_eq!(want.need, nano(5), "what is missing from the least it can do with");
    desk.grant(want, 12, 8).await;
    let second = desk.want().await;
    assert_eq!(second.need, nano(8), "it chose all 20 that are free");
    desk.grant(second, 20, 0).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap().settle(nano(0)).charged, nano(0));
}

#[tokio::test]
async fn a_request_that_chooses_less_than_it_wants_takes_only_that() {
    let (world, mut desk) = World::warm(quiet(), 15).await;
    let waiting = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    assert_eq!(want.need, nano(0), "it could go on without");
    desk.deny(want, DenialReason::Insufficient, 0).await;
    let hold = soon(waiting).await.unwrap().unwrap();
    assert_eq!(hold.amount(), nano(15));
    hold.release();
}

/// What becomes of a request for which the wallet is denied, while `running` is held here.
async fn refusal(reason: DenialReason, running: i64) -> HoldRefused {
    let (world, mut desk) = World::warm(quiet(), 50).await;
    let held = world.hold(1, running).await.unwrap();
    let waiting = world.hold_soon(None, 60, 60);
    let want = desk.want().await;
    desk.deny(want, reason, 0).await;
    let refused = soon(waiting).await.unwrap().err().unwrap();
    held.release();
    refused
}

#[tokio::test]
async fn a_refusal_is_final_only_if_nothing_is_held_anywhere() {
    let rows = [
        (DenialReason::Insufficient, 0, HoldRefused::InsufficientBalance),
        (DenialReason::Insufficient, 20, HoldRefused::InFlight),
        (DenialReason::InFlight, 0, HoldRefused::InFlight),
        (DenialReason::InFlight, 20, HoldRefused::InFlight),
        (DenialReason::Frozen, 0, HoldRefused::InsufficientBalance),
    ];
    for (reason, running, expected) in rows {
        assert_eq!(refusal(reason, running).await, expected, "{reason:?}, {running} running");
    }
}

#[tokio::test]
async fn a_refusal_for_money_held_elsewhere_is_counted() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let waiting = world.hold_soon(None, 60, 60);
    let want = desk.want().await;
    desk.deny(want, DenialReason::InFlight, 0).await;
    soon(waiting).await.unwrap().err().unwrap();
    assert_eq!(world.purse.gauges().refused_while_parked, 1);
}

#[tokio::test]
async fn money_that_others_take_meanwhile_is_asked_for_only_so_often() {
    let settings = PurseSettings { rounds_max: 3, ..quiet() };
    let (world, mut desk) = World::by_hand(settings).await;
    let waiting = world.hold_soon(None, 10, 10);
    for _ in 0..3 {
        let want = desk.want().await;
        desk.deny(want, DenialReason::InFlight, 1_000).await;
    }
    assert_eq!(soon(waiting).await.unwrap().err(), Some(HoldRefused::InFlight));
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_slow_answer_makes_the_request_retryable_and_is_not_lost() {
    let settings = PurseSettings { wait_max: Duration::from_millis(20), ..quiet() };
    let (world, mut desk) = World::by_hand(settings).await;
    let refused = world.hold(10, 40).await.err();
    assert_eq!(refused, Some(HoldRefused::Unreachable));
    let want = desk.want().await;
    desk.grant(want, 40, 0).await;
    until(|| world.purse.gauges().parked == nano(40)).await;
    world.hold(10, 40).await.unwrap().release();
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_want_that_is_never_answered_is_sent_again() {
    let settings = PurseSettings { answer_within: Duration::from_millis(20), ..quiet() };
    let (world, mut desk) = World::by_hand(settings).await;
    let waiting = world.hold_soon(None, 10, 40);
    let never_answered = desk.want().await;
    let sent_again = desk.want().await;
    assert!(sent_again.want_id > never_answered.want_id);
    desk.grant(sent_again, 40, 0).await;
    soon(waiting).await.unwrap().unwrap().release();
}

#[tokio::test]
async fn when_nobody_answers_in_time_the_money_at_hand_is_used() {
    let settings = PurseSettings { wait_max: Duration::from_millis(20), ..quiet() };
    let (world, _desk) = World::warm(settings, 15).await;
    let hold = world.hold(10, 40).await.unwrap();
    assert_eq!(hold.amount(), nano(15));
    hold.release();
}

#[tokio::test]
async fn a_running_request_asks_for_what_is_not_at_hand() {
    let (world, mut desk) = World::warm(quiet(), 50).await;
    let mut hold = world.hold(1, 50).await.unwrap();
    let purse = world.purse.clone();
    let topped_up = tokio::spawn(async move {
        let granted = hold.top_up(nano(30)).await;
        let denied = hold.top_up(nano(30)).await;
        (granted, denied, hold.amount(), hold.settle(nano(80)))
    });
    let want = desk.want().await;
    assert_eq!(want.need, nano(30));
    desk.grant(want, 80, 100).await;
    let want = desk.want().await;
    desk.deny(want, DenialReason::Insufficient, 0).await;
    let (granted, denied, amount, settled) = soon(topped_up).await.unwrap();
    assert_eq!(granted, Ok(()));
    assert_eq!(denied, Err(HoldRefused::InsufficientBalance), "only itself holds any");
    assert_eq!((amount, settled.charged), (nano(80), nano(80)));
    assert_eq!(purse.gauges().parked, nano(0));
}

#[tokio::test]
async fn a_request_that_goes_away_while_it_waits_leaves_nothing_behind() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let waiting = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    waiting.abort();
    drop(waiting.await);
    desk.grant(want, 40, 0).await;
    until(|| world.purse.gauges().parked == nano(40)).await;
    world.hold(10, 40).await.unwrap().release();
    assert_eq!(world.purse.gauges().holds, 0);
}
