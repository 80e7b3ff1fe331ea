//! All that one data plane ships, over its link or in its spool: taken in by one consumer at a time, which has claimed it
//! before it applies anything.

use crate::consumer::fence::Fence;
use crate::consumer::pace::Pace;
use links::usage::UsageSource;
use std::time::Duration;
use storage::Database;
use tokio::task::JoinSet;

#[derive(Debug)]
pub(in crate::consumer) struct Line {
    pub(super) source: UsageSource,
    pub(super) fence: Fence,
    /// Somebody else goes on.
    pub(super) is_replaced: bool,
    renew_every: Duration,
    /// Says that this one is there, also while a batch waits for the database.
    renewing: JoinSet<()>,
}

impl Line {
    /// Takes the place of whoever took in what this data plane ships before. `None`: it was told to stop meanwhile.
    pub(in crate::consumer) async fn claim(
        database: &Database,
        source: UsageSource,
        renew_every: Duration,
        pace: &Pace,
    ) -> Option<Self> {
        let fence = claim(database, &source, pace).await?;
        let renewing = JoinSet::new();
        let mut line = Self { source, fence, is_replaced: false, renew_every, renewing };
        line.keep(database);
        Some(line)
    }

    fn keep(&mut self, database: &Database) {
        self.renewing.abort_all();
        self.renewing.spawn(self.fence.clone().keep(database.clone(), self.renew_every));
    }

    pub(in crate::consumer) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// What is not counted goes to whoever took its place. The spool of this process has nobody else.
    pub(in crate::consumer) async fn give_way(&mut self, database: &Database, pace: &Pace) {
        let (data_plane, _) = self.source.holder();
        tracing::warn!(data_plane, "somebody else takes in this usage");
        match self.source {
            UsageSource::Spool { .. } => {
                let Some(fence) = claim(database, &self.source, pace).await else { return };
                self.fence = fence;
                self.keep(database);
                self.source.rewind();
            }
            UsageSource::Link(_) => self.is_replaced = true,
        }
    }

    /// All that came is counted, and nothing more will come.
    pub(in crate::consumer) async fn close(&self, database: &Database) {
        if let Err(error) = database.in_time(self.fence.close(database)).await {
            tracing::debug!(%error, "that all usage is counted could not be written down");
        }
    }
}

async fn claim(database: &Database, source: &UsageSource, pace: &Pace) -> Option<Fence> {
    let (data_plane, _) = source.holder();
    let mut failures = 0;
    while !pace.is_over() {
        match database.in_time(Fence::claim(database, data_plane)).await {
            Ok(fence) => return Some(fence),
            Err(error) => {
                tracing::warn!(%error, "usage cannot be taken in yet; nothing is lost");
                pace.pause_after(failures).await;
                failures = failures.saturating_add(1);
            }
        }
    }
    None
}
