//! Many requests at once for a wallet that has not enough for all.

use super::desk::ByItself;
use super::world::{WALLET, World, hold, nano, quiet, soon};
use crate::purse::{HoldRefused, Purse, PurseHold, PurseSettings};
use domain::money::Nano;
use links::escrow::DenialReason;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const COST: i64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_requests_on_a_wallet_worth_50_exactly_50_are_admitted() {
    let desk = ByItself::with(&[(WALLET, 50 * COST)]);
    let mut world = World::start(PurseSettings { store_holds: 4, ..quiet() });
    desk.serve(soon(world.listener.accept()).await.unwrap());
    let end = Arc::new(Semaphore::new(0));
    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let (purse, end) = (world.purse.clone(), end.clone());
        crowd.spawn(async move {
            let held = hold(&purse, None, COST, COST).await?;
            drop(end.acquire().await);
            assert_eq!(held.settle(nano(COST)).charged, nano(COST));
            Ok::<(), HoldRefused>(())
        });
    }
    for _ in 0..150 {
        let refused = soon(crowd.join_next()).await.unwrap().unwrap();
        assert_eq!(refused, Err(HoldRefused::InFlight), "the money is held by the fifty");
    }
    let gauges = world.purse.gauges();
    assert_eq!((gauges.holds, gauges.inflight, gauges.parked), (50, nano(50 * COST), Nano::ZERO));
    end.add_permits(200);
    while let Some(ended) = soon(crowd.join_next()).await {
        assert_eq!(ended.unwrap(), Ok(()));
    }
    assert_eq!(world.purse.gauges().inflight, Nano::ZERO);
    let books = desk.0.lock();
    assert!(books.wants < 60, "{} wants: they are asked for together", books.wants);
    assert!(books.denials <= 20, "{} denials: one is an answer to all", books.denials);
}

/// Sends requests one after another, and looks at what is held during each. Returns what they were charged.
async fn one_client(purse: Purse, desk: ByItself, client: i64) -> Nano {
    let mut charged = Nano::ZERO;
    for round in 0..20 {
        let Ok(mut held) = hold(&purse, None, 20, COST).await else {
            continue;
        };
        if round % 3 == 0 {
            held.try_top_up(nano(client));
        }
        // Before the desk is looked at: what it has granted can only grow meanwhile.
        let inflight = purse.gauges().inflight;
        let granted = desk.0.lock().accounts[&WALLET].1.granted;
        assert!(inflight <= granted, "{inflight} held of {granted}");
        tokio::task::yield_now().await;
        charged = charged.plus(held.settle(nano((client + round) % 25)).charged).unwrap();
    }
    charged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_never_holds_more_than_was_granted() {
    let desk = ByItself::with(&[(WALLET, 40 * COST)]);
    let mut world = World::start(PurseSettings { renew_below_percent: 50, ..quiet() });
    desk.serve(soon(world.listener.accept()).await.unwrap());
    let mut crowd = JoinSet::new();
    for client in 0..40 {
        crowd.spawn(one_client(world.purse.clone(), desk.clone(), client));
    }
    let mut charged = Nano::ZERO;
    while let Some(ended) = soon(crowd.join_next()).await {
        charged = charged.plus(ended.unwrap()).unwrap();
    }
    let gauges = world.purse.gauges();
    assert_eq!((gauges.inflight, gauges.holds), (Nano::ZERO, 0));
    let granted = desk.0.lock().accounts[&WALLET].1.granted;
    assert_eq!(granted, charged.plus(gauges.parked).unwrap(), "each nano-unit is spent or parked");
    assert!(granted <= nano(40 * COST));
}

#[tokio::test]
async fn one_want_asks_for_all_who_wait_and_each_is_served_in_its_turn() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let first = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    assert_eq!((want.need, want.want), (nano(10), nano(40)));
    let others: Vec<_> = (0..9).map(|_| world.hold_soon(None, 10, 40)).collect();
    tokio::task::yield_now().await;
    desk.grant(want, 40, 10_000).await;
    soon(first).await.unwrap().unwrap().settle(nano(40));
    let want = desk.want().await;
    assert_eq!(
        (want.need, want.want),
        (nano(10), nano(9 * 40 + 40)),
        "for all nine, and as before"
    );
    desk.grant(want, 40 + 9 * 40, 10_000).await;
    for other in others {
        soon(other).await.unwrap().unwrap().settle(nano(40));
    }
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_newcomer_takes_nothing_before_those_who_wait() {
    let (world, mut desk) = World::warm(quiet(), 30).await;
    let first = world.hold_soon(None, 40, 40);
    let want = desk.want().await;
    let newcomer = world.hold_soon(None, 20, 20);
    desk.expect_nothing().await;
    assert_eq!(world.purse.gauges().holds, 0, "it would fit, but it is not its turn");
    desk.grant(want, 60, 0).await;
    let held = [soon(first).await, soon(newcomer).await];
    held.into_iter().for_each(|held| held.unwrap().unwrap().release());
}

#[tokio::test]
async fn one_denial_answers_all_who_waited_when_it_was_asked_for() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let first = world.hold_soon(None, 10, 40);
    let want = desk.want().await;
    let others: Vec<_> = (0..9).map(|_| world.hold_soon(None, 10, 40)).collect();
    desk.expect_nothing().await;
    desk.deny(want, DenialReason::Insufficient, 3).await;
    let broke = Some(HoldRefused::InsufficientBalance);
    assert_eq!(soon(first).await.unwrap().err(), broke);
    let want = desk.want().await;
    desk.deny(want, DenialReason::Insufficient, 3).await;
    for other in others {
        assert_eq!(soon(other).await.unwrap().err(), broke);
    }
    desk.expect_nothing().await;
}

#[tokio::test]
async fn a_stream_that_runs_waits_for_one_newcomer_at_most() {
    let (world, mut desk) = World::warm(quiet(), 50).await;
    let mut running = world.hold(50, 50).await.unwrap();
    let newcomers: Vec<_> = (0..9).map(|_| world.hold_soon(None, 40, 40)).collect();
    let first = desk.want().await;
    assert_eq!(first.need, nano(40));
    let topped_up = tokio::spawn(async move { (running.top_up(nano(7)).await, running) });
    desk.expect_nothing().await;

    desk.grant(first, 50 + 40, 10_000).await;
    let second = desk.want().await;
    assert_eq!(second.need, nano(7), "it came last, and is next");
    desk.grant(second, 50 + 40 + 7, 10_000).await;
    let (topped_up, running) = soon(topped_up).await.unwrap();
    assert_eq!((topped_up, running.amount()), (Ok(()), nano(57)));
    running.release();
    for newcomer in newcomers {
        let held = newcomer.await;
        drop(held.map(|held| held.map(PurseHold::release)));
    }
}
