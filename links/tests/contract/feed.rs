//! The feed, both ends real.

use crate::carrier::{Carrier, Site, impatient, soon};
use crate::objects::{delta, key, org, plan, rev};
use crate::over_every_carrier;
use crate::raw;
use bytes::Bytes;
use domain::id::Revision;
use domain::snapshot::{Change, Delta, WrongBase};
use futures::{StreamExt, stream};
use links::feed::{
    DataPlaneStatus, FeedHello, FeedPublisher, FeedSubscriber, FeedUpdate, PublisherSettings,
    SubscriberSettings,
};
use prost::Message;
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::{Ack, Hello, SyncRequest, sync_request, sync_response};
use tonic::Code;
use tonic::service::Routes;
use tonic::transport::Channel;

over_every_carrier! {
    a_fresh_data_plane_gets_a_snapshot_and_then_every_delta_in_order,
    a_data_plane_resumes_by_revision_without_a_new_snapshot,
    one_that_fell_out_of_the_ring_gets_a_snapshot,
    one_of_another_generation_gets_a_snapshot,
    a_state_that_begins_anew_is_a_snapshot_for_all_those_ahead_of_it_included,
    one_that_is_ahead_keeps_what_it_has_until_the_head_has_passed_it,
    one_that_is_ahead_of_a_replica_that_lags_follows_once_that_has_caught_up,
    five_thousand_keys_come_as_one_snapshot_in_several_chunks,
    a_slow_data_plane_makes_nobody_wait_and_costs_no_queue,
    data_planes_come_back_to_a_restarted_server_where_they_were,
    after_a_restart_with_lost_history_a_snapshot_comes,
    a_message_that_must_not_come_ends_that_subscription_only,
    a_silent_connection_is_not_kept,
}

pub(crate) fn hello(name: &str, applied: Option<Revision>) -> FeedHello {
    FeedHello { data_plane: name.into(), cell: "sg".into(), applied }
}

pub(crate) fn subscribe(site: &Site, name: &str, applied: Option<Revision>) -> FeedSubscriber {
    let settings = SubscriberSettings { reconnect: impatient(), ..SubscriberSettings::default() };
    FeedSubscriber::start_with(site.channel_of(name), hello(name, applied), settings)
}

pub(crate) fn feed(publisher: &FeedPublisher) -> Routes {
    Routes::new(publisher.service())
}

/// A publisher that began at revision 1 and went on to `head` by one plan per revision.
pub(crate) fn published(head: u64, settings: PublisherSettings) -> FeedPublisher {
    let publisher = FeedPublisher::with_settings(rev(1), vec![plan("p1")], settings);
    for next in 2..=head {
        publisher.publish(delta(next, vec![plan(&format!("p{next}"))])).unwrap();
    }
    publisher
}

pub(crate) fn status(name: &str, applied: Revision, rejects: &[&str]) -> DataPlaneStatus {
    let rejects = rejects.iter().map(ToString::to_string).collect();
    DataPlaneStatus { name: name.into(), applied, rejects }
}

async fn a_fresh_data_plane_gets_a_snapshot_and_then_every_delta_in_order(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = FeedPublisher::new(rev(1), vec![plan("a"), plan("b"), org(1)]);
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    let all = vec![plan("a"), plan("b"), org(1)];
    assert_eq!(subscriber.next().await, FeedUpdate::Snapshot { at: rev(1), changes: all });

    let deltas: Vec<Delta> = (2..=300).map(|to| delta(to, vec![key(1, 10), org(1)])).collect();
    for next in &deltas {
        publisher.publish(next.clone()).unwrap();
    }
    for next in deltas {
        assert_eq!(subscriber.next().await, FeedUpdate::Delta(next));
    }
    assert_eq!(publisher.head(), rev(300));
    let late = publisher.publish(delta(300, Vec::new()));
    assert_eq!(late, Err(WrongBase { from: rev(299), at: rev(300) }));
}

async fn a_data_plane_resumes_by_revision_without_a_new_snapshot(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(6, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", Some(rev(4)));
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(5, vec![plan("p5")])));
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(6, vec![plan("p6")])));
    publisher.publish(delta(7, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(7, Vec::new())));
}

async fn one_that_fell_out_of_the_ring_gets_a_snapshot(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let settings = PublisherSettings { ring_deltas: 3, ..PublisherSettings::default() };
    let publisher = published(9, settings);
    let _running = site.serve(feed(&publisher)).await;
    let mut late = subscribe(&site, "late", Some(rev(5)));
    let changes = (1..=9).map(|number| plan(&format!("p{number}"))).collect();
    assert_eq!(late.next().await, FeedUpdate::Snapshot { at: rev(9), changes });
    let mut just_in = subscribe(&site, "just-in", Some(rev(6)));
    assert_eq!(just_in.next().await, FeedUpdate::Delta(delta(7, vec![plan("p7")])));
}

async fn one_of_another_generation_gets_a_snapshot(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", Some(Revision { generation: 0, rev: 2 }));
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { at, .. } if at == rev(3)));

    let raised = Revision { generation: 2, rev: 3 };
    publisher.publish(Delta { from: rev(3), to: raised, changes: vec![plan("new")] }).unwrap();
    let FeedUpdate::Snapshot { at, changes } = subscriber.next().await else {
        panic!("a delta across generations")
    };
    assert_eq!((at, changes.len()), (raised, 4));
}

async fn a_state_that_begins_anew_is_a_snapshot_for_all_those_ahead_of_it_included(
    carrier: Carrier,
) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut follower = subscribe(&site, "follower", Some(rev(2)));
    assert_eq!(follower.next().await, FeedUpdate::Delta(delta(3, vec![plan("p3")])));
    let mut ahead = subscribe(&site, "ahead", Some(rev(9)));
    while publisher.data_planes().len() < 2 {
        tokio::task::yield_now().await;
    }

    let begun = Revision { generation: 2, rev: 1 };
    publisher.replace(begun, vec![plan("new")]).unwrap();
    for subscriber in [&mut follower, &mut ahead] {
        let changes = vec![plan("new")];
        assert_eq!(subscriber.next().await, FeedUpdate::Snapshot { at: begun, changes });
    }
    assert_eq!(publisher.head(), begun);
    let back = publisher.replace(rev(9), Vec::new());
    assert_eq!(back, Err(WrongBase { from: rev(9), at: begun }));
    let next = Revision { rev: 2, ..begun };
    publisher.publish(Delta { from: begun, to: next, changes: Vec::new() }).unwrap();
    assert!(matches!(ahead.next().await, FeedUpdate::Delta(delta) if delta.to == next));
}

async fn one_that_is_ahead_keeps_what_it_has_until_the_head_has_passed_it(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", Some(rev(5)));
    // Its Hello has been read once the publisher lists it.
    while publisher.data_planes().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(publisher.data_planes(), [status("dp", rev(5), &[])]);
    publisher.publish(delta(4, vec![plan("other")])).unwrap();
    publisher.publish(Delta { from: rev(4), ..delta(6, vec![plan("other")]) }).unwrap();
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { at, .. } if at == rev(6)));
}

async fn one_that_is_ahead_of_a_replica_that_lags_follows_once_that_has_caught_up(
    carrier: Carrier,
) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", Some(rev(4)));
    while publisher.data_planes().is_empty() {
        tokio::task::yield_now().await;
    }
    publisher.publish(delta(4, vec![plan("other")])).unwrap();
    let mut heartbeats = subscriber.heartbeats();
    let confirmed = heartbeats.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(confirmed.unwrap().head, rev(4), "it need not wait for another change");
    publisher.publish(delta(5, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(5, Vec::new())));
}

async fn five_thousand_keys_come_as_one_snapshot_in_several_chunks(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let keys: Vec<Change> = (1..=5000).map(|uid| key(uid, 500)).collect();
    let all: Vec<Change> = [vec![plan("a"), org(1)], keys].concat();
    let publisher = FeedPublisher::new(rev(1), all.clone());
    let _running = site.serve(feed(&publisher)).await;

    let mut subscriber = subscribe(&site, "dp", None);
    assert_eq!(subscriber.next().await, FeedUpdate::Snapshot { at: rev(1), changes: all });

    let chunks = chunk_sizes(site.channel_of("raw")).await;
    assert!(chunks.len() > 2, "{chunks:?}");
    assert!(chunks.iter().all(|bytes| *bytes <= 1024 * 1024), "{chunks:?}");
}

/// The sizes of the messages in which a snapshot comes.
async fn chunk_sizes(channel: Channel) -> Vec<usize> {
    let requests = stream::iter([hello_message("raw")]).chain(stream::pending());
    let mut client = FeedServiceClient::new(channel);
    let mut responses = client.sync(requests).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    loop {
        let response = responses.message().await.unwrap().unwrap();
        sizes.push(response.encoded_len());
        let Some(sync_response::Message::Chunk(chunk)) = response.message else {
            panic!("not a chunk")
        };
        if chunk.last {
            return sizes;
        }
    }
}

async fn a_slow_data_plane_makes_nobody_wait_and_costs_no_queue(carrier: Carrier) {
    const DELTAS: u64 = 8000;
    let mut site = Site::new(carrier).await;
    let limits = PublisherSettings { ring_deltas: 1000, ..PublisherSettings::default() };
    let publisher = FeedPublisher::with_settings(rev(1), Vec::new(), limits);
    let _running = site.serve(feed(&publisher)).await;
    let settings = SubscriberSettings { waiting_updates: 1, ..SubscriberSettings::default() };
    let mut slow =
        FeedSubscriber::start_with(site.channel_of("slow"), hello("slow", None), settings);
    let mut quick = subscribe(&site, "quick", None);
    assert!(matches!(slow.next().await, FeedUpdate::Snapshot { .. }));
    assert!(matches!(quick.next().await, FeedUpdate::Snapshot { .. }));

    // 32 MB: far more than all buffers between the two ends hold.
    for to in 2..=DELTAS {
        publisher.publish(delta(to, vec![key(1, 4000)])).unwrap();
        let FeedUpdate::Delta(got) = quick.next().await else {
            panic!("the quick one fell behind")
        };
        assert_eq!(got.to, rev(to));
    }
    // The slow one finds what was on its way, then a snapshot in place of all that was not kept for it.
    let mut at = 1;
    loop {
        match slow.next().await {
            FeedUpdate::Delta(got) => {
                assert_eq!(got.from, rev(at));
                at += 1;
            }
            FeedUpdate::Snapshot { at: found, changes } => {
                assert_eq!((found, changes.len()), (rev(DELTAS), 1));
                break;
            }
        }
    }
    assert!(at < DELTAS - 1000, "{at} deltas were kept for a reader that did not read");
}

async fn data_planes_come_back_to_a_restarted_server_where_they_were(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let before = published(3, PublisherSettings::default());
    let running = site.serve(feed(&before)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    subscriber.ack(rev(3), Vec::new());
    before.applied_everywhere(rev(3)).await;
    before.close();
    site.stop(running).await;

    // The new process has the same state but no history at all.
    let plans = (1..=3).map(|number| plan(&format!("p{number}"))).collect();
    let after = FeedPublisher::new(rev(3), plans);
    let _running = site.serve(feed(&after)).await;
    after.publish(delta(4, vec![plan("p4")])).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(4, vec![plan("p4")])));
}

async fn after_a_restart_with_lost_history_a_snapshot_comes(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let before = published(3, PublisherSettings::default());
    let running = site.serve(feed(&before)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    subscriber.ack(rev(3), Vec::new());
    before.close();
    site.stop(running).await;

    let after = FeedPublisher::new(rev(8), vec![plan("only")]);
    let _running = site.serve(feed(&after)).await;
    let whole = FeedUpdate::Snapshot { at: rev(8), changes: vec![plan("only")] };
    assert_eq!(subscriber.next().await, whole);
}

pub(crate) fn hello_message(name: &str) -> SyncRequest {
    let hello = Hello { data_plane: name.into(), cell: "sg".into(), ..Hello::default() };
    SyncRequest { message: Some(sync_request::Message::Hello(hello)) }
}

async fn a_message_that_must_not_come_ends_that_subscription_only(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut other = subscribe(&site, "other", None);
    assert!(matches!(other.next().await, FeedUpdate::Snapshot { .. }));
    other.ack(rev(2), Vec::new());

    let hello = Bytes::from(hello_message("bad").encode_to_vec());
    let ack = |applied| SyncRequest {
        message: Some(sync_request::Message::Ack(Ack { applied, rejects: Vec::new() })),
    };
    let bytes = |message: &SyncRequest| Bytes::from(message.encode_to_vec());
    let garbage = Bytes::from_static(b"\xff\xff\xff\xff not a message");
    let rows = [
        (vec![garbage.clone()], Code::Internal),
        (vec![bytes(&ack(Some(rev(1).into())))], Code::InvalidArgument),
        (vec![Bytes::new()], Code::InvalidArgument),
        (vec![bytes(&hello_message(""))], Code::InvalidArgument),
        (vec![bytes(&hello_message("no name"))], Code::InvalidArgument),
        (vec![hello.clone(), garbage], Code::Internal),
        (vec![hello.clone(), hello.clone()], Code::InvalidArgument),
        (vec![hello.clone(), bytes(&ack(None))], Code::InvalidArgument),
        (vec![hello.clone(), Bytes::from(vec![0; 2 * 1024 * 1024])], Code::OutOfRange),
    ];
    for (messages, expected) in rows {
        let shown = format!("{messages:?}");
        let requests = stream::iter(messages).chain(stream::pending());
        let sync = "/turnpike.feed.v1.FeedService/Sync";
        let ended = soon(raw::ends_with(site.channel_of("bad"), sync, requests)).await;
        assert_eq!(ended, expected, "{shown:.200}");
    }
    let unknown = "/turnpike.feed.v1.FeedService/Other";
    let ended = raw::ends_with(site.channel(), unknown, stream::pending()).await;
    assert_eq!(ended, Code::Unimplemented);

    publisher.publish(delta(3, Vec::new())).unwrap();
    assert_eq!(other.next().await, FeedUpdate::Delta(delta(3, Vec::new())));
    publisher.applied_everywhere(rev(2)).await;
    assert_eq!(publisher.data_planes(), [status("other", rev(2), &[])]);
}

async fn a_silent_connection_is_not_kept(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let hello_timeout = std::time::Duration::from_millis(20);
    let settings = PublisherSettings { hello_timeout, ..PublisherSettings::default() };
    let publisher = published(2, settings);
    let _running = site.serve(feed(&publisher)).await;
    let sync = "/turnpike.feed.v1.FeedService/Sync";
    let ended = raw::ends_with(site.channel(), sync, stream::pending()).await;
    assert_eq!(ended, Code::DeadlineExceeded);
}
