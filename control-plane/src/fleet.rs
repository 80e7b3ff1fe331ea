//! The data planes of all control planes on one database: each replica writes down those that follow it, and reads all.
//! Where a control plane is the only one, its own list is the whole.

use crate::errors::Failure;
use crate::rows;
use links::feed::{DataPlaneStatus, FeedPublisher, Follower, Followers};
use proto::admin::v1;
use std::collections::BTreeMap;
use std::time::Duration;
use storage::Database;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How long what data planes say gathers before it is written down.
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// How often those that say nothing are written down again.
const RENEWED_EVERY: Duration = Duration::from_secs(5);
/// How long after that one whose replica fell silent still counts: three times as long.
const HEARD_WITHIN: Duration = Duration::from_secs(15);

/// Who follows.
#[derive(Clone)]
pub(crate) struct Fleet {
    db: Database,
    publisher: FeedPublisher,
    /// This life of this control plane.
    replica: String,
}

impl Fleet {
    pub(crate) fn new(db: Database, publisher: FeedPublisher) -> Self {
        Self { db, publisher, replica: hex::encode(rand::random::<[u8; 16]>()) }
    }

    /// All data planes, by name.
    pub(crate) async fn list(&self) -> Result<Vec<v1::DataPlane>, Failure> {
        if !self.db.is_shared() {
            return Ok(self.publisher.data_planes().iter().map(told).collect());
        }
        let mut read = self.db.read().await?;
        let since = read.now_us().await?.saturating_sub(micros(HEARD_WITHIN));
        let planes = rows::heard_since(&mut read, since).await?;
        read.finish().await?;
        Ok(planes)
    }

    /// Writes down, until the process ends, who follows this control plane.
    pub(crate) async fn tell(self, shutdown: CancellationToken) {
        if !self.db.is_shared() {
            return;
        }
        let mut followers = self.publisher.followers();
        let mut renewal = interval(RENEWED_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = BTreeMap::new();
        loop {
            let is_over = tokio::select! {
                () = shutdown.cancelled() => true,
                is_gone = changed(&mut followers) => is_gone,
                _ = renewal.tick() => false,
            };
            let now = if is_over { Vec::new() } else { followers.list() };
            match self.write_down(&written, &now).await {
                Ok(()) => written = by_connection(now),
                Err(error) => tracing::warn!(%error, "who follows could not be written down yet"),
            }
            if is_over {
                return;
            }
        }
    }

    async fn write_down(&self, before: &Written, now: &[Follower]) -> Result<(), Failure> {
        let is_known = |it: &&Follower| before.get(&it.status.name) == Some(&it.connection);
        let (known, new): (Vec<_>, Vec<_>) = now.iter().partition(is_known);
        let left = before.keys().filter(|name| !now.iter().any(|it| it.status.name == **name));
        let left: Vec<v1::DataPlane> = left
            .map(|name| v1::DataPlane { name: name.clone(), ..v1::DataPlane::default() })
            .collect();
        let mut write = self.db.write().await?;
        let at = write.now_us().await?;
        rows::joined(&mut write, &self.replica, &tell_all(&new), at).await?;
        rows::heard(&mut write, &self.replica, &tell_all(&known), at).await?;
        rows::heard(&mut write, &self.replica, &left, 0).await?;
        Ok(write.commit().await?)
    }
}

/// Which connection of each was written down.
type Written = BTreeMap<String, u64>;

fn by_connection(followers: Vec<Follower>) -> Written {
    followers.into_iter().map(|it| (it.status.name, it.connection)).collect()
}

/// Waits for news and for what comes with them. Whether there never will be any.
async fn changed(followers: &mut Followers) -> bool {
    let is_gone = !followers.changed().await;
    sleep(GATHERED_FOR).await;
    is_gone
}

fn tell_all(followers: &[&Follower]) -> Vec<v1::DataPlane> {
    followers.iter().map(|it| told(&it.status)).collect()
}

fn told(plane: &DataPlaneStatus) -> v1::DataPlane {
    v1::DataPlane {
        name: plane.name.clone(),
        applied: plane.applied.rev,
        rejects: plane.rejects.clone(),
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
