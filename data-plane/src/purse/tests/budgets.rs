//! Keys with a budget: two slices, the wallet's first.

use super::world::{BUDGET, KEY, WALLET, World, nano, quiet, soon, until};
use crate::purse::HoldRefused;
use domain::escrow::slice::Settled;
use links::escrow::DenialReason;

#[tokio::test]
async fn a_request_of_a_budgeted_key_holds_wallet_and_budget() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    desk.welcome(&[(BUDGET, 50)]).await;
    until(|| world.purse.gauges().parked == nano(150)).await;
    let hold = world.hold_of_key(10, 40).await.unwrap();
    assert_eq!(world.purse.gauges().inflight, nano(80), "of each");
    let settled = hold.settle(nano(30));
    assert_eq!(settled, Settled { charged: nano(30), uncollected: nano(0) });
    assert_eq!(world.purse.gauges().parked, nano(70 + 20));
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_spent_budget_refuses_and_gives_the_wallets_money_back() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    let waiting = world.hold_soon(Some(KEY), 10, 40);
    let want = desk.want().await;
    assert_eq!((want.account, want.need), (BUDGET, nano(10)));
    assert_eq!(world.purse.gauges().inflight, nano(40), "the wallet was taken first");
    desk.deny(want, DenialReason::Insufficient, 9).await;
    assert_eq!(soon(waiting).await.unwrap().err(), Some(HoldRefused::KeyBudget));
    assert_eq!((world.purse.gauges().parked, world.purse.gauges().holds), (nano(100), 0));
}

#[tokio::test]
async fn a_budget_in_use_is_worth_another_try() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    desk.welcome(&[(BUDGET, 50)]).await;
    until(|| world.purse.gauges().parked == nano(150)).await;
    let running = world.hold_of_key(10, 45).await.unwrap();
    let waiting = world.hold_soon(Some(KEY), 10, 40);
    let want = desk.want().await;
    desk.deny(want, DenialReason::Insufficient, 0).await;
    assert_eq!(soon(waiting).await.unwrap().err(), Some(HoldRefused::InFlight));
    running.release();
}

#[tokio::test]
async fn a_wallet_without_money_is_named_before_the_budget() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let waiting = world.hold_soon(Some(KEY), 10, 40);
    let want = desk.want().await;
    assert_eq!(want.account, WALLET);
    desk.deny(want, DenialReason::Insufficient, 0).await;
    assert_eq!(soon(waiting).await.unwrap().err(), Some(HoldRefused::InsufficientBalance));
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_short_budget_shrinks_the_hold_of_the_wallet() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    let waiting = world.hold_soon(Some(KEY), 10, 40);
    let want = desk.want().await;
    desk.grant(want, 15, 0).await;
    let hold = soon(waiting).await.unwrap().unwrap();
    assert_eq!(hold.amount(), nano(15));
    assert_eq!((world.purse.gauges().parked, world.purse.gauges().inflight), (nano(85), nano(30)));
    hold.release();
}

#[tokio::test]
async fn a_top_up_needs_both_or_takes_neither() {
    let (world, mut desk) = World::warm(quiet(), 100).await;
    desk.welcome(&[(BUDGET, 50)]).await;
    until(|| world.purse.gauges().parked == nano(150)).await;
    let mut hold = world.hold_of_key(10, 40).await.unwrap();
    assert!(hold.try_top_up(nano(10)));
    assert!(!hold.try_top_up(nano(1)), "the budget has nothing left");
    assert_eq!((hold.amount(), world.purse.gauges().parked), (nano(50), nano(50)));
    let topped_up = tokio::spawn(async move { (hold.top_up(nano(20)).await, hold) });
    let want = desk.want().await;
    assert_eq!((want.account, want.need), (BUDGET, nano(20)));
    desk.grant(want, 70, 0).await;
    let (topped_up, hold) = soon(topped_up).await.unwrap();
    assert_eq!((topped_up, hold.amount()), (Ok(()), nano(70)));
    assert_eq!(world.purse.gauges().parked, nano(30));
    hold.release();
}

#[tokio::test]
async fn a_budgets_own_shortfall_is_not_money() {
    let (world, _desk) = World::warm(quiet(), 100).await;
    _desk.welcome(&[(BUDGET, 50)]).await;
    until(|| world.purse.gauges().parked == nano(150)).await;
    let settled = world.hold_of_key(10, 50).await.unwrap().settle(nano(80));
    assert_eq!(settled, Settled { charged: nano(80), uncollected: nano(0) });
}
