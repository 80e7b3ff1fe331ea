//! The usage source over a spool read in place.

use super::support::{directory, open, request, request_ids, small, used_segments, wait};
use domain::id::Partition;
use links::usage::{UsageSource, UsageSourceError};

#[test]
fn a_source_delivers_takes_marks_and_rewinds_to_them() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let partition = Partition(request(&spool, "1", 1, 1).0);
    for count in 2..=100 {
        request(&spool, &format!("{count}"), 1, 1);
    }
    wait(async {
        let mut source = UsageSource::spool(spool.clone());
        spool.flush().await.unwrap();
        let before = used_segments(directory.path()).len();
        assert_eq!(source.next_batch(60).await.unwrap().events.len(), 60);
        source.billed(&[(partition, 51)]).await.unwrap();
        assert!(used_segments(directory.path()).len() < before);
        source.rewind();
        let again = source.next_batch(1).await.unwrap().events;
        assert_eq!(request_ids(&again), ["51"]);
    });
}

#[test]
fn a_source_ends_when_its_spool_is_closed() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    wait(async {
        let mut source = UsageSource::spool(spool.clone());
        let waiting = tokio::spawn(async move { source.next_batch(1).await });
        tokio::task::yield_now().await;
        spool.close().await.unwrap();
        let ended = waiting.await.unwrap();
        assert!(matches!(ended, Err(UsageSourceError::Closed)));
    });
}
