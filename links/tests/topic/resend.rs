//! What Kafka acknowledged and lost comes again: when billing asks for it, and by itself when nobody knows.

use crate::site::{ONE_COPY, Site, soon, take};
use domain::id::{OrgUid, Partition};
use links::usage::topic::{TopicSettings, make_topic};
use rdkafka::admin::AdminOptions;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_billing_misses_is_sent_again_from_there() {
    let site = Site::new("asked").await;
    let shipper = site.ship();
    (1..=6).for_each(|request| site.end(1, request, "stop"));
    let mut reader = site.reader();
    assert_eq!(take(&mut reader, 1, 6).await, [1, 2, 3, 4, 5, 6]);
    shipper.resend().ask(vec![(Partition::of(OrgUid(1)), 4)]);
    assert_eq!(take(&mut reader, 1, 3).await, [4, 5, 6]);
    site.end(1, 7, "stop");
    assert_eq!(take(&mut reader, 1, 1).await, [7]);
    // What is billed is not sent again, whoever asks.
    site.spool.trim(&[(Partition::of(OrgUid(1)), 6)]);
    shipper.resend().ask(vec![(Partition::of(OrgUid(1)), 1)]);
    assert_eq!(take(&mut reader, 1, 2).await, [6, 7]);
    assert_eq!(shipper.status().borrow().resent, 2);
    site.stop(shipper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_lost_behind_an_acknowledgement_comes_again_by_itself() {
    let mut site = Site::new("lost").await;
    site.settings = TopicSettings { reship_after: Duration::from_secs(1), ..site.settings.clone() };
    let shipper = site.ship();
    (1..=6).for_each(|request| site.end(1, request, "stop"));
    assert_eq!(take(&mut site.reader(), 1, 6).await, [1, 2, 3, 4, 5, 6]);
    let mut status = shipper.status();
    soon(status.wait_for(|status| status.waiting == 0)).await.unwrap();

    let topic = site.settings.topic();
    let deleted = site.operator().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    // The broker takes a moment to forget it.
    soon(async { while !matches!(make_topic(&site.settings, ONE_COPY).await, Ok(true)) {} }).await;
    let seqs = take(&mut site.reader(), 1, 6).await;
    assert_eq!(seqs.last(), Some(&6), "{seqs:?}");
    site.stop(shipper).await;
}
