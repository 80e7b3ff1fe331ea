//! What a restart makes of files that a disk, or somebody, has damaged.

use super::model::State;
use super::recovery::{ORG, a_bit_of_everything, assert_intact, newest, several_segments};
use super::support::{
    DATA_PLANE, HEADER_BYTES, close_and_read, damage, directory, frames, killed_now, open, request,
    small, used_segments, wait,
};
use domain::id::{OrgUid, Partition};
use links::spool::{Spool, SpoolError};
use proto::usage::v1::spool_record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn a_flipped_bit_anywhere_in_the_newest_segment_is_told_and_keeps_what_precedes_it() {
    let directory = directory();
    let recorded = a_bit_of_everything(directory.path());
    let incarnation = recorded.spool.incarnation();
    wait(recorded.spool.flush()).unwrap();
    let path = newest(directory.path());
    let bytes = fs::read(&path).unwrap();
    let frames = frames(&bytes);
    let written = frames.last().unwrap().end;
    for at in (0..written).step_by(3).chain([written, written + 9]) {
        let copy = killed_now(directory.path());
        damage(&copy.path().join(path.file_name().unwrap()), |bytes| bytes[at] ^= 1 << (at % 8));
        let (spool, recovered) = open(&small(copy.path()));
        if at >= written {
            assert_intact(&recovered, incarnation);
            recorded.state().assert_recovered(&recovered);
            continue;
        }
        let whole = frames.iter().filter(|frame| frame.end <= at && at >= HEADER_BYTES).count();
        let state = State::after(&recorded.steps[..whole.saturating_sub(1)]);
        assert_eq!(recovered.damaged.len(), 1, "bit flipped in byte {at}");
        assert!(recovered.damaged[0].path.exists());
        assert_ne!(recovered.incarnation, incarnation, "numbers may have been lost");
        assert_eq!(recovered.slices, [], "a release may have been lost");
        let open: Vec<_> = recovered.open.iter().map(|open| &open.admitted.request_id).collect();
        assert_eq!(open, state.open.keys().collect::<Vec<_>>());
        drop(recovered);
        let events = close_and_read(spool);
        assert!(events.iter().all(|envelope| envelope.incarnation == incarnation));
        state.assert_delivered(&events, &BTreeMap::new());
    }
}

#[test]
fn a_new_incarnation_after_damage_begins_at_one_and_still_delivers_the_old_events() {
    let directory = directory();
    let recorded = a_bit_of_everything(directory.path());
    let old = recorded.spool.incarnation();
    wait(recorded.spool.flush()).unwrap();
    let copy = killed_now(directory.path());
    damage(&newest(copy.path()), |bytes| {
        let last = frames(bytes).pop().unwrap();
        bytes[last.start + 8] ^= 0x40;
    });
    let settings = small(copy.path());
    let (spool, recovered) = open(&settings);
    let new = recovered.incarnation;
    let mut open_requests = recovered.open;
    // The end of one of them was in the damaged record.
    assert_eq!(open_requests.len(), 2);
    let ended = open_requests.pop().unwrap();
    let mut event = super::support::event(&ended.admitted.request_id, ended.admitted.org_uid, 9);
    event.budgeted = false;
    assert_eq!(ended.ticket.finish(event).unwrap().seq, 1);
    let org = ended.admitted.org_uid;
    assert_eq!(request(&spool, "fresh", org, 1).1, 2);
    let told: Vec<_> =
        close_and_read(spool).iter().map(|envelope| (envelope.incarnation, envelope.seq)).collect();
    assert_eq!(told, [(old, 1), (old, 1), (new, 1), (new, 2)]);

    // A further start continues the new one, tells of the same damage, and has the same events.
    drop(open_requests);
    let (spool, again) = open(&settings);
    assert_eq!(again.incarnation, new);
    assert_eq!(again.damaged.len(), 1);
    assert_eq!(again.open.len(), 1);
    assert_eq!(again.slices.len(), 1);
    spool.trim(&[(Partition::of(OrgUid(org)), 3)]);
    assert_eq!(spool.status().unbilled_events, 0);
    drop(again);
    assert_eq!(close_and_read(spool).len(), 2, "the old ones stay until somebody removes them");
}

/// The numbers of the events in a file, after so many frames.
fn seqs_after(path: &Path, skip: usize) -> Vec<u64> {
    let frames = frames(&fs::read(path).unwrap());
    let ended = frames.into_iter().skip(skip).filter_map(|frame| match frame.record {
        Record::Ended(ended) => Some(ended.seq),
        _ => None,
    });
    ended.collect()
}

#[test]
fn damage_in_an_older_segment_costs_what_follows_it_there_and_nothing_else() {
    damage_an_older_segment(false);
}

#[test]
fn damage_in_an_older_segment_is_told_even_where_its_mark_was_not_written_back() {
    damage_an_older_segment(true);
}

fn damage_an_older_segment(is_mark_lost: bool) {
    let (directory, incarnation) = several_segments();
    let settings = small(directory.path());
    let victim = used_segments(directory.path()).remove(1);
    let lost = seqs_after(&victim, 5);
    assert!(lost.len() > 3);
    damage(&victim, |bytes| {
        let sixth = frames(bytes)[5].start;
        bytes[sixth + 10] ^= 1;
        if is_mark_lost {
            bytes[16..32].fill(0);
        }
    });

    for start in 0..3 {
        let (spool, recovered) = open(&settings);
        assert_eq!(recovered.incarnation, incarnation);
        assert_eq!(recovered.damaged.len(), 1, "start {start}");
        assert_eq!(recovered.damaged[0].path, victim.with_extension("damaged"));
        assert_eq!(recovered.missing.len(), 1);
        let missing = recovered.missing[0].seqs.clone();
        assert_eq!(missing.collect::<Vec<_>>(), lost);
        assert_eq!(recovered.slices[0].spent_nano, 120, "checkpoints count what is lost");
        assert!(recovered.open.is_empty());
        let seqs: Vec<_> = close_and_read(spool).iter().map(|envelope| envelope.seq).collect();
        let expected: Vec<_> = (1..=120).filter(|seq| !lost.contains(seq)).collect();
        assert_eq!(seqs, expected);
    }

    let (spool, _) = open(&settings);
    assert_eq!(request(&spool, "next", ORG, 1).1, 121);
    wait(spool.flush()).unwrap();
    spool.trim(&[(Partition::of(OrgUid(ORG)), 122)]);
    wait(spool.close()).unwrap();
    drop(spool);
    assert!(victim.with_extension("evidence").exists(), "what nobody read is kept");
    assert_intact(&open(&settings).1, incarnation);
}

#[test]
fn a_tail_that_was_lost_before_a_later_segment_was_written_is_told_as_missing() {
    let (directory, incarnation) = several_segments();
    let victim = used_segments(directory.path()).remove(1);
    let kept = frames(&fs::read(&victim).unwrap()).len() - 6;
    let lost = seqs_after(&victim, kept);
    // As a power cut leaves it that has kept the later file but not the last pages of this one.
    damage(&victim, |bytes| {
        let from = frames(bytes)[kept].start;
        bytes[from..].fill(0);
        bytes[16..32].fill(0);
    });
    let (_spool, recovered) = open(&small(directory.path()));
    assert_eq!(recovered.incarnation, incarnation);
    assert_eq!(recovered.missing.len(), 1);
    assert_eq!(recovered.missing[0].seqs.clone().collect::<Vec<_>>(), lost);
    assert_eq!(recovered.missing[0].incarnation, incarnation);
}

#[test]
fn a_file_of_a_newer_program_is_refused_and_told_as_such() {
    let (directory, _) = several_segments();
    let path = used_segments(directory.path()).remove(0);
    damage(&path, |bytes| {
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32fast::hash(&2_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let refused = Spool::open(small(directory.path()), DATA_PLANE).unwrap_err();
    assert!(matches!(refused, SpoolError::Foreign { .. }));
    assert!(refused.to_string().contains("run the newer program"), "{refused}");
}
