//! A consumer that believes to own what others have claimed meanwhile: nothing that it does counts.

use super::super::consumer::{end, pay, records, until};
use super::{QUICK, SLOW, Topic};
use billing::consumer::OwnershipSettings;

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_partitions_were_claimed_meanwhile_commits_nothing() {
    let topic = Topic::new("zombie").await;
    let (world, spool) = (&topic.world, &topic.spool);
    pay(world, spool, 1, 100_000).await;
    let (zombie, stop) = topic.consume(SLOW);
    topic.owned_by(1, 64).await;
    end(spool, 1, 1, 7);
    topic.billed(1).await;

    // Somebody else, while it was paused.
    let claim = "UPDATE usage_partition SET owner = 'other', epoch = epoch + 1,
        renewed_us = (SELECT MAX(seen_us) FROM usage_consumer)";
    world.run([claim]).await;
    let before = world.table("SELECT * FROM usage_mark").await;
    (2..=10).for_each(|number| end(spool, number, 1, 7));
    // It reads them, is told, and looks whose they are: then it is seen again.
    let seen = world.number("SELECT MAX(seen_us) FROM usage_consumer").await;
    until("it finds out", async || {
        world.number("SELECT MAX(seen_us) FROM usage_consumer").await > seen
    })
    .await;
    assert_eq!(records(world).await, 1);
    assert_eq!(world.table("SELECT * FROM usage_mark").await, before);
    assert_eq!(topic.number_of("SUM(next_offset)").await, 1);
    assert_eq!(topic.number_of("MIN(epoch)").await, 2, "it claimed nothing back");
    stop.cancel();
    zombie.await.unwrap();
    assert_eq!(
        world.number("SELECT COUNT(*) FROM usage_partition WHERE owner = 'other'").await,
        64
    );

    world.run(["UPDATE usage_partition SET renewed_us = 0"]).await;
    let (_next, _) = topic.consume(QUICK);
    topic.billed(10).await;
}

/// As after a commit of which nobody knows whether it happened: the rows stand elsewhere than the reader.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stand_elsewhere_are_read_from_there() {
    let topic = Topic::new("elsewhere").await;
    let (world, spool) = (&topic.world, &topic.spool);
    pay(world, spool, 1, 100_000).await;
    (1..=5).for_each(|number| end(spool, number, 1, 7));
    let ownership = OwnershipSettings { ..SLOW };
    let (_consumer, _) = topic.consume(ownership);
    topic.billed(5).await;
    world.run(["UPDATE usage_partition SET next_offset = 2 WHERE next_offset = 5"]).await;
    (6..=9).for_each(|number| end(spool, number, 1, 7));
    topic.billed(9).await;
    until("it stands behind all", async || topic.number_of("SUM(next_offset)").await == 9).await;
}
