//! A delivery that fails: its partition begins again where it stood, and no other one waits for it.

use crate::site::{ONE_COPY, Site, soon, take};
use domain::id::{OrgUid, Partition};
use links::usage::topic::make_topic;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

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
    site.end(1, 1, "stop");
    site.end(1, 2, &long);
    site.end(1, 3, "stop");
    let shipper = site.ship();
    let mut status = shipper.status();
    soon(status.wait_for(|status| status.failures > 1)).await.unwrap();
    (1..=5).for_each(|request| site.end(other, request, "stop"));
    let mut reader = site.reader();
    assert_eq!(take(&mut reader, other, 5).await, [1, 2, 3, 4, 5]);

    allow(&site, "4194304").await;
    let seqs = take(&mut site.reader(), 1, 3).await;
    assert_eq!(seqs.last(), Some(&3), "{seqs:?}");
    soon(status.wait_for(|status| status.waiting == 0)).await.unwrap();
    assert!(!make_topic(&site.settings, ONE_COPY).await.unwrap());
    site.stop(shipper).await;
}
