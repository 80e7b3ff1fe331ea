//! The tag of a snapshot: what was changed on its way, or made by somebody without the cell's key, is never handed out.

use crate::carrier::{Carrier, Running, Site, soon};
use crate::feed::{feed, hello, hello_message, published};
use crate::fleet::{for_wire, wire};
use crate::objects::{delta, org, plan, rev};
use crate::over_every_carrier;
use crate::raw::{self, RawFeed};
use bytes::Bytes;
use domain::id::Revision;
use links::ReconnectSettings;
use links::feed::{
    FeedPublisher, FeedSubscriber, FeedUpdate, PublisherSettings, SnapshotKey, SubscriberSettings,
};
use prost::Message;
use proto::feed::v1::{Hello, SyncRequest, SyncResponse, sync_request, sync_response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::service::Routes;

over_every_carrier! {
    each_byte_of_a_snapshot_that_is_changed_on_its_way_has_it_refused,
    a_snapshot_made_with_another_key_or_for_another_cell_is_refused_and_told,
    only_a_data_plane_of_another_process_is_sent_tags,
}

const SYNC: &str = "/turnpike.feed.v1.FeedService/Sync";

fn wire_hello(cell: &str) -> SyncRequest {
    let hello =
        Hello { data_plane: "raw".into(), cell: cell.into(), newest_proto: 1, ..Hello::default() };
    SyncRequest { message: Some(sync_request::Message::Hello(hello)) }
}

/// The chunks of a snapshot, as they travel.
async fn chunks(site: &Site, hello: &SyncRequest) -> Vec<Bytes> {
    let is_last = |message: &Bytes| match SyncResponse::decode(message.clone()).unwrap().message {
        Some(sync_response::Message::Chunk(chunk)) => chunk.last,
        other => panic!("{other:?}"),
    };
    let sent = vec![hello.encode_to_vec().into()];
    let Some(sync_request::Message::Hello(speaker)) = &hello.message else { panic!("no hello") };
    raw::first_messages(site.channel_in(&speaker.cell, &speaker.data_plane), SYNC, sent, is_last)
        .await
}

/// Every message with one byte of it changed, in two ways.
fn changed(chunks: &[Bytes]) -> Vec<Vec<Bytes>> {
    let mut all = Vec::new();
    for (message, chunk) in chunks.iter().enumerate() {
        for byte in 0..chunk.len() {
            for mask in [0x01, 0xff] {
                let mut bytes = chunk.to_vec();
                bytes[byte] ^= mask;
                let mut changed = chunks.to_vec();
                changed[message] = bytes.into();
                all.push(changed);
            }
        }
    }
    all
}

fn subscriber(site: &Site, cell: &str, applied: Option<Revision>, key: u8) -> FeedSubscriber {
    let moment = Duration::from_millis(1);
    let reconnect = ReconnectSettings {
        first_wait: moment,
        longest_wait: moment,
        ..ReconnectSettings::default()
    };
    let snapshot_key = SnapshotKey::derive(&[key; 32]);
    let wire = Some(links::feed::WireSettings { snapshot_key, ..wire() });
    let settings = SubscriberSettings { reconnect, wire, ..SubscriberSettings::default() };
    let hello = links::feed::FeedHello { cell: cell.into(), ..hello("dp", applied) };
    FeedSubscriber::start_with(site.channel_in(cell, "dp"), hello, settings)
}

async fn each_byte_of_a_snapshot_that_is_changed_on_its_way_has_it_refused(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    // One object a chunk.
    let settings = PublisherSettings { wire_chunk_bytes: 1, ..for_wire() };
    let state = vec![plan("a"), plan("b"), org(1)];
    let publisher = FeedPublisher::with_settings(rev(2), state.clone(), settings);
    let _running = site.serve(feed(&publisher)).await;
    let good = chunks(&site, &wire_hello("sg")).await;
    assert_eq!(good.len(), 3);

    let bad = changed(&good);
    assert!(bad.len() > 200, "{} changed snapshots", bad.len());
    let (count, connections) = (bad.len(), Arc::new(AtomicUsize::new(0)));
    let counted = connections.clone();
    // All the bad ones, then the good one.
    let answer = move || {
        let connection = counted.fetch_add(1, Ordering::Relaxed);
        bad.get(connection).unwrap_or(&good).clone()
    };
    let mut between = Site::new(carrier).await;
    let _between_runs = between.serve(Routes::new(RawFeed(answer))).await;
    let mut subscriber = subscriber(&between, "sg", None, 7);
    let whole = FeedUpdate::Snapshot { at: rev(2), changes: state };
    assert_eq!(soon(subscriber.next()).await, whole);
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections > count, "{connections} of {count}: a changed one was taken for good");
}

async fn served(carrier: Carrier) -> (Site, Running, FeedPublisher) {
    let mut site = Site::new(carrier).await;
    // Nobody can follow from an earlier state.
    let publisher = published(3, PublisherSettings { ring_deltas: 0, ..for_wire() });
    let running = site.serve(feed(&publisher)).await;
    (site, running, publisher)
}

async fn a_snapshot_made_with_another_key_or_for_another_cell_is_refused_and_told(
    carrier: Carrier,
) {
    let (site, _running, publisher) = served(carrier).await;
    let mut other_key = subscriber(&site, "sg", Some(rev(1)), 8);
    soon(async {
        let is_told = |reject: &String| reject.contains("tag does not fit");
        while !publisher.data_planes().iter().any(|it| it.rejects.iter().any(is_told)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(futures::poll!(std::pin::pin!(other_key.next())).is_pending());

    let mut right = subscriber(&site, "sg", Some(rev(1)), 7);
    assert!(matches!(soon(right.next()).await, FeedUpdate::Snapshot { at, .. } if at == rev(3)));
    // What was tagged for another cell, sent on to this one.
    let elsewhere = chunks(&site, &wire_hello("cn")).await;
    let here = chunks(&site, &wire_hello("sg")).await;
    let first = AtomicUsize::new(0);
    let first = Arc::new(first);
    let counted = first.clone();
    let answer = move || match counted.fetch_add(1, Ordering::Relaxed) {
        0..5 => elsewhere.clone(),
        _ => here.clone(),
    };
    let mut between = Site::new(carrier).await;
    let _between_runs = between.serve(Routes::new(RawFeed(answer))).await;
    let mut subscriber = subscriber(&between, "sg", None, 7);
    assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    assert!(first.load(Ordering::Relaxed) > 5, "five of another cell came first");
}

async fn only_a_data_plane_of_another_process_is_sent_tags(carrier: Carrier) {
    let (site, _running, publisher) = served(carrier).await;
    for (hello, tag_bytes) in [(hello_message("here"), 0), (wire_hello("sg"), 32)] {
        let chunks = chunks(&site, &hello).await;
        let last = SyncResponse::decode(chunks.last().unwrap().clone()).unwrap();
        let Some(sync_response::Message::Chunk(chunk)) = last.message else { panic!("no chunk") };
        assert_eq!(chunk.tag.len(), tag_bytes, "{hello:?}");
    }
    // One of this process, which does not look at tags, takes a snapshot without one.
    let mut here = crate::feed::subscribe(&site, "here", None);
    assert!(matches!(here.next().await, FeedUpdate::Snapshot { .. }));
    publisher.publish(delta(4, Vec::new())).unwrap();
    assert!(matches!(here.next().await, FeedUpdate::Delta(_) | FeedUpdate::Snapshot { .. }));
}
