//! A topic with bytes that no data plane wrote, and one from which something was deleted.

use crate::site::{Site, next, soon, take};
use domain::id::{OrgUid, Partition};
use links::usage::topic::{Claim, TopicMark, TopicReader};
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};

#[tokio::test(flavor = "multi_thread")]
async fn foreign_bytes_are_told_apart_and_stop_nothing() {
    let site = Site::new("foreign").await;
    let partition = Partition::of(OrgUid(1));
    let number = i32::try_from(partition.0).unwrap();
    let nobody = UsageEnvelope { seq: 1, ..UsageEnvelope::default() }.encode_to_vec();
    let odd = UsageEnvelope { data_plane: "No\0one".to_owned(), ..UsageEnvelope::default() };
    site.write(number, &[b"\xff\xff garbage", b"", &nobody, &odd.encode_to_vec()]).await;
    let shipper = site.ship();
    (1..=2).for_each(|request| site.end(1, request, "stop"));

    let mut reader = TopicReader::start(&site.settings).unwrap();
    reader.read(Claim { partition, epoch: 5, offset: 0 });
    let (mut foreign, mut events, mut place) = (Vec::new(), Vec::new(), 0);
    while events.len() < 2 {
        let batch = next(&mut reader).await;
        // One batch begins where the one before it ended.
        let [TopicMark { from, to, epoch: 5, .. }] = batch.upto[..] else { panic!("{batch:?}") };
        assert_eq!(from, place);
        place = to;
        foreign.extend(batch.foreign.into_iter().map(|message| (message.offset, message.payload)));
        events.extend(batch.events.into_iter().map(|envelope| envelope.seq));
    }
    assert_eq!((events, place), (vec![1, 2], 6));
    let payloads = [b"\xff\xff garbage".to_vec(), Vec::new(), nobody, odd.encode_to_vec()];
    assert_eq!(foreign, (0..).zip(payloads).collect::<Vec<_>>());
    reader.read(Claim { partition, epoch: 6, offset: 2 });
    let known = async {
        while reader.lag() != 4 {
            tokio::task::yield_now().await;
        }
    };
    soon(known).await;
    site.stop(shipper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_deleted_from_the_topic_is_told_and_passed_over() {
    let site = Site::new("deleted").await;
    let partition = Partition::of(OrgUid(1));
    let shipper = site.ship();
    (1..=6).for_each(|request| site.end(1, request, "stop"));
    assert_eq!(take(&mut site.reader(), 1, 6).await.len(), 6);
    let mut upto = TopicPartitionList::new();
    let number = i32::try_from(partition.0).unwrap();
    upto.add_partition_offset(&site.settings.topic(), number, Offset::Offset(4)).unwrap();
    site.operator().delete_records(&upto, &AdminOptions::new()).await.unwrap();

    let mut reader = TopicReader::start(&site.settings).unwrap();
    reader.read(Claim { partition, epoch: 1, offset: 1 });
    let batch = next(&mut reader).await;
    assert_eq!(batch.skipped, 3);
    assert_eq!(batch.upto[0].from, 1);
    let mut seqs: Vec<u64> = batch.events.iter().map(|envelope| envelope.seq).collect();
    if seqs.len() < 2 {
        seqs.extend(take(&mut reader, 1, 2 - seqs.len()).await);
    }
    assert_eq!(seqs, [5, 6]);

    // A place that is not there yet is one of another topic of that name, which begins again.
    let mut reader = TopicReader::start(&site.settings).unwrap();
    reader.read(Claim { partition, epoch: 1, offset: 1000 });
    assert_eq!(take(&mut reader, 1, 2).await, [5, 6]);
    // A claim that is made anew begins anew, and one that was left is silent.
    reader.read(Claim { partition, epoch: 2, offset: 5 });
    assert_eq!(take(&mut reader, 1, 1).await, [6]);
    reader.leave(partition);
    assert_eq!(reader.partitions().count(), 0);
    site.stop(shipper).await;
}
