//! Which partitions of a topic are whose, in rows: claimed under an epoch, renewed while their owner lives, and asserted by
//! every transaction that bills what came from them. Kafka's own groups carry nothing of this.
//!
//! Who was paused for long and wakes up finds that others have claimed what was its own: nothing that it does then counts.

mod share;

use super::right::TopicPart;
use crate::{metric, rows};
use domain::id::{PARTITIONS, Partition};
use links::usage::topic::{Claim, TopicMark};
use share::{Row, Shared};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::{Database, Insert, Statement, StorageError, Write};

const PARTITION: Insert = Insert::into(
    "usage_partition",
    &["cell", "partition_no", "owner", "epoch", "next_offset", "renewed_us"],
)
.on_conflict("ON CONFLICT DO NOTHING");

/// Consumers that were not seen for so many times the time after which they are stale leave no row.
const FORGOTTEN_AFTER: i64 = 100;

/// Limits of owners.
#[derive(Clone, Copy, Debug)]
pub struct OwnershipSettings {
    /// How often an owner says that it lives, and looks for what is nobody's.
    pub renew_every: Duration,
    /// Who was not heard of for so long owns nothing any more.
    pub stale_after: Duration,
}

impl Default for OwnershipSettings {
    fn default() -> Self {
        Self { renew_every: Duration::from_secs(3), stale_after: Duration::from_secs(10) }
    }
}

/// One consumer of a cell's topic, and what it owns by its own account.
#[derive(Debug)]
pub(super) struct Ownership {
    pub(super) cell: String,
    /// This life of this consumer.
    pub(super) name: String,
    pub(super) settings: OwnershipSettings,
    has_rows: bool,
}

impl Ownership {
    pub(super) fn new(cell: String, settings: OwnershipSettings) -> Self {
        let name = hex::encode(rand::random::<[u8; 16]>());
        Self { cell, name, settings, has_rows: false }
    }

    /// Says that it lives, lets go of what is more than its share, and claims what it lacks of that and nobody has. Returns
    /// what is its own from now on.
    pub(super) async fn renew(&mut self, database: &Database) -> Result<Vec<Claim>, StorageError> {
        let mut write = database.write().await?;
        if !self.has_rows {
            self.make_rows(&mut write).await?;
        }
        let now = write.now_us().await?;
        let stale = rows::micros(self.settings.stale_after);
        self.be_seen(&mut write, now, stale).await?;
        let consumers = self.consumers(&mut write, now, stale).await?;
        let found = self.rows(&mut write).await?;
        let shared = Shared { me: &self.name, consumers, now_us: now, stale_after_us: stale };
        let share::Decision { let_go, claim } = share::decide(&found, shared);
        let mut own: BTreeMap<Partition, Row> =
            found.into_iter().filter(|(_, row)| row.owner == self.name).collect();
        for partition in let_go {
            own.remove(&partition);
            self.let_go(&mut write, partition).await?;
        }
        for partition in claim {
            let claimed = self.claim(&mut write, partition, now, stale).await?;
            own.extend(claimed.map(|row| (partition, row)));
        }
        write.commit().await?;
        self.has_rows = true;
        let claim = |(partition, row): (Partition, Row)| Claim {
            partition,
            epoch: row.epoch,
            offset: row.next_offset,
        };
        Ok(own.into_iter().map(claim).collect())
    }

    /// Lets go of everything, for others to take at once.
    pub(super) async fn end(&self, database: &Database) -> Result<(), StorageError> {
        let mut write = database.write().await?;
        sqlx::query("UPDATE usage_partition SET owner = '' WHERE cell = $1 AND owner = $2")
            .bind(self.cell.as_str())
            .bind(self.name.as_str())
            .execute(&mut *write)
            .await?;
        sqlx::query("DELETE FROM usage_consumer WHERE name = $1")
            .bind(self.name.as_str())
            .execute(&mut *write)
            .await?;
        write.commit().await
    }

    async fn make_rows(&self, write: &mut Write) -> Result<(), StorageError> {
        let partitions: Vec<i64> = (0..PARTITIONS).map(i64::from).collect();
        PARTITION
            .rows(write, &partitions, |statement, partition| {
                let statement = statement.bind(self.cell.clone()).bind(*partition).bind("");
                statement.bind(0_i64).bind(0_i64).bind(0_i64)
            })
            .await
    }

    async fn be_seen(&self, write: &mut Write, now: i64, stale: i64) -> Result<(), StorageError> {
        sqlx::query("UPDATE usage_partition SET renewed_us = $3 WHERE cell = $1 AND owner = $2")
            .bind(self.cell.as_str())
            .bind(self.name.as_str())
            .bind(now)
            .execute(&mut **write)
            .await?;
        sqlx::query(
            "INSERT INTO usage_consumer (name, cell, seen_us) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET seen_us = excluded.seen_us",
        )
        .bind(self.name.as_str())
        .bind(self.cell.as_str())
        .bind(now)
        .execute(&mut **write)
        .await?;
        sqlx::query("DELETE FROM usage_consumer WHERE seen_us < $1")
            .bind(now.saturating_sub(stale.saturating_mul(FORGOTTEN_AFTER)))
            .execute(&mut **write)
            .await?;
        Ok(())
    }

    async fn consumers(
        &self,
        write: &mut Write,
        now: i64,
        stale: i64,
    ) -> Result<u64, StorageError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS consumers FROM usage_consumer
             WHERE cell = $1 AND seen_us BETWEEN $2 AND $3",
        )
        .bind(self.cell.as_str())
        .bind(now.saturating_sub(stale))
        .bind(now.saturating_add(stale))
        .fetch_one(&mut **write)
        .await?;
        rows::count(&row, "consumers")
    }

    async fn rows(&self, write: &mut Write) -> Result<BTreeMap<Partition, Row>, StorageError> {
        let found = sqlx::query(
            "SELECT partition_no, owner, epoch, next_offset, renewed_us FROM usage_partition
             WHERE cell = $1",
        )
        .bind(self.cell.as_str())
        .fetch_all(&mut **write)
        .await?;
        let row = |row| {
            let owner = rows::text(row, "owner")?;
            let epoch = rows::count(row, "epoch")?;
            let next_offset = rows::count(row, "next_offset")?;
            let renewed_us = rows::integer(row, "renewed_us")?;
            Ok((rows::partition(row)?, Row { owner, epoch, next_offset, renewed_us }))
        };
        found.iter().map(row).collect()
    }

    async fn claim(
        &self,
        write: &mut Write,
        partition: Partition,
        now: i64,
        stale: i64,
    ) -> Result<Option<Row>, StorageError> {
        let claimed = sqlx::query(
            "UPDATE usage_partition SET owner = $3, epoch = epoch + 1, renewed_us = $4
             WHERE cell = $1 AND partition_no = $2
             AND (owner = '' OR renewed_us < $5 OR renewed_us > $6)
             RETURNING epoch, next_offset",
        )
        .bind(self.cell.as_str())
        .bind(i64::from(partition.0))
        .bind(self.name.as_str())
        .bind(now)
        .bind(now.saturating_sub(stale))
        .bind(now.saturating_add(stale))
        .fetch_optional(&mut **write)
        .await?;
        let Some(row) = claimed else { return Ok(None) };
        let (epoch, next_offset) = (rows::count(&row, "epoch")?, rows::count(&row, "next_offset")?);
        Ok(Some(Row { owner: self.name.clone(), epoch, next_offset, renewed_us: now }))
    }

    async fn let_go(&self, write: &mut Write, partition: Partition) -> Result<(), StorageError> {
        sqlx::query(
            "UPDATE usage_partition SET owner = ''
             WHERE cell = $1 AND partition_no = $2 AND owner = $3",
        )
        .bind(self.cell.as_str())
        .bind(i64::from(partition.0))
        .bind(self.name.as_str())
        .execute(&mut **write)
        .await?;
        Ok(())
    }
}

/// A partition that is the caller's own, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) cell: &'a str,
    pub(super) owner: &'a str,
    pub(super) partition: Partition,
    pub(super) epoch: u64,
}

impl Own<'_> {
    /// Locks it without moving its offset. False: it is somebody else's.
    pub(super) async fn hold(self, write: &mut Write) -> Result<bool, StorageError> {
        let held = sqlx::query(
            "UPDATE usage_partition SET epoch = epoch
             WHERE cell = $1 AND partition_no = $2 AND epoch = $3 AND owner = $4",
        )
        .bind(self.cell)
        .bind(i64::from(self.partition.0))
        .bind(rows::stored(self.epoch))
        .bind(self.owner)
        .execute(&mut **write)
        .await?;
        Ok(held.rows_affected() == 1)
    }
}

/// Moves the offsets of partitions, as the first statement of a transaction, and locks them until it ends. False: some are
/// not the caller's any more, or do not stand where it believes, and nothing of the transaction may count. The epoch alone would not
/// tell: where commits were lost, it is given out twice.
pub(super) async fn fence(
    write: &mut Write,
    TopicPart { cell, owner, upto: marks, .. }: TopicPart<'_>,
) -> Result<bool, StorageError> {
    let mut lost: BTreeSet<Partition> = marks.iter().map(|mark| mark.partition).collect();
    for marks in storage::chunks(marks) {
        let values = storage::values(write, marks.len(), 6);
        let text = format!(
            "UPDATE usage_partition SET next_offset = mark.column5
             FROM (VALUES {values}) AS mark
             WHERE cell = mark.column1 AND partition_no = mark.column2 AND epoch = mark.column3
             AND next_offset = mark.column4 AND owner = mark.column6
             RETURNING partition_no"
        );
        let bind = |statement: Statement, mark: &TopicMark| {
            statement
                .bind(cell.to_owned())
                .bind(i64::from(mark.partition.0))
                .bind(rows::stored(mark.epoch))
                .bind(rows::stored(mark.from))
                .bind(rows::stored(mark.to))
                .bind(owner.to_owned())
        };
        let statement = marks.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut **write).await? {
            lost.remove(&rows::partition(&row)?);
        }
    }
    if !lost.is_empty() {
        tracing::warn!(cell, ?lost, "partitions have another owner, or stand elsewhere");
        metric::fenced(lost.len());
    }
    Ok(lost.is_empty())
}

/// Marks that lock their partitions, and move nothing.
pub(super) fn standing(marks: &[TopicMark]) -> Vec<TopicMark> {
    marks.iter().map(|mark| TopicMark { to: mark.from, ..*mark }).collect()
}
