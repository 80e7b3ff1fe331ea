//! What a data plane does when one of several control planes is away, stopped, or of no use: it goes on to another one.

use crate::carrier::{Carrier, Site, impatient, soon};
use crate::fleet::{ControlPlane, for_wire, home, subscribe, ways, wire};
use crate::objects::{delta, rev};
use crate::over_every_carrier;
use domain::id::{Account, OrgUid};
use domain::money::Nano;
use links::ReconnectSettings;
use links::content::{ContentKey, ContentLink, ContentLinkSettings, Recorded, content_listener};
use links::escrow::{
    EscrowLink, EscrowLinkSettings, EscrowListener, FromDataPlane, Grant, Hello, ToDataPlane, Want,
    escrow_listener,
};
use links::feed::{FeedSubscriber, FeedUpdate, SubscriberSettings};
use links::spool::{Spool, SpoolSettings};
use links::usage::{ShipperSettings, UsageListenerSettings, ship_usage, usage_listener};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

over_every_carrier! {
    a_data_plane_goes_on_to_the_next_and_comes_back_when_that_one_is_gone,
    one_that_lets_nobody_in_is_not_waited_for_long,
    a_desk_that_leaves_wants_unanswered_is_left_for_another_one,
    where_there_is_no_other_desk_an_unanswered_want_is_waited_for,
    where_no_desk_answers_each_gets_more_time_than_the_one_before,
    usage_and_contents_find_the_one_that_is_there,
}

async fn a_data_plane_goes_on_to_the_next_and_comes_back_when_that_one_is_gone(carrier: Carrier) {
    let mut fleet = [
        ControlPlane::start(carrier, 2, for_wire()).await,
        ControlPlane::start(carrier, 2, for_wire()).await,
    ];
    let ways = ways("dp", fleet.iter().map(|control| &control.site));
    let mut subscriber = subscribe(ways, "dp", Some(rev(2)));
    let first = home("dp", &fleet).await;
    let second = 1 - first;
    fleet[first].publisher.publish(delta(3, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(3, Vec::new())));
    subscriber.ack(rev(3), Vec::new());
    fleet[first].publisher.applied_everywhere(rev(3)).await;

    fleet[first].stop().await;
    fleet[second].publisher.publish(delta(3, Vec::new())).unwrap();
    fleet[second].has_count(1).await;
    fleet[second].publisher.publish(delta(4, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(4, Vec::new())));
    subscriber.ack(rev(4), Vec::new());
    fleet[second].publisher.applied_everywhere(rev(4)).await;

    fleet[first].start_again(4).await;
    assert!(fleet[second].has("dp"), "it stays where it is well served");
    fleet[second].stop().await;
    fleet[first].has_count(1).await;
    fleet[first].publisher.publish(delta(5, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(5, Vec::new())));
}

async fn one_that_lets_nobody_in_is_not_waited_for_long(carrier: Carrier) {
    // Connections to it stand, and nothing comes over them: a process that was stopped.
    let silent = Site::new(carrier).await;
    let control = ControlPlane::start(carrier, 2, for_wire()).await;
    let reconnect = ReconnectSettings {
        accept_timeout: Duration::from_secs(3_600),
        next_way_after: Duration::from_millis(100),
        ..impatient()
    };
    let settings =
        SubscriberSettings { reconnect, wire: Some(wire()), ..SubscriberSettings::default() };
    // About half of them begin with the silent one.
    let begun: Vec<FeedSubscriber> = (0..16)
        .map(|number| {
            let name = format!("dp-{number}");
            let ways = ways(&name, [&silent, &control.site]);
            FeedSubscriber::start_with(ways, crate::feed::hello(&name, None), settings)
        })
        .collect();
    control.has_count(begun.len()).await;
}

const WALLET: Account = Account::Wallet(OrgUid(4));

fn nano(value: i64) -> Nano {
    Nano::new(value).unwrap()
}

fn hello() -> Hello {
    Hello { data_plane: "dp".into(), incarnation: 1, slices: Vec::new() }
}

fn want(want_id: u64) -> FromDataPlane {
    let (need, granted_seen) = (nano(3), nano(0));
    FromDataPlane::Want(Want { want_id, account: WALLET, need, want: need, granted_seen })
}

fn grant(want_id: u64) -> ToDataPlane {
    let (granted_total, free) = (nano(500), nano(1));
    ToDataPlane::Grant(Grant { want_id, account: WALLET, granted_total, free })
}

fn welcome() -> ToDataPlane {
    ToDataPlane::Welcome(Vec::new())
}

fn hasty() -> EscrowLinkSettings {
    EscrowLinkSettings {
        reconnect: impatient(),
        answer_within: Duration::from_millis(50),
        ..EscrowLinkSettings::default()
    }
}

async fn desk(carrier: Carrier) -> (Site, crate::carrier::Running, EscrowListener) {
    let mut site = Site::new(carrier).await;
    let (service, listener) = escrow_listener();
    let running = site.serve(Routes::new(service)).await;
    (site, running, listener)
}

type FromControlPlane = mpsc::Receiver<ToDataPlane>;

async fn told(messages: &mut FromControlPlane) -> ToDataPlane {
    soon(messages.recv()).await.unwrap()
}

async fn a_desk_that_leaves_wants_unanswered_is_left_for_another_one(carrier: Carrier) {
    let (one, _one_runs, mut at_one) = desk(carrier).await;
    let (other, _other_runs, mut at_other) = desk(carrier).await;
    let (link, mut messages) = EscrowLink::start_with(ways("dp", [&one, &other]), hello, hasty());
    let (mut idle, mut at_next) = tokio::select! {
        connection = at_one.accept() => (connection.unwrap(), at_other),
        connection = at_other.accept() => (connection.unwrap(), at_one),
    };
    idle.sender().send(welcome()).await.unwrap();
    assert_eq!(told(&mut messages).await, welcome());
    link.send(want(1)).unwrap();
    assert_eq!(idle.next().await, Some(want(1)));
    // Whatever else it says: what was asked is not answered.
    idle.sender().send(ToDataPlane::Recall(WALLET)).await.unwrap();
    assert_eq!(told(&mut messages).await, ToDataPlane::Recall(WALLET));
    assert_eq!(told(&mut messages).await, ToDataPlane::Disconnected);
    assert_eq!(idle.next().await, None);

    let mut quick = soon(at_next.accept()).await.unwrap();
    quick.sender().send(welcome()).await.unwrap();
    assert_eq!(told(&mut messages).await, welcome());
    link.send(want(2)).unwrap();
    assert_eq!(quick.next().await, Some(want(2)));
    quick.sender().send(grant(2)).await.unwrap();
    assert_eq!(told(&mut messages).await, grant(2));
}

async fn where_there_is_no_other_desk_an_unanswered_want_is_waited_for(carrier: Carrier) {
    let (site, _runs, mut at_only) = desk(carrier).await;
    let (only, mut of_only) = EscrowLink::start_with(ways("dp", [&site]), hello, hasty());
    let mut connection = at_only.accept().await.unwrap();
    connection.sender().send(welcome()).await.unwrap();
    assert_eq!(told(&mut of_only).await, welcome());
    only.send(want(1)).unwrap();
    assert_eq!(connection.next().await, Some(want(1)));

    // One that asked later and has somewhere else to go has left meanwhile.
    let (one, _one_runs, mut at_one) = desk(carrier).await;
    let (other, _other_runs, mut at_other) = desk(carrier).await;
    let (link, mut messages) = EscrowLink::start_with(ways("dp", [&one, &other]), hello, hasty());
    let left = tokio::select! {
        connection = at_one.accept() => connection.unwrap(),
        connection = at_other.accept() => connection.unwrap(),
    };
    left.sender().send(welcome()).await.unwrap();
    assert_eq!(told(&mut messages).await, welcome());
    link.send(want(1)).unwrap();
    assert_eq!(told(&mut messages).await, ToDataPlane::Disconnected);

    connection.sender().send(grant(1)).await.unwrap();
    assert_eq!(told(&mut of_only).await, grant(1));
}

async fn where_no_desk_answers_each_gets_more_time_than_the_one_before(carrier: Carrier) {
    let (one, _one_runs, mut at_one) = desk(carrier).await;
    let (other, _other_runs, mut at_other) = desk(carrier).await;
    let (link, mut messages) = EscrowLink::start_with(ways("dp", [&one, &other]), hello, hasty());
    for doublings in 0..4 {
        let connection = tokio::select! {
            connection = at_one.accept() => connection.unwrap(),
            connection = at_other.accept() => connection.unwrap(),
        };
        connection.sender().send(welcome()).await.unwrap();
        assert_eq!(told(&mut messages).await, welcome());
        let asked = tokio::time::Instant::now();
        link.send(want(doublings)).unwrap();
        assert_eq!(told(&mut messages).await, ToDataPlane::Disconnected);
        let patience = hasty().answer_within * 2_u32.pow(u32::try_from(doublings).unwrap());
        assert!(asked.elapsed() >= patience, "{:?} < {patience:?}", asked.elapsed());
    }
}

async fn usage_and_contents_find_the_one_that_is_there(carrier: Carrier) {
    let mut gone = Site::new(carrier).await;
    gone.abandon();
    let mut site = Site::new(carrier).await;
    let (usage, mut at_billing) = usage_listener(UsageListenerSettings::default());
    let (content, mut at_store) = content_listener();
    let _running = site.serve(Routes::new(usage).add_service(content)).await;
    let stop = CancellationToken::new();
    let _stopped_at_the_end = stop.clone().drop_guard();
    // Whichever of the two each of them begins with.
    for number in 0..4 {
        let name = format!("dp-{number}");
        let folder = TempDir::new().unwrap();
        let spool = Spool::open(SpoolSettings::new(folder.path()), &name).unwrap().0;
        let settings = ShipperSettings { reconnect: impatient(), ..ShipperSettings::default() };
        let ways = ways(&name, [&gone, &site]);
        let shipped = ship_usage(ways.clone(), name.clone(), spool, settings, stop.clone());
        tokio::spawn(shipped);
        // Those before come again and again, too, since nobody keeps their connections.
        while soon(at_billing.accept()).await.unwrap().data_plane() != name {}

        let settings =
            ContentLinkSettings { reconnect: impatient(), ..ContentLinkSettings::default() };
        let link = ContentLink::start(ways, ContentKey::derive(&[1; 32]), settings);
        let content = proto::content::v1::Content::default();
        link.offer(Recorded { request_id: name.clone(), org_uid: 1, ended_us: 1, content })
            .unwrap();
        let delivery = soon(at_store.next()).await.unwrap();
        assert_eq!(delivery.contents[0].request_id, name);
        delivery.kept();
    }
}
