//! A share of a topic: the partitions that the rows say are this consumer's, read from where the rows say.

use crate::consumer::error::ApplyError;
use crate::consumer::ownership::{Own, Ownership, OwnershipSettings};
use crate::consumer::right::TopicPart;
use crate::consumer::{foreign, retry};
use crate::{metric, now};
use domain::id::Partition;
use links::usage::UsageBatch;
use links::usage::topic::TopicReader;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::Database;

/// A topic that several consumers share.
#[derive(Debug)]
pub struct TopicConsumer {
    /// Whose topic it is.
    pub cell: String,
    /// Reads it.
    pub reader: TopicReader,
    /// How its partitions are shared.
    pub ownership: OwnershipSettings,
}

#[derive(Debug)]
pub(in crate::consumer) struct TopicShare {
    pub(super) reader: TopicReader,
    ownership: Ownership,
}

impl TopicShare {
    /// Nothing of it is its own yet.
    pub(in crate::consumer) fn of(topic: TopicConsumer) -> Self {
        let TopicConsumer { cell, reader, ownership } = topic;
        Self { reader, ownership: Ownership::new(cell, ownership) }
    }

    pub(in crate::consumer) const fn renew_every(&self) -> Duration {
        self.ownership.settings.renew_every
    }

    /// Where a batch was read.
    pub(super) fn part<'a>(&'a self, batch: &'a UsageBatch) -> TopicPart<'a> {
        let UsageBatch { upto, foreign, .. } = batch;
        let Ownership { cell, name: owner, .. } = &self.ownership;
        TopicPart { cell, owner, upto, foreign }
    }

    /// Says that it lives, and reads what is its own by now; where it stood before is left as it is.
    pub(in crate::consumer) async fn renew(&mut self, database: &Database) {
        let claims = match database.in_time(self.ownership.renew(database)).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(%error, "whose the partitions are cannot be looked up; it is tried again");
                return;
            }
        };
        let read: BTreeSet<(Partition, u64)> = self.reader.partitions().collect();
        let own = claims.iter().map(|claim| (claim.partition, claim.epoch)).collect();
        for (partition, _) in read.difference(&own) {
            self.reader.leave(*partition);
        }
        metric::owned(own.len());
        for claim in claims {
            if !read.contains(&(claim.partition, claim.epoch)) {
                self.reader.read(claim);
            }
        }
        metric::topic_lag(self.reader.lag());
    }

    /// What is somebody else's is left, and what stands elsewhere is read from there.
    pub(in crate::consumer) async fn give_way(&mut self, database: &Database) {
        tracing::warn!("a batch came too late: others have its partitions");
        // With those of the batch that were not lost: it is read again from where the rows stand.
        self.reader.leave_all();
        self.renew(database).await;
    }

    /// Applies what was kept of its partitions and can be applied now. Returns how many.
    pub(in crate::consumer) async fn retry_kept(
        &self,
        database: &Database,
    ) -> Result<u64, ApplyError> {
        let (cell, owner) = (self.ownership.cell.as_str(), self.ownership.name.as_str());
        let own: BTreeMap<Partition, Own<'_>> = self
            .reader
            .partitions()
            .map(|(partition, epoch)| (partition, Own { cell, owner, partition, epoch }))
            .collect();
        let mut applied = database.in_time(retry::retry_own(database, &own, now())).await?;
        for own in own.into_values() {
            let now_read = database.in_time(foreign::retry(database, own, now())).await?;
            applied = applied.saturating_add(now_read);
        }
        Ok(applied)
    }

    /// Lets go of everything, for others to take at once.
    pub(in crate::consumer) async fn end(&self, database: &Database) {
        if let Err(error) = database.in_time(self.ownership.end(database)).await {
            tracing::info!(%error, "partitions were not let go of; others take them when they are stale");
        }
    }
}
