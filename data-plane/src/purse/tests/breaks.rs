//! Lost connections, lost grants, restarts.

use super::world::{WALLET, World, nano, quiet, soon, until};
use crate::purse::{HoldRefused, PurseSettings};
use domain::id::{Account, OrgUid, Partition};
use links::escrow::ToDataPlane;
use proto::usage::v1::{Admitted, UsageEvent};
use std::time::Duration;

#[tokio::test]
async fn a_break_fails_those_who_wait_at_once() {
    let (world, mut desk) = World::by_hand(quiet()).await;
    let crowd: Vec<_> = (0..3).map(|_| world.hold_soon(None, 10, 40)).collect();
    desk.want().await;
    drop(desk);
    for waiting in crowd {
        assert_eq!(soon(waiting).await.unwrap().err(), Some(HoldRefused::Unreachable));
    }
}

#[tokio::test]
async fn without_a_control_plane_the_money_at_hand_is_spent_and_no_more() {
    let (world, desk) = World::warm(quiet(), 100).await;
    drop((desk, world.listener));
    until(|| !world.purse.is_connected()).await;
    let purse = &world.purse;
    let whole = super::world::hold(purse, None, 10, 80).await.unwrap();
    let rest = super::world::hold(purse, None, 10, 80).await.unwrap();
    assert_eq!((whole.amount(), rest.amount()), (nano(80), nano(20)));
    let refused = super::world::hold(purse, None, 10, 80).await.err();
    assert_eq!(refused, Some(HoldRefused::Unreachable));
    whole.release();
    rest.release();
}

#[tokio::test]
async fn a_request_right_after_the_start_waits_for_the_first_connection() {
    let mut world = World::start(quiet());
    let waiting = world.hold_soon(None, 10, 40);
    let mut desk = world.accept().await;
    let want = desk.want().await;
    desk.grant(want, 40, 0).await;
    soon(waiting).await.unwrap().unwrap().release();
}

#[tokio::test]
async fn without_a_first_connection_a_request_waits_no_longer_than_is_set() {
    let settings = PurseSettings { first_welcome_within: Duration::from_millis(20), ..quiet() };
    let world = World::start(settings);
    drop(world.listener);
    let refused = super::world::hold(&world.purse, None, 10, 40).await.err();
    assert_eq!(refused, Some(HoldRefused::Unreachable));
}

#[tokio::test]
async fn a_grant_whose_reply_was_lost_is_learned_from_the_welcome() {
    let (mut world, mut desk) = World::by_hand(quiet()).await;
    let waiting = world.hold_soon(None, 10, 40);
    desk.want().await;
    drop(desk);
    soon(waiting).await.unwrap().err().unwrap();
    let connection = soon(world.listener.accept()).await.unwrap();
    let told = connection.hello.slices.iter().find(|slice| slice.account == WALLET).unwrap();
    assert_eq!(told.granted_seen, nano(0), "the hello names the slice, so that it is answered");
    let mut desk = super::desk::ByHand::new(connection);
    desk.welcome(&[(WALLET, 40)]).await;
    until(|| world.purse.gauges().parked == nano(40)).await;
    world.hold(10, 40).await.unwrap().release();
    desk.expect_nothing().await;
}

#[tokio::test]
async fn repeated_and_reordered_totals_do_no_harm() {
    let (world, desk) = World::warm(quiet(), 100).await;
    desk.welcome(&[(WALLET, 60), (WALLET, 100), (WALLET, 0)]).await;
    desk.welcome(&[(Account::Wallet(OrgUid(8)), 5)]).await;
    until(|| world.purse.gauges().slices == 2).await;
    assert_eq!(world.purse.gauges().parked, nano(105));
}

fn ended(charge: i64) -> UsageEvent {
    UsageEvent {
        request_id: "r".to_owned(),
        org_uid: WALLET.org().0,
        charge_nano: charge,
        ..UsageEvent::default()
    }
}

#[tokio::test]
async fn a_restart_over_the_spool_knows_what_was_granted_and_spent() {
    let (world, _desk) = World::warm(quiet(), 100).await;
    let admitted =
        Admitted { request_id: "r".to_owned(), org_uid: WALLET.org().0, ..Admitted::default() };
    let ticket = world.spool.admit(&admitted).unwrap();
    let settled = world.hold(1, 30).await.unwrap().settle(nano(12));
    ticket.finish(ended(settled.charged.get())).unwrap();
    let mut world = world.restarted(quiet()).await;
    let connection = soon(world.listener.accept()).await.unwrap();
    let slice = connection.hello.slices.first().copied().unwrap();
    assert_eq!((slice.granted_seen, slice.spent), (nano(100), nano(12)));
    assert_eq!((slice.inflight, slice.released), (nano(0), nano(0)));
    let hold = super::world::hold(&world.purse, None, 88, 88).await.unwrap();
    assert_eq!(hold.amount(), nano(88), "what is left, without asking");
    hold.release();
}

#[tokio::test]
async fn the_billed_mark_reaches_the_spool() {
    let (world, desk) = World::by_hand(quiet()).await;
    let admitted =
        Admitted { request_id: "r".to_owned(), org_uid: WALLET.org().0, ..Admitted::default() };
    world.spool.admit(&admitted).unwrap().finish(ended(0)).unwrap();
    assert_eq!(world.spool.status().unbilled_events, 1);
    desk.send(ToDataPlane::Billed(vec![(Partition::of(WALLET.org()), 2)])).await;
    until(|| world.spool.status().unbilled_events == 0).await;
}
