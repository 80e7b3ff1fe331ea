//! A topic of its own, a spool that is shipped into it, and who reads it.

use links::spool::{Spool, SpoolSettings};
use links::usage::UsageBatch;
use links::usage::topic::{
    Claim, TopicReader, TopicSettings, TopicShape, TopicShipper, make_topic,
};
use proto::usage::v1::{Admitted, UsageEvent};
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use servers::Kafka;
use std::future::Future;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Beyond this something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ONE_COPY: TopicShape =
    TopicShape { replication: 1, min_in_sync: 1, retention: Duration::from_secs(3600) };

pub(crate) struct Site {
    pub(crate) settings: TopicSettings,
    pub(crate) spool: Spool,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Site {
    /// On the broker that all tests share.
    pub(crate) async fn new(cell: &str) -> Self {
        let site = Self::on(Kafka::shared(), cell);
        assert!(make_topic(&site.settings, ONE_COPY).await.unwrap());
        site
    }

    pub(crate) fn on(kafka: &Kafka, cell: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let spool = Spool::open(SpoolSettings::new(folder.path()), "dp").unwrap().0;
        let settings = TopicSettings {
            retry_after_max: Duration::from_millis(500),
            ..TopicSettings::new(vec![kafka.address()], cell)
        };
        Self { settings, spool, stop: CancellationToken::new(), _folder: folder }
    }

    pub(crate) fn ship(&self) -> TopicShipper {
        TopicShipper::start(self.spool.clone(), self.settings.clone(), self.stop.clone())
    }

    /// Writes the end of a request into the spool.
    pub(crate) fn end(&self, org: i64, request: u64, finish_reason: &str) {
        let request_id = format!("req-{org}-{request}");
        let admitted =
            Admitted { request_id: request_id.clone(), org_uid: org, ..Admitted::default() };
        let finish_reason = finish_reason.to_owned();
        let event = UsageEvent {
            request_id,
            org_uid: org,
            finish_reason,
            ended_us: request,
            ..UsageEvent::default()
        };
        self.spool.admit(&admitted).unwrap().finish(event).unwrap();
    }

    /// Reads everything from the beginning.
    pub(crate) fn reader(&self) -> TopicReader {
        let mut reader = TopicReader::start(&self.settings).unwrap();
        for partition in (0..domain::id::PARTITIONS).map(domain::id::Partition) {
            reader.read(Claim { partition, epoch: 1, offset: 0 });
        }
        reader
    }

    pub(crate) fn operator(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Writes what no data plane would.
    pub(crate) async fn write(&self, partition: i32, payloads: &[&[u8]]) {
        // In order, and once, however often it has to be sent.
        let mut config = self.client();
        config.set("enable.idempotence", "true");
        let client: BaseProducer = config.create().unwrap();
        let topic = self.settings.topic();
        for payload in payloads {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(&topic).partition(partition).payload(payload);
            client.send(record).unwrap();
        }
        tokio::task::spawn_blocking(move || client.flush(PATIENCE).unwrap()).await.unwrap();
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.settings.brokers.join(","));
        config
    }

    pub(crate) async fn stop(&self, shipper: TopicShipper) {
        self.stop.cancel();
        soon(shipper.ended()).await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The next numbers of the org that arrive, until there are so many.
pub(crate) async fn take(reader: &mut TopicReader, org: i64, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let batch = next(reader).await;
        let events = batch
            .events
            .iter()
            .filter(|envelope| envelope.event.as_ref().is_some_and(|event| event.org_uid == org));
        seqs.extend(events.map(|envelope| envelope.seq));
    }
    seqs
}

pub(crate) async fn next(reader: &mut TopicReader) -> UsageBatch {
    soon(reader.next_batch(3)).await.unwrap()
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}
