//! What a restart finds after a crash or a power cut.

use super::model::{Recorded, State};
use super::support::{
    admitted, close_and_read, damage, directory, frames, killed_now, open, power_cut_now, request,
    request_ids, segments, small, used_segments, wait,
};
use links::spool::Recovered;
use proto::usage::v1::spool_record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

pub(crate) const ORG: i64 = 1;

/// One segment with a bit of everything in it.
pub(crate) fn a_bit_of_everything(directory: &Path) -> Recorded {
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

pub(crate) fn newest(directory: &Path) -> std::path::PathBuf {
    used_segments(directory).pop().unwrap()
}

/// How many of the steps are in the files.
fn steps_in(directory: &Path) -> usize {
    let records = |path| frames(&fs::read(path).unwrap()).into_iter().map(|frame| frame.record);
    let all = segments(directory).into_iter().flat_map(records);
    all.filter(|record| !matches!(record, Record::Checkpoint(_))).count()
}

pub(crate) fn assert_intact(recovered: &Recovered, incarnation: u64) {
    assert_eq!(recovered.incarnation, incarnation);
    assert_eq!(recovered.damaged, []);
    assert_eq!(recovered.missing, []);
}

/// A spool of several segments, synced.
pub(crate) fn several_segments() -> (TempDir, u64) {
    let directory = directory();
    let (spool, recovered) = open(&small(directory.path()));
    for count in 0..120 {
        request(&spool, &format!("{count}"), ORG, 1);
    }
    wait(spool.close()).unwrap();
    assert!(used_segments(directory.path()).len() > 3);
    (directory, recovered.incarnation)
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
    // What was behind the hole must not come back when a record just as long fills it.
    let as_long = admitted("request-X", ORG);
    let _ticket = spool.admit(&as_long).unwrap();
    let again = killed_now(copy.path());
    let (spool, recovered) = open(&small(again.path()));
    assert_eq!(recovered.open.len(), synced.open.len() + 1);
    assert_eq!(close_and_read(spool).len(), synced.events.len());
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
