//! Nothing is lost while a broker dies, and nothing is forgotten before it is billed.

use crate::site::{ONE_COPY, Site, soon, take};
use domain::id::{OrgUid, Partition};
use links::usage::topic::{TopicReader, make_topic};
use servers::Kafka;
use std::collections::BTreeSet;

const EVENTS: u64 = 300;

/// All numbers from 1 to `count`, each for the first time behind the one before it.
async fn all_in_order(reader: &mut TopicReader, count: u64) {
    let mut seen = BTreeSet::new();
    while seen.len() < usize::try_from(count).unwrap() {
        for seq in take(reader, 1, 1).await {
            assert!(seen.contains(&seq) || seq == seen.len() as u64 + 1, "{seq} behind {seen:?}");
            seen.insert(seq);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_while_events_are_shipped_costs_none() {
    let mut kafka = tokio::task::block_in_place(Kafka::start);
    let site = Site::on(&kafka, "killed");
    make_topic(&site.settings, ONE_COPY).await.unwrap();
    let shipper = site.ship();
    (1..=EVENTS / 3).for_each(|request| site.end(1, request, "stop"));
    let mut reader = site.reader();
    take(&mut reader, 1, 1).await;

    tokio::task::block_in_place(|| kafka.kill());
    (EVENTS / 3 + 1..=EVENTS).for_each(|request| site.end(1, request, "stop"));
    let mut status = shipper.status();
    soon(status.wait_for(|status| status.waiting > 0)).await.unwrap();
    assert!(status.borrow().oldest_us.is_some(), "an outage shows as the age of what waits");
    tokio::task::block_in_place(|| kafka.run());
    all_in_order(&mut site.reader(), EVENTS).await;
    soon(status.wait_for(|status| status.waiting == 0)).await.unwrap();

    assert_eq!(site.spool.status().unbilled_events, EVENTS, "acknowledged is not billed");
    site.spool.trim(&[(Partition::of(OrgUid(1)), EVENTS + 1)]);
    assert_eq!(site.spool.status().unbilled_events, 0);
    site.stop(shipper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_last_is_shipped_before_the_end_and_the_rest_by_the_next_life() {
    let site = Site::new("last").await;
    let shipper = site.ship();
    (1..=20).for_each(|request| site.end(1, request, "stop"));
    site.spool.flush().await.unwrap();
    site.stop(shipper).await;
    all_in_order(&mut site.reader(), 20).await;

    site.spool.trim(&[(Partition::of(OrgUid(1)), 11)]);
    let again = links::usage::topic::TopicShipper::start(
        site.spool.clone(),
        site.settings.clone(),
        tokio_util::sync::CancellationToken::new(),
    );
    let mut reader = site.reader();
    let twice = take(&mut reader, 1, 30).await;
    assert_eq!(twice[20..], (11..=20).collect::<Vec<_>>(), "all that is not billed, and no more");
    drop(again);
}
