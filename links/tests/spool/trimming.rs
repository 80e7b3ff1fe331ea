//! Trimming deletes what is billed, and nothing that somebody still needs.

use super::support::{
    admitted, close_and_read, directory, event, killed_now, open, progress, request, request_ids,
    slice, small, used_segments, wait,
};
use domain::id::{OrgUid, Partition};
use proto::usage::v1::SliceMark;

const ORG: i64 = 1;

#[test]
fn only_whole_segments_below_every_mark_are_deleted() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    // Two orgs in different partitions, alternating.
    let (one, other) = (Partition::of(OrgUid(ORG)), Partition::of(OrgUid(2)));
    assert_ne!(one, other);
    for count in 0..100 {
        request(&spool, &format!("{count}"), ORG + count % 2, 1);
    }
    wait(spool.flush()).unwrap();
    let before = used_segments(directory.path());
    assert!(before.len() > 3);

    spool.trim(&[(one, 51)]);
    assert_eq!(used_segments(directory.path()), before, "the other partition is not billed");
    spool.trim(&[(other, 26)]);
    let halfway = used_segments(directory.path());
    assert!(halfway.len() < before.len() && halfway.len() > 1);
    spool.trim(&[(other, 25)]);
    assert_eq!(used_segments(directory.path()), halfway, "marks never go back");
    wait(spool.close()).unwrap();

    let (spool, recovered) = open(&settings);
    assert!(recovered.missing.is_empty() && recovered.damaged.is_empty());
    let ids = request_ids(&close_and_read(spool));
    let expected: Vec<_> = (51..100).step_by(2).map(|count| format!("{count}")).collect();
    assert!(expected.iter().all(|id| ids.contains(id)), "{ids:?}");
    assert!(ids.len() < 100);
}

#[test]
fn a_segment_in_which_an_open_request_began_is_kept_until_its_end() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let ticket = spool.admit(&admitted("long", ORG)).unwrap();
    let partition = Partition::of(OrgUid(ORG));
    for count in 0..100 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    wait(spool.flush()).unwrap();
    let before = used_segments(directory.path());
    assert!(before.len() > 2);
    spool.trim(&[(partition, 101)]);
    assert_eq!(used_segments(directory.path()), before);
    ticket.finish(event("long", ORG, 1)).unwrap();
    wait(spool.flush()).unwrap();
    spool.trim(&[(partition, 102)]);
    assert_eq!(used_segments(directory.path()).len(), 1);
}

#[test]
fn after_a_restart_the_segments_of_open_requests_are_still_kept_until_their_ends() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let partition = Partition::of(OrgUid(ORG));
    let requests = |from: u64, until: u64| {
        for count in from..until {
            request(&spool, &format!("{count}"), ORG, 1);
        }
    };
    requests(0, 100);
    let ticket = spool.admit(&admitted("long", ORG)).unwrap();
    let began_in = used_segments(directory.path()).pop().unwrap();
    requests(100, 200);
    let copy = killed_now(directory.path());
    drop(ticket);

    let (spool, mut recovered) = open(&small(copy.path()));
    assert_eq!(recovered.slices[0].spent_nano, 200);
    spool.trim(&[(partition, 201)]);
    let oldest = used_segments(copy.path()).remove(0);
    assert_eq!(oldest.file_name(), began_in.file_name());
    recovered.open.remove(0).ticket.finish(event("long", ORG, 1)).unwrap();
    spool.trim(&[(partition, 202)]);
    assert_eq!(used_segments(copy.path()).len(), 1);
}

#[test]
fn a_lost_ticket_keeps_no_segment_because_checkpoints_carry_its_request() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    drop(spool.admit(&admitted("lost", ORG)).unwrap());
    for count in 0..100 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    wait(spool.flush()).unwrap();
    spool.trim(&[(Partition::of(OrgUid(ORG)), 101)]);
    assert_eq!(used_segments(directory.path()).len(), 1);
    wait(spool.close()).unwrap();
    drop(spool);
    let (_spool, recovered) = open(&settings);
    assert_eq!(recovered.open.len(), 1);
}

#[test]
fn nothing_is_deleted_before_the_next_checkpoint_is_synced() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    for count in 0..100 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    let before = used_segments(directory.path());
    assert!(before.len() > 2);
    spool.trim(&[(Partition::of(OrgUid(ORG)), 101)]);
    assert_eq!(used_segments(directory.path()), before);
    wait(spool.flush()).unwrap();
    spool.trim(&[]);
    assert_eq!(used_segments(directory.path()).len(), 1);
}

#[test]
fn after_many_rotations_and_trims_the_last_checkpoint_carries_everything() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, first) = open(&settings);
    let partition = Partition::of(OrgUid(ORG));
    spool.note_slice(&slice(ORG, 1_000_000, 0)).unwrap();
    spool.note_slice(&slice(77, 500, 0)).unwrap();
    wait(spool.note_release(&slice(77, 500, 200))).unwrap();
    let mut lost = Vec::new();
    for round in 0..20_u64 {
        let mut ticket = spool.admit(&admitted(&format!("open-{round}"), ORG)).unwrap();
        ticket.progress(&progress(&format!("open-{round}"), round)).unwrap();
        lost.push(ticket);
        for count in 0..40 {
            request(&spool, &format!("{round}-{count}"), ORG, 3);
        }
        wait(spool.flush()).unwrap();
        spool.trim(&[(partition, round * 40 + 41)]);
    }
    // Tickets that are lost do not keep segments, so that only checkpoints can tell of their requests.
    drop(lost);
    request(&spool, "last", ORG, 3);
    wait(spool.flush()).unwrap();
    spool.trim(&[(partition, 802)]);
    assert_eq!(used_segments(directory.path()).len(), 1);
    wait(spool.close()).unwrap();
    drop(spool);

    let (spool, recovered) = open(&settings);
    assert_eq!(recovered.incarnation, first.incarnation);
    let wallet = SliceMark { spent_nano: 801 * 3, ..slice(ORG, 1_000_000, 0) };
    assert_eq!(recovered.slices, [wallet, slice(77, 500, 200)]);
    assert_eq!(recovered.open.len(), 20);
    for open in &recovered.open {
        let round: u64 = open.admitted.request_id.trim_start_matches("open-").parse().unwrap();
        assert_eq!(open.progress, Some(progress(&open.admitted.request_id, round)));
    }
    assert_eq!(request(&spool, "next", ORG, 3), (partition.0, 802));
}
