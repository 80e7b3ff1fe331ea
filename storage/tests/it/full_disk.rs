//! A disk that is really full: a small tmpfs. Needs root, as all of the project's tests do.

use sqlx::Row;
use std::fs;
use std::path::Path;
use std::process::Command;
use storage::{Database, Insert, StorageError};
use tempfile::TempDir;

const LOT: Insert =
    Insert::into("lot", &["id", "org_uid", "kind", "amount", "remaining", "created_us"]);

struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "mount needs root");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

async fn add_lots(database: &Database, ids: &[i64]) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    LOT.rows(&mut write, ids, |statement, id| {
        statement.bind(*id).bind(1_i64).bind("paid").bind(10_i64).bind(0_i64).bind(0_i64)
    })
    .await?;
    write.commit().await
}

async fn ids(database: &Database) -> Vec<i64> {
    let mut read = database.read().await.unwrap();
    let rows = sqlx::query("SELECT id FROM lot ORDER BY id").fetch_all(&mut *read).await.unwrap();
    read.finish().await.unwrap();
    rows.iter().map(|row| row.get("id")).collect()
}

#[tokio::test]
async fn a_full_disk_is_told_at_the_commit_and_heals() {
    let disk = SmallDisk::mount();
    let database =
        Database::open(&format!("sqlite://{}/turnpike.db", disk.path().display())).await.unwrap();
    database.migrate().await.unwrap();

    let ballast = disk.path().join("ballast");
    let filled = fs::write(&ballast, vec![1_u8; 4 << 20]);
    assert!(filled.is_err(), "the ballast takes all that is left");

    let mut told = Vec::new();
    let mut refused = 0;
    for batch in 0..200_i64 {
        let batch: Vec<i64> = (batch * 20..batch * 20 + 20).collect();
        match add_lots(&database, &batch).await {
            Ok(()) => told.extend(batch),
            Err(error) => {
                assert!(matches!(error, StorageError::Full(_)), "{error:?}");
                assert!(error.is_transient());
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "the disk was full: {refused} of 200 refused");
    assert_eq!(ids(&database).await, told, "exactly what was told is there");

    fs::remove_file(&ballast).unwrap();
    add_lots(&database, &[1_000_000]).await.unwrap();
    told.push(1_000_000);
    assert_eq!(ids(&database).await, told);
}
