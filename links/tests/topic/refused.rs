//! A delivery that fails: its partition begins again where it stood, and no other one waits for it.

use crate::site::{ONE_COPY, Site, soon, take};
use domain::id::{OrgUid, Partition};
use links::usage::topic::make_topic;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// How long a broker may take to refuse an event.
const A_WHILE: Duration = Duration::from_millis(500);

/// Sets how long a message may be, as the broker sees it.
async fn allow(site: &Site, bytes: &str) {
    let topic = site.settings.topic();
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", bytes);
    let changed = site.operator().alter_configs([&wanted], &AdminOptions::new()).await.unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_is_sent_until_it_is_taken_and_stops_no_other_partition() {
    let site = Site::new("refused").await;
    let other = (2..).find(|org| Partition::of(OrgUid(*org)) != Partition::of(OrgUid(1))).unwrap();
    allow(&site, "2000").await;
    // Of random letters: what is refused is what is left after compression.
    let long: String = (0..3500).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let shipper = site.ship();
    let mut status = shipper.status();
    // The broker takes a moment to know it.
    let mut events = 0;
    while status.borrow_and_update().failures < 2 {
        assert!(events < 1000, "nothing is refused");
        events += 2;
        site.end(1, events - 1, "stop");
        site.end(1, events, &long);
        drop(timeout(A_WHILE, status.wait_for(|status| status.failures > 1)).await);
    }
    (1..=5).for_each(|request| site.end(other, request, "stop"));
    let mut reader = site.reader();
    assert_eq!(take(&mut reader, other, 5).await, [1, 2, 3, 4, 5]);

    allow(&site, "4194304").await;
    soon(status.wait_for(|status| status.waiting == 0)).await.unwrap();
    let mut seen = BTreeSet::new();
    let mut reader = site.reader();
    while seen.len() < usize::try_from(events).unwrap() {
        seen.extend(take(&mut reader, 1, 1).await);
    }
    assert_eq!(seen.last(), Some(&events));
    assert!(!make_topic(&site.settings, ONE_COPY).await.unwrap());
    site.stop(shipper).await;
}
