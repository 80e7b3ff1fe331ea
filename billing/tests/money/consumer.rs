//! The consumer on a real spool: through crashes and restarts.

use super::events::Shape;
use super::world::{Amounts, NOW, World, wallet};
use billing::consumer::{Consumer, ConsumerSettings, apply};
use domain::money::NANO_LIMIT;
use links::spool::{Spool, SpoolSettings};
use links::usage::UsageSource;
use proto::usage::v1::Admitted;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn spool(folder: &Path) -> Spool {
    let settings = SpoolSettings {
        segment_bytes: 64 * 1024,
        capacity_bytes: 4 * 1024 * 1024,
        event_bytes_max: 2048,
        ..SpoolSettings::new(folder)
    };
    Spool::open(settings, "dp").unwrap().0
}

/// Writes a request of an org through the spool.
pub(crate) fn end(spool: &Spool, number: u64, org: i64, cost: u64) {
    let mut event = Shape::new("dp", number, org, cost).event();
    event.request_id = format!("req-{number}");
    let admitted =
        Admitted { request_id: event.request_id.clone(), org_uid: org, ..Admitted::default() };
    spool.admit(&admitted).unwrap().finish(event).unwrap();
}

pub(crate) fn settings() -> ConsumerSettings {
    ConsumerSettings {
        batch: 50,
        linger: Duration::from_millis(1),
        retry_after: Duration::from_millis(5),
        retry_after_max: Duration::from_millis(50),
        ..ConsumerSettings::default()
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !is_so().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{what}"));
}

pub(crate) async fn records(world: &World) -> i64 {
    world.number("SELECT COUNT(*) FROM usage_record").await
}

/// A wallet that pays, with a slice for this life of the spool.
pub(crate) async fn pay(world: &World, spool: &Spool, org: i64, amount: i64) {
    world.credit(org, amount, &format!("for-{org}")).await;
    world.grant("dp", wallet(org), amount).await;
    let mut write = world.database.write().await.unwrap();
    sqlx::query("UPDATE slice SET incarnation = $1")
        .bind(spool.incarnation().cast_signed())
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_written_to_the_spool_is_billed_and_forgotten() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    pay(&world, &spool, 1, 100_000).await;
    pay(&world, &spool, 2, 100_000).await;
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let consumer = Consumer::start_with(settings(), world.database.clone(), source, token.clone());
    for number in 1..=1000 {
        end(&spool, number, 1 + i64::from(number % 2 == 0), number % 90);
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until("all is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await, 1000);
    assert_eq!(spool.status().open_requests, 0);
    assert!(
        world.number("SELECT COUNT(*) FROM ledger_transaction").await < 500,
        "many share a commit"
    );
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn a_crash_between_the_commit_and_the_mark_bills_nothing_twice() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    {
        let spool = spool(folder.path());
        pay(&world, &spool, 1, 1000).await;
        for number in 1..=10 {
            end(&spool, number, 1, 10);
        }
        // Billed, but the process dies before the spool hears of it.
        let mut reader = spool.reader();
        let batch = reader.next_batch(7).await.unwrap();
        apply(&world.database, &batch, NOW).await.unwrap();
        spool.close().await.unwrap();
    }
    let spool = spool(folder.path());
    assert_eq!(spool.status().unbilled_events, 10);
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let consumer = Consumer::start(world.database.clone(), source, token.clone());
    until("all is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await, 10);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 900, held: 900 });
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_is_stopped_anywhere_goes_on_where_it_was() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    pay(&world, &spool, 1, 100_000).await;
    let mut written = 0;
    for round in 0..20_u64 {
        let source = UsageSource::spool(spool.clone());
        let consumer = Consumer::start_with(
            settings(),
            world.database.clone(),
            source,
            CancellationToken::new(),
        );
        for _ in 0..40 {
            written += 1;
            end(&spool, written, 1, 10);
        }
        sleep(Duration::from_millis(round)).await;
        // Killed at any await, in the middle of a commit too.
        consumer.abort();
        drop(consumer.await);
    }
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let consumer = Consumer::start(world.database.clone(), source, token.clone());
    until("all is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await, 800);
    assert_eq!(world.amounts(wallet(1)).await.posted, 92_000);
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn an_event_that_the_ledger_refuses_is_kept_and_the_others_count() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    pay(&world, &spool, 1, 1000).await;
    let largest = u64::try_from(NANO_LIMIT).unwrap();
    // More than its slice can ever have been granted, with what was granted before.
    for (number, cost) in [(1, 10), (2, largest), (3, 10), (4, largest), (5, 10)] {
        end(&spool, number, 1, cost);
    }
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let consumer = Consumer::start(world.database.clone(), source, token.clone());
    until("all is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await, 3);
    let reason = "the ledger refused it: amount out of range (more than 4 billion units)";
    let poison = world.table("SELECT seq, reason FROM usage_poison ORDER BY seq").await;
    assert_eq!(poison, [format!("2|{reason}"), format!("4|{reason}")]);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 970, held: 970 });
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn poison_is_tried_again_by_itself() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    end(&spool, 1, 4, 10);
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let often = ConsumerSettings { look_again: Duration::from_millis(5), ..settings() };
    let consumer = Consumer::start_with(often, world.database.clone(), source, token.clone());
    until("it is kept", async || world.number("SELECT COUNT(*) FROM usage_poison").await == 1)
        .await;
    world.add_org(4, "").await;
    until("it is applied", async || records(&world).await == 1).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_poison").await, 0);
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}
