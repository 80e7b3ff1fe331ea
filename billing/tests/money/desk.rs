//! The desk, over the real link: what is granted, to whom, and why not.

use super::world::{Amounts, World, nano, wallet};
use billing::desk::{Desk, DeskSettings};
use domain::id::Account;
use domain::money::Nano;
use links::escrow::{
    Denial, DenialReason, EscrowLink, FromDataPlane, Grant, Hello, SliceReport, ToDataPlane, Want,
    escrow_listener,
};
use links::pipe::{PipeConnector, pipe};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything takes, and far from for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A desk at work.
pub(crate) struct Open {
    connector: PipeConnector,
    _stop: DropGuard,
}

pub(crate) fn open(world: &World, settings: DeskSettings) -> Open {
    let (incoming, connector) = pipe();
    let (service, listener) = escrow_listener();
    let token = CancellationToken::new();
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    drop(Desk::start_with(settings, world.database.clone(), listener, token.clone()));
    Open { connector, _stop: token.drop_guard() }
}

/// Answers at once, so that tests of other things do not wait.
fn hasty() -> DeskSettings {
    DeskSettings { recall_wait: Duration::from_millis(20), ..DeskSettings::default() }
}

/// One connection of a data plane.
pub(crate) struct Plane {
    link: EscrowLink,
    messages: mpsc::Receiver<ToDataPlane>,
    pub(crate) welcome: Vec<Grant>,
}

impl Open {
    pub(crate) async fn connect(
        &self,
        name: &str,
        incarnation: u64,
        slices: &[SliceReport],
    ) -> Plane {
        let hello = Hello { data_plane: name.to_owned(), incarnation, slices: slices.to_vec() };
        let (link, messages) = EscrowLink::start(self.connector.channel(), move || hello.clone());
        let mut plane = Plane { link, messages, welcome: Vec::new() };
        match plane.next().await {
            ToDataPlane::Welcome(grants) => plane.welcome = grants,
            other => panic!("a welcome comes first, not {other:?}"),
        }
        plane
    }
}

impl Plane {
    pub(crate) async fn next(&mut self) -> ToDataPlane {
        timeout(PATIENCE, self.messages.recv()).await.expect("a message comes").unwrap()
    }

    pub(crate) fn want(&self, want_id: u64, account: Account, need: i64, want: i64) {
        let (need, want) = (nano(need), nano(want));
        let want = Want { want_id, account, need, want, granted_seen: Nano::ZERO };
        self.send(FromDataPlane::Want(want));
    }

    pub(crate) fn report(&self, report: SliceReport) {
        self.send(FromDataPlane::Report(vec![report]));
    }

    pub(crate) fn send(&self, message: FromDataPlane) {
        self.link.send(message).unwrap();
    }

    async fn answer(&mut self) -> Result<Grant, Denial> {
        match self.next().await {
            ToDataPlane::Grant(grant) => Ok(grant),
            ToDataPlane::Denial(denial) => Err(denial),
            other => panic!("an answer comes, not {other:?}"),
        }
    }

    async fn denied(&mut self, want_id: u64) -> (DenialReason, i64) {
        let denial = self.answer().await.unwrap_err();
        assert_eq!(denial.want_id, want_id);
        (denial.reason, denial.free.get())
    }

    async fn granted(&mut self, want_id: u64) -> (i64, i64) {
        let grant = self.answer().await.unwrap();
        assert_eq!(grant.want_id, want_id);
        (grant.granted_total.get(), grant.free.get())
    }
}

pub(crate) fn report(account: Account, granted_seen: i64, released: i64) -> SliceReport {
    let (granted_seen, released) = (nano(granted_seen), nano(released));
    SliceReport { account, granted_seen, released, spent: Nano::ZERO, inflight: Nano::ZERO }
}

async fn world(posted: i64) -> World {
    let world = World::new().await;
    world.credit(1, posted, "a").await;
    world
}

#[tokio::test]
async fn a_grant_is_what_is_wanted_or_a_share_but_at_least_what_is_needed() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut plane = desk.connect("dp", 1, &[]).await;
    let table = [
        // need, want, total granted then, free then
        (1, 100, 100, 900),   // all that is wanted
        (1, 5000, 325, 675),  // a quarter of what is free
        (600, 5000, 925, 75), // what is needed
        (75, 75, 1000, 0),    // to the last
    ];
    for (want_id, (need, want, total, free)) in (1..).zip(table) {
        plane.want(want_id, wallet(1), need, want);
        assert_eq!(plane.granted(want_id).await, (total, free));
        assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: total });
    }
    plane.want(9, wallet(1), 1, 1);
    // Nobody else holds any; that it holds all of it itself, the data plane knows: it had seen none of it.
    assert_eq!(plane.denied(9).await, (DenialReason::InFlight, 0));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_denial_says_why() {
    let world = world(1000).await;
    world.grant("dead", wallet(1), 600).await;
    let desk = open(&world, hasty());
    let mut plane = desk.connect("dp", 1, &[]).await;
    let table = [
        (wallet(99), 10, DenialReason::Frozen, 0),
        (wallet(2), 10, DenialReason::Insufficient, 0),
        (wallet(1), 500, DenialReason::InFlight, 400),
        (super::world::budget(1, 11), 1001, DenialReason::Insufficient, 1000),
        (super::world::budget(1, 12), 1, DenialReason::Frozen, 0),
    ];
    for (want_id, (account, need, reason, free)) in (1..).zip(table) {
        plane.want(want_id, account, need, need);
        assert_eq!(plane.denied(want_id).await, (reason, free), "{account:?} {need}");
    }
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 600 });
    world.assert_sound().await;
}

/// Takes in so many answers; returns how many were grants.
async fn answers(plane: &mut Plane, count: i64) -> i64 {
    let (mut total, mut granted, mut denied) = (0, 0, 0);
    while granted + denied < count {
        match plane.next().await {
            ToDataPlane::Grant(grant) => {
                granted += 1;
                total = grant.granted_total.get();
            }
            ToDataPlane::Denial(_) => denied += 1,
            // Keeps what it has.
            ToDataPlane::Recall(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(total, granted * 9, "each grant adds what was needed");
    granted
}

#[tokio::test]
async fn many_at_once_are_never_granted_more_than_there_is() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut planes = JoinSet::new();
    for number in 0..25 {
        let mut plane = desk.connect(&format!("dp-{number}"), 1, &[]).await;
        planes.spawn(async move {
            for want_id in 1..=8 {
                plane.want(want_id, wallet(1), 9, 9);
            }
            answers(&mut plane, 8).await
        });
    }
    let mut granted = 0;
    while let Some(plane) = planes.join_next().await {
        granted += plane.unwrap();
    }
    assert_eq!(granted, 1000 / 9, "all that is there, and not one more");
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 999 });
    world.assert_sound().await;
}

#[tokio::test]
async fn idle_money_of_others_is_recalled_before_anyone_is_refused() {
    let world = world(1000).await;
    let patient = DeskSettings { recall_wait: PATIENCE, ..DeskSettings::default() };
    let desk = open(&world, patient);
    let mut rich = desk.connect("rich", 1, &[]).await;
    rich.want(1, wallet(1), 900, 900);
    assert_eq!(rich.granted(1).await, (900, 100));

    let mut poor = desk.connect("poor", 1, &[]).await;
    poor.want(1, wallet(1), 500, 500);
    assert_eq!(rich.next().await, ToDataPlane::Recall(wallet(1)));
    // Not enough yet: the want waits on.
    rich.report(report(wallet(1), 900, 300));
    rich.report(report(wallet(1), 900, 800));
    assert_eq!(poor.granted(1).await, (500, 400));
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 600 });
    world.assert_sound().await;
}

#[tokio::test]
async fn who_keeps_its_money_makes_it_in_flight_for_others() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut rich = desk.connect("rich", 1, &[]).await;
    rich.want(1, wallet(1), 900, 900);
    rich.granted(1).await;
    let mut poor = desk.connect("poor", 1, &[]).await;
    poor.want(1, wallet(1), 500, 500);
    assert_eq!(rich.next().await, ToDataPlane::Recall(wallet(1)));
    assert_eq!(poor.denied(1).await, (DenialReason::InFlight, 100));
    // Gone without a word: time frees nothing.
    drop(rich);
    poor.want(2, wallet(1), 500, 500);
    assert_eq!(poor.denied(2).await, (DenialReason::InFlight, 100));
    // Back with the same life, it gives back what it does not need.
    let rich = desk.connect("rich", 1, &[report(wallet(1), 900, 900)]).await;
    assert_eq!(rich.welcome[0].granted_total, nano(900));
    poor.want(3, wallet(1), 500, 500);
    assert_eq!(poor.granted(3).await, (500, 500));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_told_by_the_next_welcome() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let plane = desk.connect("dp", 1, &[]).await;
    plane.want(1, wallet(1), 100, 100);
    while world.amounts(wallet(1)).await.held == 0 {
        tokio::task::yield_now().await;
    }
    drop(plane);
    let again = desk.connect("dp", 1, &[report(wallet(1), 0, 0)]).await;
    let welcome =
        Grant { want_id: 0, account: wallet(1), granted_total: nano(100), free: nano(900) };
    assert_eq!(again.welcome, [welcome]);
    // Another life is told nothing of it.
    assert_eq!(desk.connect("dp", 2, &[]).await.welcome, []);
    world.assert_sound().await;
}

#[tokio::test]
async fn reports_are_merged_by_maximum() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut plane = desk.connect("dp", 1, &[]).await;
    plane.want(1, wallet(1), 500, 500);
    plane.granted(1).await;
    for released in [100, 300, 200, 300, 0, 350] {
        plane.report(report(wallet(1), 500, released));
    }
    // More than it has is not believed.
    plane.report(report(wallet(1), 0, 100_000));
    plane.report(report(wallet(99), 5, 5));
    plane.want(2, wallet(1), 1, 1);
    assert_eq!(plane.granted(2).await, (501, 999));
    let slice = world.table("SELECT granted, released, settled, unbacked FROM slice").await;
    assert_eq!(slice, ["501|500|0|0"]);
    world.assert_sound().await;
}

#[tokio::test]
async fn what_a_data_plane_said_last_is_written_when_its_connection_ends() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut plane = desk.connect("dp", 1, &[]).await;
    plane.want(1, wallet(1), 500, 500);
    assert_eq!(plane.granted(1).await, (500, 500));
    plane.report(report(wallet(1), 500, 500));
    assert!(plane.link.finish());
    assert_eq!(timeout(PATIENCE, plane.messages.recv()).await.expect("it ends"), None);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 0 });
    world.assert_sound().await;
}

#[tokio::test]
async fn who_proves_a_lost_grant_keeps_it_and_the_customer_is_not_overdrawn() {
    let world = world(1000).await;
    world.grant("dp", wallet(1), 100).await;
    world.grant("other", wallet(1), 700).await;
    let desk = open(&world, hasty());
    // It was granted 500 more than the row says; 200 of that are free, 300 are the company's risk.
    let mut plane = desk.connect("dp", 7, &[report(wallet(1), 600, 0)]).await;
    let welcome = Grant { want_id: 0, account: wallet(1), granted_total: nano(600), free: nano(0) };
    assert_eq!(plane.welcome, [welcome]);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 1000 });
    world.assert_sound().await;
    // What comes back first is what nothing backs.
    plane.report(report(wallet(1), 600, 350));
    plane.want(1, wallet(1), 50, 50);
    assert_eq!(plane.granted(1).await, (650, 0));
    let slice = "SELECT granted, released, unbacked FROM slice WHERE data_plane = 'dp'";
    assert_eq!(world.table(slice).await, ["650|350|0"]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_want_that_is_denied_can_prove_a_lost_grant_all_the_same() {
    let world = world(100).await;
    world.grant("other", wallet(1), 100).await;
    let desk = open(&world, hasty());
    let mut plane = desk.connect("dp", 7, &[]).await;
    let (need, granted_seen) = (nano(10), nano(40));
    let want = Want { want_id: 1, account: wallet(1), need, want: need, granted_seen };
    plane.send(FromDataPlane::Want(want));
    assert_eq!(plane.denied(1).await, (DenialReason::InFlight, 0));
    let slice = "SELECT granted, unbacked FROM slice WHERE data_plane = 'dp'";
    assert_eq!(world.table(slice).await, ["40|40"]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_connection_that_says_hello_twice_is_two_peers_and_one_holder() {
    let world = world(1000).await;
    let desk = open(&world, hasty());
    let mut old = desk.connect("dp", 1, &[]).await;
    let mut new = desk.connect("dp", 1, &[]).await;
    old.want(1, wallet(1), 100, 100);
    assert_eq!(old.granted(1).await, (100, 900));
    new.want(1, wallet(1), 100, 100);
    assert_eq!(new.granted(1).await, (200, 800));
    drop(old);
    new.want(2, wallet(1), 800, 800);
    assert_eq!(new.granted(2).await, (1000, 0));
    world.assert_sound().await;
}
