//! Who takes in what a data plane ships: one at a time, in rows. A batch of somebody who was replaced, or given up as dead, is
//! refused, however late it wakes up; what is known to be counted stays all there is.

use crate::{lives, rows};
use std::sync::LazyLock;
use std::time::Duration;
use storage::{Database, StorageError, Write};
use tokio::time::sleep;

/// This life of this process: in a database of its own, whoever another one left behind is gone.
static PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{}-{}", std::process::id(), crate::now().0));

/// The right to take in what a data plane ships.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    data_plane: String,
    epoch: i64,
}

impl Fence {
    /// Takes the place of everyone before.
    pub(super) async fn claim(database: &Database, data_plane: &str) -> Result<Self, StorageError> {
        let mut write = database.write().await?;
        let now = write.now_us().await?;
        let row = sqlx::query(
            "INSERT INTO usage_owner (data_plane, epoch, owner, is_open, renewed_us, settled_us)
             VALUES ($1, 1, $2, 1, $3, 0)
             ON CONFLICT (data_plane) DO UPDATE SET epoch = usage_owner.epoch + 1,
                 owner = excluded.owner, is_open = 1, renewed_us = excluded.renewed_us,
                 settled_us = 0
             RETURNING epoch",
        )
        .bind(data_plane)
        .bind(PROCESS.as_str())
        .bind(now)
        .fetch_one(&mut *write)
        .await?;
        write.commit().await?;
        Ok(Self { data_plane: data_plane.to_owned(), epoch: rows::integer(&row, "epoch")? })
    }

    /// Locks it until the transaction ends; false: somebody else has it.
    pub(super) async fn hold(&self, write: &mut Write) -> Result<bool, StorageError> {
        let done = sqlx::query(
            "UPDATE usage_owner SET epoch = epoch WHERE data_plane = $1 AND epoch = $2",
        )
        .bind(self.data_plane.as_str())
        .bind(self.epoch)
        .execute(&mut **write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The newest life of it that is to be forgotten once all is counted that came of it.
    pub(super) async fn ordered(&self, database: &Database) -> Result<Option<u64>, StorageError> {
        let mut read = database.read().await?;
        let newest = lives::newest_ordered(&mut read, &self.data_plane).await?;
        read.finish().await?;
        Ok(newest)
    }

    /// Says that it is there, for ever. Of a database of its own, this process is the only user, and need not say so.
    pub(super) async fn keep(self, database: Database, every: Duration) {
        while database.is_shared() {
            sleep(every).await;
            if let Err(error) = database.in_time(self.renew(&database, false)).await {
                tracing::debug!(%error, "that usage is taken in could not be written down");
            }
        }
    }

    /// Says that it is there, and if so, that all that had come is counted.
    pub(super) async fn renew(
        &self,
        database: &Database,
        is_settled: bool,
    ) -> Result<(), StorageError> {
        let mut write = database.write().await?;
        let now = write.now_us().await?;
        sqlx::query(
            "UPDATE usage_owner SET renewed_us = $3,
                 settled_us = CASE WHEN $4 = 1 THEN $3 ELSE settled_us END
             WHERE data_plane = $1 AND epoch = $2",
        )
        .bind(self.data_plane.as_str())
        .bind(self.epoch)
        .bind(now)
        .bind(i64::from(is_settled))
        .execute(&mut *write)
        .await?;
        write.commit().await
    }

    /// The connection has ended, and all that came is counted.
    pub(super) async fn close(&self, database: &Database) -> Result<(), StorageError> {
        let mut write = database.write().await?;
        sqlx::query("UPDATE usage_owner SET is_open = 0 WHERE data_plane = $1 AND epoch = $2")
            .bind(self.data_plane.as_str())
            .bind(self.epoch)
            .execute(&mut *write)
            .await?;
        write.commit().await
    }
}

/// Whether that owner is of this process.
pub(crate) fn is_of_this_process(owner: &str) -> bool {
    owner == PROCESS.as_str()
}
