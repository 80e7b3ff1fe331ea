//! The escrow link, both ends real.

use crate::carrier::{Carrier, Running, Site, impatient, soon};
use crate::over_both_carriers;
use crate::raw;
use bytes::Bytes;
use domain::id::{Account, KeyUid, OrgUid, Partition};
use domain::money::Nano;
use futures::{StreamExt, stream};
use links::escrow::{
    Denial, DenialReason, EscrowConnection, EscrowLink, EscrowLinkSettings, EscrowListener,
    EscrowListenerSettings, FromDataPlane, Gone, Grant, Hello, NotConnected, SliceReport,
    ToDataPlane, Want, escrow_listener, escrow_listener_with,
};
use prost::Message;
use proto::escrow::v1::{self, SyncRequest, sync_request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::service::Routes;

over_both_carriers! {
    every_message_arrives_as_it_was_sent,
    without_a_control_plane_a_want_fails_at_once,
    each_connection_begins_with_a_fresh_hello_and_ends_with_word_of_it,
    a_restarted_control_plane_is_found_again,
    the_link_ends_when_nobody_listens_to_it,
    a_link_that_is_finished_is_heard_out_and_does_not_come_back,
    a_desk_that_is_gone_turns_data_planes_away,
    a_control_plane_that_takes_nothing_counts_as_not_connected,
    a_data_plane_that_takes_nothing_is_given_up_and_others_do_not_notice,
    a_message_that_must_not_come_ends_that_connection_only,
    a_silent_connection_is_not_kept,
}

const WALLET: Account = Account::Wallet(OrgUid(4));
const BUDGET: Account = Account::Budget(OrgUid(4), KeyUid(9));
const SYNC: &str = "/turnpike.escrow.v1.EscrowService/Sync";

fn nano(value: i64) -> Nano {
    Nano::new(value).unwrap()
}

fn slice(account: Account) -> SliceReport {
    SliceReport {
        account,
        granted_seen: nano(100),
        released: nano(20),
        spent: nano(30),
        inflight: nano(7),
    }
}

fn hello(incarnation: u64) -> Hello {
    Hello { data_plane: "dp".into(), incarnation, slices: vec![slice(WALLET), slice(BUDGET)] }
}

fn want(want_id: u64) -> Want {
    Want { want_id, account: WALLET, need: nano(3), want: nano(8), granted_seen: nano(100) }
}

fn grant(want_id: u64) -> Grant {
    Grant { want_id, account: WALLET, granted_total: nano(500), free: nano(-1) }
}

type FromControlPlane = mpsc::Receiver<ToDataPlane>;

fn settings() -> EscrowLinkSettings {
    EscrowLinkSettings { reconnect: impatient(), ..EscrowLinkSettings::default() }
}

/// A link whose hellos count their connections as incarnations, from 1.
fn link_with(site: &Site, settings: EscrowLinkSettings) -> (EscrowLink, FromControlPlane) {
    let count = AtomicU64::new(0);
    let count = move || hello(count.fetch_add(1, Ordering::Relaxed) + 1);
    EscrowLink::start_with(site.channel(), count, settings)
}

fn link(site: &Site) -> (EscrowLink, FromControlPlane) {
    link_with(site, settings())
}

async fn open(carrier: Carrier) -> (Site, Running, EscrowListener) {
    open_with(carrier, EscrowListenerSettings::default()).await
}

async fn open_with(
    carrier: Carrier,
    settings: EscrowListenerSettings,
) -> (Site, Running, EscrowListener) {
    let mut site = Site::new(carrier).await;
    let (service, listener) = escrow_listener_with(settings);
    let running = site.serve(Routes::new(service)).await;
    (site, running, listener)
}

/// Welcomes, so that the link is known to be up.
async fn welcome(connection: &EscrowConnection, messages: &mut FromControlPlane) {
    connection.sender().send(ToDataPlane::Welcome(Vec::new())).await.unwrap();
    assert_eq!(messages.recv().await, Some(ToDataPlane::Welcome(Vec::new())));
}

async fn every_message_arrives_as_it_was_sent(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    let mut connection = listener.accept().await.unwrap();
    assert_eq!(connection.hello, hello(1));
    let down = [
        ToDataPlane::Welcome(vec![Grant { want_id: 0, ..grant(0) }]),
        ToDataPlane::Grant(grant(1)),
        ToDataPlane::Denial(Denial {
            want_id: 2,
            account: BUDGET,
            reason: DenialReason::InFlight,
            free: nano(5),
        }),
        ToDataPlane::Recall(BUDGET),
        ToDataPlane::Billed(vec![(Partition(0), 1), (Partition(63), 900)]),
    ];
    let sender = connection.sender();
    for message in &down {
        sender.send(message.clone()).await.unwrap();
    }
    for message in down {
        assert_eq!(messages.recv().await, Some(message));
    }
    assert!(link.is_connected());
    let up = [
        FromDataPlane::Want(want(1)),
        FromDataPlane::Report(vec![slice(WALLET), slice(BUDGET)]),
        FromDataPlane::Want(want(u64::MAX)),
    ];
    for message in &up {
        link.send(message.clone()).unwrap();
    }
    for message in up {
        assert_eq!(connection.next().await, Some(message));
    }
}

async fn without_a_control_plane_a_want_fails_at_once(carrier: Carrier) {
    let site = Site::new(carrier).await;
    let (link, _messages) = link(&site);
    assert!(!link.is_connected());
    assert_eq!(link.send(FromDataPlane::Want(want(1))), Err(NotConnected));
}

async fn each_connection_begins_with_a_fresh_hello_and_ends_with_word_of_it(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    for incarnation in 1..=3 {
        let mut connection = listener.accept().await.unwrap();
        assert_eq!(connection.hello, hello(incarnation));
        welcome(&connection, &mut messages).await;
        // A want that will not be answered.
        link.send(FromDataPlane::Want(want(incarnation))).unwrap();
        assert_eq!(connection.next().await, Some(FromDataPlane::Want(want(incarnation))));
        let sender = connection.sender();
        if incarnation == 2 {
            sender.send(ToDataPlane::Disconnected).await.unwrap();
            assert_eq!(connection.next().await, None);
        }
        drop(connection);
        assert_eq!(messages.recv().await, Some(ToDataPlane::Disconnected));
        assert_eq!(sender.send(ToDataPlane::Grant(grant(incarnation))).await, Err(Gone));
    }
}

async fn a_restarted_control_plane_is_found_again(carrier: Carrier) {
    let (mut site, running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    let connection = listener.accept().await.unwrap();
    welcome(&connection, &mut messages).await;
    drop((connection, listener));
    site.stop(running).await;
    assert_eq!(messages.recv().await, Some(ToDataPlane::Disconnected));
    assert_eq!(link.send(FromDataPlane::Want(want(1))), Err(NotConnected));

    let (service, mut listener) = escrow_listener();
    let _running = site.serve(Routes::new(service)).await;
    let connection = listener.accept().await.unwrap();
    assert!(connection.hello.incarnation > 1, "a fresh hello");
    welcome(&connection, &mut messages).await;
    assert!(link.is_connected());
}

async fn the_link_ends_when_nobody_listens_to_it(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    let mut connection = listener.accept().await.unwrap();
    welcome(&connection, &mut messages).await;
    drop(messages);
    assert_eq!(connection.next().await, None);
    while link.is_connected() {
        tokio::task::yield_now().await;
    }
    assert_eq!(link.send(FromDataPlane::Want(want(1))), Err(NotConnected));
}

async fn a_link_that_is_finished_is_heard_out_and_does_not_come_back(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    let mut connection = listener.accept().await.unwrap();
    welcome(&connection, &mut messages).await;
    link.send(FromDataPlane::Want(want(1))).unwrap();
    assert!(link.finish());
    assert_eq!(link.send(FromDataPlane::Want(want(2))), Err(NotConnected));
    assert_eq!(connection.next().await, Some(FromDataPlane::Want(want(1))));
    assert_eq!(connection.next().await, None);
    // It hears on until it is known that all was taken in.
    connection.sender().send(ToDataPlane::Grant(grant(1))).await.unwrap();
    assert_eq!(messages.recv().await, Some(ToDataPlane::Grant(grant(1))));
    drop(connection);
    assert_eq!(messages.recv().await, None);
}

async fn a_desk_that_is_gone_turns_data_planes_away(carrier: Carrier) {
    let (site, _running, listener) = open(carrier).await;
    drop(listener);
    let hello = v1::Hello { data_plane: "dp".into(), ..v1::Hello::default() };
    let hello = SyncRequest { message: Some(sync_request::Message::Hello(hello)) };
    let requests = stream::iter([Bytes::from(hello.encode_to_vec())]).chain(stream::pending());
    assert_eq!(raw::ends_with(site.channel(), SYNC, requests).await, Code::Unavailable);
}

async fn a_control_plane_that_takes_nothing_counts_as_not_connected(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) =
        link_with(&site, EscrowLinkSettings { waiting_to_send: 8, ..settings() });
    let mut connection = listener.accept().await.unwrap();
    welcome(&connection, &mut messages).await;
    let report = FromDataPlane::Report(vec![slice(WALLET); 1000]);
    let mut sent = 0;
    // What the two ends and the carrier buffer is bounded, so this ends.
    let mut refused = 0;
    while refused < 100 {
        match link.send(report.clone()) {
            Ok(()) => sent += 1,
            Err(NotConnected) => refused += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(link.is_connected(), "it is only full");
    for _ in 0..sent {
        assert_eq!(connection.next().await, Some(report.clone()));
    }
    link.send(FromDataPlane::Want(want(1))).unwrap();
    assert_eq!(connection.next().await, Some(FromDataPlane::Want(want(1))));
}

async fn a_data_plane_that_takes_nothing_is_given_up_and_others_do_not_notice(carrier: Carrier) {
    let limits = EscrowListenerSettings {
        waiting_messages: 4,
        send_timeout: Duration::from_millis(100),
        ..EscrowListenerSettings::default()
    };
    let (site, _running, mut listener) = open_with(carrier, limits).await;
    let (_stuck, mut unread) =
        link_with(&site, EscrowLinkSettings { waiting_to_take: 1, ..settings() });
    let mut stuck = listener.accept().await.unwrap();
    // On a connection of its own, as two processes have it.
    let (_other, mut others) = link(&site);
    let other = listener.accept().await.unwrap();

    let large = ToDataPlane::Billed(vec![(Partition(1), u64::MAX); 10_000]);
    let sender = stuck.sender();
    while sender.send(large.clone()).await.is_ok() {}
    assert_eq!(sender.send(large.clone()).await, Err(Gone));
    assert_eq!(stuck.next().await, None);
    drop(stuck);

    welcome(&other, &mut others).await;
    // Once it reads again it finds its connection gone, and comes back.
    while let Some(message) = unread.recv().await {
        if message == ToDataPlane::Disconnected {
            break;
        }
        assert_eq!(message, large);
    }
    assert_eq!(listener.accept().await.unwrap().hello, hello(2));
}

async fn a_message_that_must_not_come_ends_that_connection_only(carrier: Carrier) {
    let (site, _running, mut listener) = open(carrier).await;
    let (link, mut messages) = link(&site);
    let mut other = listener.accept().await.unwrap();
    welcome(&other, &mut messages).await;

    let desk = Arc::new(tokio::sync::Mutex::new(listener));
    let drain = Arc::clone(&desk);
    // The desk reads what comes until the connection is over.
    let reader = tokio::spawn(async move {
        while let Some(mut connection) = drain.lock().await.accept().await {
            while connection.next().await.is_some() {}
        }
    });
    let bytes = |message| Bytes::from(SyncRequest { message: Some(message) }.encode_to_vec());
    let named = v1::Hello { data_plane: "bad".into(), ..v1::Hello::default() };
    let hello = bytes(sync_request::Message::Hello(named));
    let nameless = bytes(sync_request::Message::Hello(v1::Hello::default()));
    let misnamed = v1::Hello { data_plane: "no\0name".into(), ..v1::Hello::default() };
    let misnamed = bytes(sync_request::Message::Hello(misnamed));
    let no_account = bytes(sync_request::Message::Want(v1::Want::default()));
    let garbage = Bytes::from_static(b"\xff\xff\xff\xff not a message");
    let rows = [
        (vec![garbage.clone()], Code::Internal),
        (vec![Bytes::new()], Code::InvalidArgument),
        (vec![nameless], Code::InvalidArgument),
        (vec![misnamed], Code::InvalidArgument),
        (vec![no_account.clone()], Code::InvalidArgument),
        (vec![hello.clone(), garbage], Code::Internal),
        (vec![hello.clone(), Bytes::new()], Code::InvalidArgument),
        (vec![hello.clone(), hello.clone()], Code::InvalidArgument),
        (vec![hello.clone(), no_account], Code::InvalidArgument),
    ];
    for (sent, expected) in rows {
        let shown = format!("{sent:?}");
        let requests = stream::iter(sent).chain(stream::pending());
        let ended = soon(raw::ends_with(site.channel(), SYNC, requests)).await;
        assert_eq!(ended, expected, "{shown}");
    }

    link.send(FromDataPlane::Want(want(1))).unwrap();
    assert_eq!(other.next().await, Some(FromDataPlane::Want(want(1))));
    other.sender().send(ToDataPlane::Grant(grant(1))).await.unwrap();
    assert_eq!(messages.recv().await, Some(ToDataPlane::Grant(grant(1))));
    reader.abort();
}

async fn a_silent_connection_is_not_kept(carrier: Carrier) {
    let hello_timeout = Duration::from_millis(20);
    let limits = EscrowListenerSettings { hello_timeout, ..EscrowListenerSettings::default() };
    let (site, _running, _listener) = open_with(carrier, limits).await;
    let ended = raw::ends_with(site.channel(), SYNC, stream::pending()).await;
    assert_eq!(ended, Code::DeadlineExceeded);
}
