//! A spool of which a file is damaged beyond repair: what was in it is missing until an operator gives it up, and only then is
//! the spool's room free again.

use super::consumer::{end, pay, records, settings, spool as open, until};
use super::world::{World, wallet};
use billing::consumer::{Consumer, ConsumerSettings};
use billing::{GapQuery, UsageGap, WriteOff, usage_gaps, write_off};
use domain::time::Timestamp;
use links::spool::Spool;
use links::usage::UsageSource;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const EVENTS: u64 = 2400;
const COST: i64 = 3;

/// Files with this ending, oldest first.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let mut files: Vec<PathBuf> = paths.filter(is_one).collect();
    files.sort();
    files
}

/// Several files of events, of which the second is damaged in its middle.
async fn damaged(world: &World, folder: &Path) -> Spool {
    let spool = open(folder);
    pay(world, &spool, 1, 100_000).await;
    (1..=EVENTS).for_each(|number| end(&spool, number, 1, COST.unsigned_abs()));
    spool.close().await.unwrap();
    drop(spool);
    let victim = files(folder, "segment").remove(1);
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xa5);
    fs::write(&victim, bytes).unwrap();
    let spool = open(folder);
    assert_eq!(files(folder, "damaged"), [victim.with_extension("damaged")]);
    spool
}

async fn gaps(world: &World) -> Vec<UsageGap> {
    let query = GapQuery { written_off: false, after: None, limit: 10 };
    usage_gaps(&world.database, &query).await.unwrap()
}

#[tokio::test]
async fn a_damaged_file_keeps_the_spool_from_shrinking_until_its_events_are_written_off() {
    let (world, folder) = (World::new().await, TempDir::new().unwrap());
    let spool = damaged(&world, folder.path()).await;
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let often = ConsumerSettings { look_again: Duration::from_millis(5), ..settings() };
    let consumer = Consumer::start_with(often, world.database.clone(), source, token.clone());
    until("the gap is known", async || !gaps(&world).await.is_empty()).await;
    let gap = gaps(&world).await.remove(0);
    let lost = gap.name.to_seq - gap.name.from_seq + 1;
    until("the rest is billed", async || records(&world).await.unsigned_abs() == EVENTS - lost)
        .await;
    assert!(lost > 3 && lost < EVENTS / 2, "{gap:?}");
    let paid = COST * records(&world).await;
    let amounts = world.amounts(wallet(1)).await;
    assert_eq!((amounts.posted, amounts.held), (100_000 - paid, 100_000 - paid));
    world.assert_sound().await;
    let waiting = EVENTS - gap.name.from_seq + 1;
    until("what precedes the gap is forgotten", async || spool.status().unbilled_events == waiting)
        .await;
    let kept = files(folder.path(), "segment").len();
    assert!(kept > 2, "what is behind the gap is kept");

    let order = WriteOff { gap: gap.name, reason: "damaged".to_owned(), age_min: Duration::ZERO };
    let mut write = world.database.write().await.unwrap();
    write_off(&mut write, &order, Timestamp(u64::MAX / 4)).await.unwrap();
    write.commit().await.unwrap();
    until("the spool is free of it", async || spool.status().unbilled_events == 0).await;
    assert_eq!(files(folder.path(), "damaged"), [] as [PathBuf; 0]);
    assert_eq!(files(folder.path(), "evidence").len(), 1, "what nobody read is kept");
    let after = world.amounts(wallet(1)).await;
    assert_eq!(after, amounts, "nobody was charged, and nothing came free");
    world.assert_sound().await;

    // Life goes on behind it, also after a restart.
    end(&spool, EVENTS + 1, 1, COST.unsigned_abs());
    until("the next is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await.unsigned_abs(), EVENTS - lost + 1);
    token.cancel();
    consumer.await.unwrap();
    spool.close().await.unwrap();
    drop(spool);
    let again = open(folder.path());
    assert_eq!(files(folder.path(), "damaged"), [] as [PathBuf; 0], "it is not found again");
    drop(again);
    world.assert_sound().await;
}
