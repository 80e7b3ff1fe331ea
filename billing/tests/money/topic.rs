//! Usage that comes through a topic of a real broker: whose the partitions are, and that offsets, marks and money move
//! together or not at all.

mod foreign;
mod sharing;
mod zombie;

use super::consumer::{records, settings, spool, until};
use super::world::World;
use billing::consumer::{Consumer, OwnershipSettings, TopicConsumer};
use links::spool::Spool;
use links::usage::topic::{TopicReader, TopicSettings, TopicShape, TopicShipper, make_topic};
use servers::Kafka;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A world whose data plane ships into a topic of its own.
struct Topic {
    world: World,
    spool: Spool,
    settings: TopicSettings,
    _shipper: TopicShipper,
    stop: CancellationToken,
    _folder: TempDir,
}

/// How soon everything changes hands.
const QUICK: OwnershipSettings = OwnershipSettings {
    renew_every: Duration::from_millis(100),
    stale_after: Duration::from_millis(1500),
};

/// One that looks only once whose everything is, and takes nobody for gone.
const SLOW: OwnershipSettings = OwnershipSettings {
    renew_every: Duration::from_secs(3600),
    stale_after: Duration::from_secs(3600),
};

impl Topic {
    async fn new(name: &str) -> Self {
        let world = World::new().await;
        let cell = format!("{name}-{:?}", super::kind()).to_lowercase();
        let kafka = tokio::task::block_in_place(Kafka::shared);
        let settings = TopicSettings::new(vec![kafka.address()], &cell);
        let shape =
            TopicShape { replication: 1, min_in_sync: 1, retention: Duration::from_secs(3600) };
        make_topic(&settings, shape).await.unwrap();
        let folder = TempDir::new().unwrap();
        let spool = spool(folder.path());
        let stop = CancellationToken::new();
        let shipper = TopicShipper::start(spool.clone(), settings.clone(), stop.clone());
        Self { world, spool, settings, _shipper: shipper, stop, _folder: folder }
    }

    /// Another consumer, and what stops it.
    fn consume(&self, ownership: OwnershipSettings) -> (JoinHandle<()>, CancellationToken) {
        let topic = TopicConsumer {
            cell: self.settings.cell.clone(),
            reader: TopicReader::start(&self.settings).unwrap(),
            ownership,
        };
        let token = self.stop.child_token();
        let settings = billing::consumer::ConsumerSettings {
            look_again: Duration::from_millis(100),
            ..settings()
        };
        let database = self.world.database.clone();
        (Consumer::start_on_topic(settings, database, topic, token.clone()), token)
    }

    async fn number_of(&self, what: &str) -> i64 {
        self.world.number(&format!("SELECT CAST({what} AS BIGINT) FROM usage_partition")).await
    }

    /// Waits until so many owners have so many partitions each, at most.
    async fn owned_by(&self, owners: i64, most: i64) {
        let owned = "SELECT COUNT(*) FROM usage_partition WHERE owner <> ''";
        let shares = format!(
            "SELECT COUNT(*) FROM (SELECT owner FROM usage_partition WHERE owner <> ''
             GROUP BY owner HAVING COUNT(*) <= {most}) AS shares"
        );
        until("all is owned in fair shares", async || {
            self.world.number(owned).await == 64 && self.world.number(&shares).await == owners
        })
        .await;
    }

    async fn billed(&self, events: i64) {
        until("all is billed", async || records(&self.world).await >= events).await;
        assert_eq!(records(&self.world).await, events, "each once");
        self.world.assert_sound().await;
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
