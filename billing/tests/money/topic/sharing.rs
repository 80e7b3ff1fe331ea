//! Several consumers of one topic: who comes gets a part, who goes or dies leaves its own to the others, and each event
//! counts once.

use super::super::consumer::{end, pay, records, until};
use super::{QUICK, Topic};

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_come_go_and_die_bill_each_event_once() {
    let topic = Topic::new("sharing").await;
    let (world, spool) = (&topic.world, &topic.spool);
    for org in 1..=3 {
        pay(world, spool, org, 100_000).await;
    }
    let end_some = |from: u64| {
        (from..from + 100).for_each(|n| end(spool, n, 1 + i64::try_from(n % 3).unwrap(), 7));
    };
    let (first, stop_first) = topic.consume(QUICK);
    topic.owned_by(1, 64).await;
    end_some(1);
    let (second, _) = topic.consume(QUICK);
    topic.owned_by(2, 32).await;
    end_some(101);
    until("half is billed", async || records(world).await >= 150).await;

    // It lets go of what it has, and the other takes that at once.
    stop_first.cancel();
    first.await.unwrap();
    topic.owned_by(1, 64).await;
    end_some(201);
    topic.billed(300).await;

    // It dies without a word.
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    end_some(301);
    let (_third, _) = topic.consume(QUICK);
    topic.billed(400).await;
    topic.owned_by(1, 64).await;
    assert!(
        topic.number_of("SUM(next_offset)").await >= 400,
        "offsets move with what they stand for"
    );
    assert_eq!(spool.status().unbilled_events, 400, "the topic alone forgets nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_where_the_rows_stand() {
    let topic = Topic::new("offsets").await;
    let (world, spool) = (&topic.world, &topic.spool);
    pay(world, spool, 1, 100_000).await;
    (1..=20).for_each(|number| end(spool, number, 1, 7));
    let (first, stop) = topic.consume(QUICK);
    topic.billed(20).await;
    stop.cancel();
    first.await.unwrap();
    assert_eq!(topic.number_of("SUM(next_offset)").await, 20);
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_partition WHERE owner <> ''").await, 0);

    let (second, stop) = topic.consume(QUICK);
    (21..=30).for_each(|number| end(spool, number, 1, 7));
    topic.billed(30).await;
    stop.cancel();
    second.await.unwrap();
    assert_eq!(topic.number_of("SUM(next_offset)").await, 30, "nothing was read twice");
}
