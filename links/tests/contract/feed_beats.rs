//! Heartbeats: who has everything is told so, with a digest of it; and starting over from a whole snapshot.

use crate::carrier::{Carrier, Site};
use crate::feed::{feed, published, subscribe};
use crate::objects::{delta, key, org, plan, rev};
use crate::over_every_carrier;
use domain::id::KeyUid;
use domain::snapshot::{Change, Delta, Tombstone};
use links::feed::{FeedSubscriber, FeedUpdate, Heartbeat, PublisherSettings, StateDigest};
use std::time::Duration;

over_every_carrier! {
    a_heartbeat_names_the_head_and_a_digest_of_all_that_led_to_it,
    one_that_is_ahead_of_the_control_plane_gets_no_heartbeat,
    heartbeats_go_on_while_nothing_changes,
    starting_over_brings_a_whole_snapshot,
}

fn often() -> PublisherSettings {
    PublisherSettings {
        heartbeat_interval: Duration::from_millis(5),
        ..PublisherSettings::default()
    }
}

async fn heartbeat_at(subscriber: &FeedSubscriber, rev_wanted: u64) -> Heartbeat {
    let mut heartbeats = subscriber.heartbeats();
    let is_at =
        |beat: &Option<Heartbeat>| beat.as_ref().is_some_and(|it| it.head == rev(rev_wanted));
    heartbeats.wait_for(is_at).await.unwrap().clone().unwrap()
}

fn digest(changes: &[Change]) -> StateDigest {
    let mut digest = StateDigest::default();
    changes.iter().for_each(|change| digest.add(change));
    digest
}

async fn a_heartbeat_names_the_head_and_a_digest_of_all_that_led_to_it(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, often());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    let plans = [plan("p1"), plan("p2")];
    let beat = heartbeat_at(&subscriber, 2).await;
    assert_eq!(digest(&plans).differences(&beat.digests), [""; 0]);

    // A put, a put over it, and a put that goes again.
    publisher.publish(delta(3, vec![org(1), key(1, 5), key(2, 5)])).unwrap();
    publisher.publish(delta(4, vec![key(1, 9)])).unwrap();
    let gone = Change::Tombstone(Tombstone::Key(KeyUid(2)));
    publisher.publish(delta(5, vec![gone])).unwrap();
    for _ in 3..=5 {
        assert!(matches!(subscriber.next().await, FeedUpdate::Delta(_)));
    }
    let beat = heartbeat_at(&subscriber, 5).await;
    let state = [plan("p1"), plan("p2"), org(1), key(1, 9)];
    assert_eq!(digest(&state).differences(&beat.digests), [""; 0]);
    let stale = [plan("p1"), plan("p2"), org(1), key(1, 5)];
    assert_eq!(digest(&stale).differences(&beat.digests), ["key: 1 objects, of which some differ"]);
}

async fn one_that_is_ahead_of_the_control_plane_gets_no_heartbeat(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, often());
    let _running = site.serve(feed(&publisher)).await;
    let mut ahead = subscribe(&site, "ahead", Some(rev(5)));
    let level = subscribe(&site, "level", Some(rev(3)));
    heartbeat_at(&level, 3).await;
    while publisher.data_planes().len() < 2 {
        tokio::task::yield_now().await;
    }
    publisher.publish(delta(4, Vec::new())).unwrap();
    publisher.publish(Delta { from: rev(4), ..delta(6, Vec::new()) }).unwrap();
    assert!(matches!(ahead.next().await, FeedUpdate::Snapshot { at, .. } if at == rev(6)));
    assert_eq!(heartbeat_at(&ahead, 6).await.head, rev(6), "the first one that it ever gets");
}

async fn heartbeats_go_on_while_nothing_changes(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, often());
    let _running = site.serve(feed(&publisher)).await;
    let subscriber = subscribe(&site, "dp", Some(rev(2)));
    let first = heartbeat_at(&subscriber, 2).await;
    let mut heartbeats = subscriber.heartbeats();
    let is_later =
        |beat: &Option<Heartbeat>| beat.as_ref().is_some_and(|it| it.received > first.received);
    assert_eq!(heartbeats.wait_for(is_later).await.unwrap().as_ref().unwrap().head, rev(2));
}

async fn starting_over_brings_a_whole_snapshot(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, often());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", Some(rev(2)));
    assert!(matches!(subscriber.next().await, FeedUpdate::Delta(_)));
    subscriber.ack(rev(3), Vec::new());
    publisher.applied_everywhere(rev(3)).await;
    subscriber.start_over();
    let plans = (1..=3).map(|number| plan(&format!("p{number}"))).collect();
    assert_eq!(subscriber.next().await, FeedUpdate::Snapshot { at: rev(3), changes: plans });
    publisher.publish(delta(4, Vec::new())).unwrap();
    assert_eq!(subscriber.next().await, FeedUpdate::Delta(delta(4, Vec::new())));
}
