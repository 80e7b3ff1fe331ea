//! What a restart finds after a crash, a power cut, and damage.

use super::model::{Recorded, State};
use super::support::{
    DATA_PLANE, HEADER_BYTES, close_and_read, damage, directory, frames, killed_now, open,
    power_cut_now, request, request_ids, segments, small, used_segments, wait,
};
use domain::id::Partition;
use links::spool::{Recovered, Spool, SpoolError};
use proto::usage::v1::spool_record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const ORG: i64 = 1;

/// One segment with a bit of everything in it.
fn a_bit_of_everything(directory: &Path) -> Recorded {
    let (spool, _) = open(&small(directory));
    let mut recorded = Recorded::new(spool);
    recorded.note_slice(ORG, 10_000, 0);
    for count in 0..4 {
        recorded.admit(ORG + count, count % 2 == 0).unwrap();
    }
    recorded.progress(1, 50);
    recorded.finish(2, 30);
    recorded.note_slice(ORG, 20_000, 5_000);
    recorded.progress(1, 70);
    recorded.finish(0, 11);
    recorded.finish(0, 0);
    recorded
}

fn newest(directory: &Path) -> std::path::PathBuf {
    used_segments(directory).pop().unwrap()
}

/// How many of the steps are in the files.
fn steps_in(directory: &Path) -> usize {
    let records = |path| frames(&fs::read(path).unwrap()).into_iter().map(|frame| frame.record);
    let all = segments(directory).into_iter().flat_map(records);
    all.filter(|record| !matches!(record, Record::Checkpoint(_))).count()
}

fn assert_intact(recovered: &Recovered, incarnation: u64) {
    assert_eq!(recovered.incarnation, incarnation);
    assert_eq!(recovered.damaged, []);
    assert_eq!(recovered.missing, []);
}

#[test]
fn a_kill_at_any_byte_leaves_all_whole_records_and_no_torn_one() {
    let directory = directory();
    let recorded = a_bit_of_everything(directory.path());
    let incarnation = recorded.spool.incarnation();
    let path = newest(directory.path());
    let bytes = fs::read(&path).unwrap();
    let frames = frames(&bytes);
    let written = frames.last().unwrap().end;
    let copy = killed_now(directory.path());
    let copied = copy.path().join(path.file_name().unwrap());
    for length in frames[0].end..=written {
        // Once as zeros up to the preallocated end, once as a shorter file.
        for is_cut_short in [false, true] {
            let mut torn = bytes.clone();
            torn[length..].fill(0);
            if is_cut_short {
                torn.truncate(length);
            }
            fs::write(&copied, &torn).unwrap();
            let whole = frames.iter().filter(|frame| frame.end <= length).count() - 1;
            let state = State::after(&recorded.steps[..whole]);
            let (spool, recovered) = open(&small(copy.path()));
            assert_intact(&recovered, incarnation);
            state.assert_recovered(&recovered);
            drop(recovered);
            state.assert_delivered(&close_and_read(spool), &BTreeMap::new());
        }
    }
}

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
    spool.trim(&[(Partition::of(domain::id::OrgUid(org)), 3)]);
    assert_eq!(spool.status().unbilled_events, 0);
    drop(again);
    assert_eq!(close_and_read(spool).len(), 2, "the old ones stay until somebody removes them");
}

/// A spool of several segments, synced.
fn several_segments() -> (TempDir, u64) {
    let directory = directory();
    let (spool, recovered) = open(&small(directory.path()));
    for count in 0..120 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    wait(spool.close()).unwrap();
    assert!(used_segments(directory.path()).len() > 3);
    (directory, recovered.incarnation)
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
    let (directory, incarnation) = several_segments();
    let settings = small(directory.path());
    let victim = used_segments(directory.path()).remove(1);
    let lost = seqs_after(&victim, 5);
    assert!(lost.len() > 3);
    damage(&victim, |bytes| {
        let sixth = frames(bytes)[5].start;
        bytes[sixth + 10] ^= 1;
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
    spool.trim(&[(Partition::of(domain::id::OrgUid(ORG)), 122)]);
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
fn a_power_cut_leaves_what_was_synced_even_where_pages_were_written_out_of_order() {
    let directory = directory();
    let mut recorded = a_bit_of_everything(directory.path());
    wait(recorded.spool.flush()).unwrap();
    let synced = recorded.state();
    recorded.admit(ORG, false).unwrap();
    recorded.finish(0, 1);
    recorded.admit(ORG, false).unwrap();
    let incarnation = recorded.spool.incarnation();
    let copy = killed_now(directory.path());
    let path = newest(copy.path());
    damage(&path, |bytes| {
        // The first record after the sync is lost, the later ones are there.
        let lost = &frames(bytes)[synced_count(&synced, &recorded)];
        bytes[lost.start..lost.end].fill(0);
    });
    let (spool, recovered) = open(&small(copy.path()));
    assert_intact(&recovered, incarnation);
    synced.assert_recovered(&recovered);
    drop(recovered);
    // What was behind the hole must not come back when the hole is filled.
    request(&spool, "later", ORG, 1);
    let again = killed_now(copy.path());
    let (spool, recovered) = open(&small(again.path()));
    assert_eq!(recovered.open.len(), synced.open.len());
    assert_eq!(close_and_read(spool).len(), synced.events.len() + 1);
}

fn synced_count(synced: &State, recorded: &Recorded) -> usize {
    let is_synced = |count: &usize| State::after(&recorded.steps[..*count]) == *synced;
    1 + (0..recorded.steps.len()).find(is_synced).unwrap()
}

#[test]
fn a_rotation_that_a_power_cut_has_torn_is_undone() {
    let directory = directory();
    let recorded = a_bit_of_everything(directory.path());
    let incarnation = recorded.spool.incarnation();
    wait(recorded.spool.flush()).unwrap();
    let current = newest(directory.path());
    let head = fs::read(&current).unwrap();
    let first = frames(&head)[0].end;
    for torn in (1..first).step_by(7) {
        let copy = killed_now(directory.path());
        let next = copy.path().join("00000000000000000099.segment");
        let mut bytes = vec![0; 8 * 1024];
        bytes[..torn].copy_from_slice(&head[..torn]);
        // Never synced, so its head has no mark.
        bytes[16..32].fill(0);
        fs::write(&next, &bytes).unwrap();
        if torn < 16 {
            // Less than what is written at once in any case, but for a blank page.
            bytes.fill(0);
            fs::write(&next, &bytes).unwrap();
        }
        let (_spool, recovered) = open(&small(copy.path()));
        assert_intact(&recovered, incarnation);
        recorded.state().assert_recovered(&recovered);
        assert!(fs::read(&next).is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0)));
    }
}

#[test]
fn after_a_power_cut_all_that_was_synced_is_there_and_the_spool_goes_on() {
    let directory = directory();
    let mut recorded = a_bit_of_everything(directory.path());
    wait(recorded.spool.flush()).unwrap();
    let synced = recorded.state();
    recorded.finish(0, 1);
    let copy = power_cut_now(directory.path());
    let (spool, recovered) = open(&small(copy.path()));
    assert_intact(&recovered, recorded.spool.incarnation());
    synced.assert_recovered(&recovered);
    assert_eq!(steps_in(copy.path()), recorded.steps.len() - 1);
    drop(recovered);
    synced.assert_delivered(&close_and_read(spool), &BTreeMap::new());
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

#[test]
fn other_files_are_left_alone_and_unfinished_preallocations_removed() {
    let (directory, incarnation) = several_segments();
    let note = directory.path().join("notes.txt");
    let unfinished = directory.path().join("3.new");
    let empty = directory.path().join("00000000000000000500.segment");
    for path in [&note, &unfinished, &empty] {
        fs::write(path, "").unwrap();
    }
    let (spool, recovered) = open(&small(directory.path()));
    assert_intact(&recovered, incarnation);
    assert!(note.exists() && !unfinished.exists());
    for count in 120..240 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    let ids = request_ids(&close_and_read(spool));
    assert_eq!(ids, (0..240).map(|count| format!("{count}")).collect::<Vec<_>>());
}
