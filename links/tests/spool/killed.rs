//! `kill -9` of a real process that writes from several threads: what it said was written is there.

use super::support::{DATA_PLANE, admitted, close_and_read, directory, event, open, progress};
use domain::id::Partition;
use links::spool::{Spool, SpoolSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

const DIRECTORY: &str = "SPOOL_TEST_DIRECTORY";
const ROUNDS: usize = 8;
const THREADS: i64 = 4;

fn settings(directory: &Path) -> SpoolSettings {
    // Small segments, so that kills fall into rotations, too.
    SpoolSettings { segment_bytes: 32 * 1024, ..SpoolSettings::new(directory) }
}

/// Run as a process of its own by the test below; without its directory it has nothing to do.
#[test]
fn child_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (spool, recovered) = Spool::open(settings(Path::new(&directory)), DATA_PLANE).unwrap();
    for open in recovered.open {
        let admitted = open.admitted;
        let id = open.ticket.finish(event(&admitted.request_id, admitted.org_uid, 1)).unwrap();
        println!("finished {} {} {}", admitted.request_id, id.partition.0, id.seq);
    }
    let incarnation = spool.incarnation();
    thread::scope(|scope| {
        for org in 0..THREADS {
            let spool = &spool;
            scope.spawn(move || {
                for count in 0.. {
                    let request_id = format!("{}-{org}-{count}", std::process::id());
                    let mut ticket = spool.admit(&admitted(&request_id, org)).unwrap();
                    println!("admitted {request_id} {incarnation}");
                    ticket.progress(&progress(&request_id, count)).unwrap();
                    let id = ticket.finish(event(&request_id, org, 1)).unwrap();
                    println!("finished {request_id} {} {}", id.partition.0, id.seq);
                }
            });
        }
    });
}

fn spawn(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[derive(Default)]
struct Told {
    admitted: BTreeSet<String>,
    finished: BTreeMap<String, (u32, u64)>,
}

impl Told {
    fn take_in(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["admitted", request_id, _] => {
                self.admitted.insert((*request_id).to_owned());
            }
            ["finished", request_id, partition, seq] => {
                let place = (partition.parse().unwrap(), seq.parse().unwrap());
                let earlier = self.finished.insert((*request_id).to_owned(), place);
                assert_eq!(earlier, None, "{request_id} ended twice");
            }
            _ => {}
        }
    }
}

#[test]
fn whatever_a_killed_process_said_was_written_is_there_once_and_without_gap() {
    let directory = directory();
    let mut told = Told::default();
    for round in 0..ROUNDS {
        let mut child = spawn(directory.path());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut left = 200 + round * 371;
        while output.read_line(&mut line).unwrap() > 0 {
            // A line without its end was being written.
            if let Some(line) = line.strip_suffix('\n') {
                told.take_in(line);
            }
            line.clear();
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    assert!(told.finished.len() > 1_000);

    let (spool, recovered) = open(&settings(directory.path()));
    assert_eq!((recovered.damaged.len(), recovered.missing.len()), (0, 0));
    let open: BTreeSet<_> =
        recovered.open.iter().map(|open| open.admitted.request_id.clone()).collect();
    assert!(open.len() <= usize::try_from(THREADS).unwrap());
    drop(recovered);

    let mut events = BTreeMap::new();
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for envelope in close_and_read(spool) {
        let next = next.entry(envelope.partition).or_insert(1);
        assert_eq!(envelope.seq, *next, "a gap in partition {}", envelope.partition);
        *next += 1;
        let place = (envelope.partition, envelope.seq);
        let earlier = events.insert(envelope.event.unwrap().request_id, place);
        assert_eq!(earlier, None, "an event twice");
    }
    for (request_id, place) in &told.finished {
        assert_eq!(events.get(request_id), Some(place), "{request_id} is lost or elsewhere");
    }
    for request_id in &told.admitted {
        assert!(open.contains(request_id) != events.contains_key(request_id), "{request_id}");
    }
    let partitions: BTreeSet<_> =
        (0..THREADS).map(|org| Partition::of(domain::id::OrgUid(org)).0).collect();
    assert_eq!(next.into_keys().collect::<BTreeSet<_>>(), partitions);
}
