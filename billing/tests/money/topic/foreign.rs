//! A topic with what is no event: kept, and applied when it can be read.

use super::super::consumer::{end, pay, records, until};
use super::super::events::Shape;
use super::{QUICK, Topic};
use domain::id::{OrgUid, Partition};
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

impl Topic {
    /// Writes what no data plane would.
    async fn write(&self, payloads: Vec<Vec<u8>>) {
        let partition = i32::try_from(Partition::of(OrgUid(1)).0).unwrap();
        let topic = self.settings.topic();
        let brokers = self.settings.brokers.join(",");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("message.max.bytes", "4194304");
        // In order, and once, however often it has to be sent.
        config.set("enable.idempotence", "true");
        let client: BaseProducer = config.create().unwrap();
        for payload in &payloads {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(&topic).partition(partition).payload(payload);
            client.send(record).unwrap();
        }
        let flushed = tokio::task::spawn_blocking(move || client.flush(Duration::from_secs(30)));
        flushed.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_bytes_are_kept_and_applied_once_they_can_be_read() {
    let topic = Topic::new("foreign").await;
    let (world, spool) = (&topic.world, &topic.spool);
    pay(world, spool, 1, 100_000).await;
    let other = UsageEnvelope { partition: 99, ..Shape::new("dp", 1, 1, 7).envelope() };
    topic
        .write(vec![
            b"\xff garbage".to_vec(),
            Vec::new(),
            other.encode_to_vec(),
            vec![0xff; 2 << 20],
        ])
        .await;
    (1..=3).for_each(|number| end(spool, number, 1, 7));
    let (consumer, stop) = topic.consume(QUICK);
    topic.billed(3).await;
    let kept = world
        .table("SELECT offset_no, raw FROM usage_foreign WHERE raw <> '' ORDER BY offset_no")
        .await;
    let raw = |bytes: &[u8]| hex::encode(bytes);
    assert_eq!(
        kept,
        [format!("0|{}", raw(b"\xff garbage")), format!("2|{}", raw(&other.encode_to_vec()))]
    );
    let long = world.table("SELECT reason FROM usage_foreign WHERE offset_no = 3").await;
    assert!(long[0].contains("2097152 bytes, BLAKE3"), "{long:?}");
    assert_eq!(topic.number_of("SUM(next_offset)").await, 7);
    stop.cancel();
    consumer.await.unwrap();

    // As if this version could not read it, but the next one can.
    let event = Shape::new("dp", 4, 1, 9).event();
    let envelope = UsageEnvelope {
        data_plane: "dp".to_owned(),
        incarnation: spool.incarnation(),
        partition: Partition::of(OrgUid(1)).0,
        seq: 4,
        event: Some(event),
        ..UsageEnvelope::default()
    };
    let readable = format!(
        "UPDATE usage_foreign SET raw = '{}' WHERE offset_no = 0",
        raw(&envelope.encode_to_vec())
    );
    world.run([readable.as_str()]).await;
    let (_consumer, _) = topic.consume(QUICK);
    topic.billed(4).await;
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_foreign").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_data_plane_wrote_is_kept_until_billing_is_as_new() {
    let topic = Topic::new("schema").await;
    let (world, spool) = (&topic.world, &topic.spool);
    pay(world, spool, 1, 100_000).await;
    let shape = Shape::new("dp", 1, 1, 7);
    let newer = UsageEnvelope {
        incarnation: spool.incarnation(),
        partition: Partition::of(OrgUid(1)).0,
        schema: 99,
        ..shape.envelope()
    };
    topic.write(vec![newer.encode_to_vec()]).await;
    let (_consumer, _) = topic.consume(QUICK);
    let poison = "SELECT COUNT(*) FROM usage_poison";
    until("it is kept", async || world.number(poison).await == 1).await;
    assert_eq!(records(world).await, 0);
    let known = UsageEnvelope { schema: 1, ..newer };
    let raw = hex::encode(known.encode_to_vec());
    world.run([format!("UPDATE usage_poison SET raw = '{raw}'").as_str()]).await;
    topic.billed(1).await;
    assert_eq!(world.number(poison).await, 0);
}
