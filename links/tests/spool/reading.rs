//! What readers are promised.

use super::support::{directory, drain, open, request, request_ids, small, wait};
use domain::id::Partition;
use links::spool::Spool;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tempfile::TempDir;

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A spool with one event that is not synced.
fn unsynced() -> (TempDir, Spool) {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    request(&spool, "a", 1, 1);
    (directory, spool)
}

#[test]
fn no_event_is_delivered_before_it_is_synced() {
    let (_directory, spool) = unsynced();
    wait(async {
        let mut reader = spool.reader();
        {
            let mut next = pin!(reader.next_batch(10));
            assert!(poll_once(next.as_mut()).is_pending());
            assert!(poll_once(next.as_mut()).is_pending());
            spool.flush().await.unwrap();
            assert_eq!(request_ids(&next.await.unwrap()), ["a"]);
        }
        assert!(poll_once(pin!(reader.next_batch(10))).is_pending());
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_reader_with_nothing_to_read_does_nothing_until_a_sync_wakes_it() {
    let (_directory, spool) = unsynced();
    wait(async {
        let mut reader = spool.reader();
        let mut next = pin!(reader.next_batch(10));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // Had it asked for a read, that would be done before this one.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        spool.flush().await.unwrap();
        // One sync wakes both, in either order and on another thread.
        while wakes.0.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(request_ids(&next.await.unwrap()), ["a"]);
    });
}

#[test]
fn a_waiting_reader_is_woken_by_a_sync() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    wait(async {
        let mut reader = spool.reader();
        let waiting = tokio::spawn(async move { reader.next_batch(10).await.unwrap() });
        tokio::task::yield_now().await;
        request(&spool, "a", 1, 1);
        spool.flush().await.unwrap();
        assert_eq!(request_ids(&waiting.await.unwrap()), ["a"]);
    });
}

#[test]
fn dropping_a_read_loses_nothing() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    for count in 0..20 {
        request(&spool, &format!("{count}"), 1, 1);
    }
    wait(async {
        spool.flush().await.unwrap();
        let mut reader = spool.reader();
        for _ in 0..10 {
            assert!(poll_once(pin!(reader.next_batch(3))).is_pending());
        }
        assert_eq!(drain(&spool, &mut reader).await.len(), 20);
    });
}

#[test]
fn a_batch_is_never_larger_than_asked_and_batches_join_without_gap_across_segments() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let expected: Vec<_> = (0..200).map(|count| format!("{count}")).collect();
    for request_id in &expected {
        request(&spool, request_id, 1, 1);
    }
    wait(async {
        spool.flush().await.unwrap();
        let mut reader = spool.reader();
        let mut all = Vec::new();
        while all.len() < expected.len() {
            let batch = reader.next_batch(7).await.unwrap();
            assert!((1..=7).contains(&batch.len()));
            all.extend(request_ids(&batch));
        }
        assert_eq!(all, expected);
    });
}

#[test]
fn rewinding_goes_back_to_what_is_billed_and_no_further() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let (partition, _) = request(&spool, "a", 1, 1);
    request(&spool, "b", 1, 1);
    request(&spool, "c", 1, 1);
    wait(async {
        spool.flush().await.unwrap();
        let mut reader = spool.reader();
        assert_eq!(request_ids(&drain(&spool, &mut reader).await), ["a", "b", "c"]);
        reader.rewind();
        assert_eq!(request_ids(&drain(&spool, &mut reader).await), ["a", "b", "c"]);
        spool.trim(&[(Partition(partition), 3)]);
        reader.rewind();
        assert_eq!(request_ids(&drain(&spool, &mut reader).await), ["c"]);
        assert_eq!(request_ids(&drain(&spool, &mut spool.reader()).await), ["c"]);
    });
}

#[test]
fn a_reader_goes_on_although_the_segment_it_was_in_is_trimmed() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let requests = |from: u64, until: u64| {
        for count in from..until {
            assert_eq!(request(&spool, &format!("{count}"), 1, 1).1, count);
        }
    };
    let partition = Partition(request(&spool, "0", 1, 1).0);
    requests(2, 100);
    wait(async {
        spool.flush().await.unwrap();
        let mut reader = spool.reader();
        let first = reader.next_batch(5).await.unwrap();
        assert_eq!(first.last().map(|envelope| envelope.seq), Some(5));
        spool.trim(&[(partition, 100)]);
        requests(100, 140);
        spool.flush().await.unwrap();
        let rest = drain(&spool, &mut reader).await;
        let seqs: Vec<_> =
            rest.iter().map(|envelope| envelope.seq).filter(|seq| *seq >= 100).collect();
        assert_eq!(seqs, (100..140).collect::<Vec<_>>());
    });
}
