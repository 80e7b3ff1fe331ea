//! Any sequence of operations with crashes in between leaves what the model says.

use super::model::{Recorded, State};
use super::support::{
    admitted, close_and_read, directory, event, frames, killed_now, open, progress, segments,
    slice, small, synced_mark, wait,
};
use domain::id::Partition;
use links::spool::{SpoolError, SpoolSettings, Ticket};
use proptest::prelude::*;
use proto::usage::v1::Admitted;
use proto::usage::v1::spool_record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Operation {
    Admit {
        org: i64,
        budgeted: bool,
    },
    Progress {
        pick: usize,
        quantity: u64,
    },
    Finish {
        pick: usize,
        charge: i64,
    },
    Slice {
        org: i64,
        granted: i64,
        released: i64,
    },
    Flush,
    /// Bills this part of all events, in 1/8.
    Trim {
        eighths: usize,
    },
    Crash(Crash),
}

#[derive(Clone, Debug)]
enum Crash {
    /// All that was written is there.
    Kill,
    /// Of what was written after the last sync, this part is there, in 1/256; then zeros, or garbage.
    PowerCut { part: usize, garbage: Option<u8> },
    /// Closed in order.
    None,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..5_i64, any::<bool>()).prop_map(|(org, budgeted)| Operation::Admit { org, budgeted }),
        3 => (any::<usize>(), 0..1_000_u64)
            .prop_map(|(pick, quantity)| Operation::Progress { pick, quantity }),
        7 => (any::<usize>(), 0..1_000_i64)
            .prop_map(|(pick, charge)| Operation::Finish { pick, charge }),
        1 => (0..5_i64, 0..100_000_i64, 0..1_000_i64)
            .prop_map(|(org, granted, released)| Operation::Slice { org, granted, released }),
        1 => Just(Operation::Flush),
        1 => (0..9_usize).prop_map(|eighths| Operation::Trim { eighths }),
        1 => crash().prop_map(Operation::Crash),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    let garbage = prop_oneof![2 => Just(None), 1 => (1..=255_u8).prop_map(Some)];
    prop_oneof![
        1 => Just(Crash::Kill),
        4 => (0..257_usize, garbage).prop_map(|(part, garbage)| Crash::PowerCut { part, garbage }),
        1 => Just(Crash::None),
    ]
}

/// A spool, what it should have, and the directory it lies in.
struct World {
    directory: TempDir,
    recorded: Recorded,
    incarnation: u64,
    billed: BTreeMap<u32, u64>,
}

impl World {
    fn new() -> Self {
        let directory = directory();
        let (spool, recovered) = open(&small(directory.path()));
        let incarnation = recovered.incarnation;
        Self { directory, recorded: Recorded::new(spool), incarnation, billed: BTreeMap::new() }
    }

    fn run(mut self, operations: Vec<Operation>) {
        for operation in operations {
            self = self.apply(operation);
        }
        self.crash(&Crash::Kill);
    }

    fn apply(mut self, operation: Operation) -> Self {
        match operation {
            Operation::Admit { org, budgeted } => self.recorded.admit(org, budgeted).unwrap(),
            Operation::Progress { pick, quantity } => self.recorded.progress(pick, quantity),
            Operation::Finish { pick, charge } => self.recorded.finish(pick, charge),
            Operation::Slice { org, granted, released } => {
                self.recorded.note_slice(org, granted, released);
            }
            Operation::Flush => wait(self.recorded.spool.flush()).unwrap(),
            Operation::Trim { eighths } => self.trim(eighths),
            Operation::Crash(crash) => return self.crash(&crash),
        }
        self
    }

    /// Billing has seen only what is synced.
    fn trim(&mut self, eighths: usize) {
        wait(self.recorded.spool.flush()).unwrap();
        let events = self.recorded.state().events;
        for (partition, seq, _) in events.iter().take(events.len() * eighths / 8) {
            let next = self.billed.entry(*partition).or_insert(1);
            *next = (*next).max(seq + 1);
        }
        let marks: Vec<_> =
            self.billed.iter().map(|(partition, next)| (Partition(*partition), *next)).collect();
        self.recorded.spool.trim(&marks);
    }

    fn crash(self, crash: &Crash) -> Self {
        if matches!(crash, Crash::None) {
            wait(self.recorded.spool.close()).unwrap();
        }
        let written = step_records(self.directory.path());
        let copy = killed_now(self.directory.path());
        if let Crash::PowerCut { part, garbage } = crash {
            cut(copy.path(), *part, *garbage);
        }
        let lost = written - step_records(copy.path());
        let kept = self.recorded.steps.len() - lost;

        let (spool, recovered) = open(&small(copy.path()));
        assert_eq!((recovered.damaged.len(), recovered.missing.len()), (0, 0), "{recovered:?}");
        assert_eq!(recovered.incarnation, self.incarnation);
        let state = State::after(&self.recorded.steps[..kept]);
        state.assert_recovered(&recovered);
        let (reading, _) = open(&small(killed_now(copy.path()).path()));
        state.assert_delivered(&close_and_read(reading), &self.billed);
        let recorded = self.recorded.restarted(spool, recovered, kept);
        Self { directory: copy, recorded, incarnation: self.incarnation, billed: self.billed }
    }
}

fn step_records(directory: &Path) -> usize {
    let records = |path: PathBuf| frames(&fs::read(path).unwrap());
    let all = segments(directory).into_iter().flat_map(records);
    all.filter(|frame| !matches!(frame.record, Record::Checkpoint(_))).count()
}

/// Keeps a part of what was written after the last sync. All behind it is gone, in later files, too.
fn cut(directory: &Path, part: usize, garbage: Option<u8>) {
    let mut unsynced = Vec::new();
    for path in segments(directory) {
        let bytes = fs::read(&path).unwrap();
        let written = frames(&bytes).last().map_or(0, |frame| frame.end);
        unsynced.extend((synced_mark(&bytes)..written).map(|at| (path.clone(), at)));
    }
    let kept = unsynced.len() * part / 256;
    let Some((torn, at)) = unsynced.get(kept) else { return };
    for path in segments(directory).into_iter().skip_while(|path| path != torn) {
        let mut bytes = fs::read(&path).unwrap();
        let from = if path == *torn { *at } else { 0 };
        bytes[from..].fill(0);
        if path == *torn
            && let Some(garbage) = garbage
        {
            let until = bytes.len().min(from + 40);
            // A head is written at once, or not at all: its first page is.
            bytes[from..until].fill(if from < 32 { 0 } else { garbage });
        }
        if from < 32 {
            bytes.fill(0);
        }
        fs::write(&path, bytes).unwrap();
    }
}

fn sized_admitted(count: usize, length: usize) -> Admitted {
    Admitted { app: "a".repeat(length), ..admitted(&format!("{count}"), 1) }
}

/// An end as long as the spool takes it, of an org with a budget and of one that has no slice yet.
fn finish_at_length(request_id: &str, ticket: Ticket) {
    let org = i64::try_from(request_id.len()).unwrap() * 1_000;
    let mut event = event(request_id, org, 1);
    event.budgeted = true;
    event.app.clear();
    event.model = "m".repeat(900);
    ticket.finish(event).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_and_wherever_it_breaks_a_restart_finds_what_the_model_says(
        operations in proptest::collection::vec(operation(), 1..250)
    ) {
        World::new().run(operations);
    }

    #[test]
    fn an_admitted_request_is_never_refused_its_end_however_full_the_spool_is(
        steps in proptest::collection::vec((0..10_u8, 0..1_000_usize, any::<usize>()), 1..400)
    ) {
        // No emergency region above the high-water mark, so that only reserved room can serve.
        let directory = directory();
        let tight = SpoolSettings {
            capacity_bytes: 48 * 1024,
            high_water_percent: 100,
            ..small(directory.path())
        };
        let (mut spool, _) = open(&tight);
        let mut tickets: Vec<(String, Ticket)> = Vec::new();
        for (count, (what, length, pick)) in steps.into_iter().enumerate() {
            match what {
                0..5 => match spool.admit(&sized_admitted(count, length)) {
                    Ok(ticket) => tickets.push((format!("{count}"), ticket)),
                    Err(SpoolError::Full) => {}
                    Err(other) => panic!("{other}"),
                },
                5..8 if !tickets.is_empty() => {
                    let at = pick % tickets.len();
                    let (request_id, ticket) = &mut tickets[at];
                    let mut progress = progress(request_id, 1);
                    progress.upstream_id = "u".repeat(length);
                    ticket.progress(&progress).unwrap();
                }
                8 if !tickets.is_empty() => {
                    let (request_id, ticket) = tickets.swap_remove(pick % tickets.len());
                    finish_at_length(&request_id, ticket);
                }
                9 if pick % 20 == 0 => {
                    drop(std::mem::take(&mut tickets));
                    wait(spool.close()).unwrap();
                    drop(spool);
                    let (again, recovered) = open(&tight);
                    spool = again;
                    let open = recovered.open.into_iter();
                    tickets.extend(open.map(|open| (open.admitted.request_id, open.ticket)));
                }
                _ => {
                    // May be refused, but must not take what is owed.
                    drop(spool.note_slice(&slice(i64::try_from(pick % 50).unwrap(), 1, 0)));
                }
            }
        }
        tickets.into_iter().for_each(|(request_id, ticket)| finish_at_length(&request_id, ticket));
        prop_assert!(spool.status().bytes <= 48 * 1024);
    }
}
