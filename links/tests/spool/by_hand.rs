//! A spool without a thread: nothing is synced unless somebody waits for it, and nobody ever waits in vain.

use crate::support::{
    admitted, directory, event, open, power_cut_now, request, request_ids, small,
};
use futures::FutureExt;
use links::spool::{SpoolSettings, Upkeep};
use std::path::Path;

fn by_hand(directory: &Path, incarnation: u64) -> SpoolSettings {
    SpoolSettings { upkeep: Upkeep::ByHand { incarnation }, ..small(directory) }
}

#[test]
fn by_hand_a_sync_is_done_by_whoever_waits_for_it_and_by_nobody_else() {
    let home = directory();
    let (spool, recovered) = open(&by_hand(home.path(), 17));
    assert_eq!((spool.incarnation(), recovered.incarnation), (17, 17));
    let mut reader = spool.reader();
    request(&spool, "synced", 1, 5);
    assert!(reader.next_batch(10).now_or_never().is_none(), "nothing is synced");
    spool.flush().now_or_never().expect("done in place").unwrap();
    let batch = reader.next_batch(10).now_or_never().expect("read in place").unwrap();
    assert_eq!(request_ids(&batch), ["synced"]);
    request(&spool, "cut", 1, 5);
    let cut = power_cut_now(home.path());
    let (again, recovered) = open(&by_hand(cut.path(), 18));
    assert_eq!(recovered.incarnation, 17, "an intact spool goes on with its life");
    let all = again.reader().next_batch(10).now_or_never().expect("read in place").unwrap();
    assert_eq!(request_ids(&all), ["synced"]);
}

#[test]
fn by_hand_many_segments_come_and_go_as_with_a_thread() {
    let home = directory();
    let (spool, _) = open(&by_hand(home.path(), 1));
    let mut reader = spool.reader();
    for number in 0..200 {
        let ticket = spool.admit(&admitted(&number.to_string(), 3)).unwrap();
        let id = ticket.finish(event(&number.to_string(), 3, 1)).unwrap();
        spool.flush().now_or_never().expect("done in place").unwrap();
        let batch = reader.next_batch(10).now_or_never().expect("read in place").unwrap();
        assert_eq!(request_ids(&batch), [number.to_string()]);
        spool.trim(&[(id.partition, id.seq + 1)]);
    }
    assert_eq!(spool.status().unbilled_events, 0);
    assert!(spool.status().bytes <= 4 * 8 * 1024, "{:?}", spool.status());
}
