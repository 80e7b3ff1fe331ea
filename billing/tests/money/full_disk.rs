//! The consumer on a disk that is full: SQLite's, since a server's disk is not ours to fill.

use crate::on_sqlite::consumer::{end, pay, records, settings, spool, until};
use crate::on_sqlite::world::{World, wallet};
use billing::consumer::Consumer;
use domain::id::OrgUid;
use links::usage::UsageSource;
use std::fs;
use std::process::Command;
use std::time::Duration;
use storage::StorageError;
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A tmpfs of 32 MiB: tests run as root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(folder.path());
        assert!(mount.status().unwrap().success(), "mount needs root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_pauses_billing_and_loses_nothing() {
    let disk = SmallDisk::mount();
    let world = World::at(&format!("sqlite://{}/turnpike.db", disk.0.path().display())).await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    pay(&world, &spool, 1, 100_000).await;

    let ballast = disk.0.path().join("ballast");
    assert!(
        fs::write(&ballast, vec![1_u8; 64 << 20]).is_err(),
        "the ballast takes all that is left"
    );
    let token = CancellationToken::new();
    let source = UsageSource::spool(spool.clone());
    let consumer = Consumer::start_with(settings(), world.database.clone(), source, token.clone());
    for number in 1..=500 {
        end(&spool, number, 1, 10);
    }
    // Until nothing can be written any more.
    until("the disk is full", async || {
        let order = billing::CreditOrder {
            org: OrgUid(2),
            amount: domain::money::Money::parse("1.00 USD").unwrap(),
            idempotency_key: records(&world).await.to_string(),
        };
        match world.post(order).await {
            Err(billing::CreditError::Storage(StorageError::Full(_))) => true,
            Ok(_) => false,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
    sleep(Duration::from_millis(50)).await;
    let paused = records(&world).await;
    assert!(paused < 500, "billing has paused at {paused}");
    world.assert_sound().await;

    fs::remove_file(&ballast).unwrap();
    until("all is billed", async || spool.status().unbilled_events == 0).await;
    assert_eq!(records(&world).await, 500);
    assert_eq!(world.amounts(wallet(1)).await.posted, 95_000);
    world.assert_sound().await;
    token.cancel();
    consumer.await.unwrap();
}
