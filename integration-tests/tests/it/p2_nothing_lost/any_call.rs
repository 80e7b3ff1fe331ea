//! `kill -9` at every point (`docs/faults.md`, 77): what a process has done to the world it did by system calls, so it is killed
//! at one of each kind that it makes, the first, the second and later ones, while it serves and while it starts.

use super::load::Load;
use super::{
    CREDIT, CREDIT_NANO, cut_off, every_answer_is_in_the_books, id,
    is_charged_no_more_than_was_said, records,
};
use integration_tests::{Chance, Gateway, LogReader, OrgHandle, PATIENCE, SimulatorProcess, nano};
use std::collections::{BTreeMap, BTreeSet};

/// While it serves: the so-manieth call that a thread makes from when the load begins.
const SERVING: [(&str, u64); 30] = [
    // Clients and upstreams: accepted, dialled, heard, told, hung up.
    ("accept4", 1),
    ("accept4", 3),
    ("connect", 1),
    ("connect", 2),
    ("recvfrom", 1),
    ("recvfrom", 4),
    ("recvfrom", 25),
    ("writev", 1),
    ("writev", 2),
    ("writev", 9),
    ("writev", 40),
    ("close", 1),
    ("close", 7),
    ("shutdown", 1),
    // The spool's records and files, and the database's pages.
    ("pwrite64", 1),
    ("pwrite64", 2),
    ("pwrite64", 3),
    ("pwrite64", 4),
    ("pwrite64", 9),
    ("pwrite64", 40),
    ("fallocate", 1),
    ("rename", 1),
    ("unlink", 1),
    // What makes them last.
    ("fdatasync", 1),
    ("fdatasync", 2),
    ("fdatasync", 5),
    ("fdatasync", 12),
    ("fsync", 1),
    // Between the threads.
    ("futex", 50),
    ("write", 5),
];

/// While it starts: locks, recovery of the spool, migrations, the configuration on the disk.
const STARTING: [(&str, u64); 7] = [
    ("openat", 12),
    ("pwrite64", 1),
    ("fdatasync", 1),
    ("pread64", 5),
    ("fsync", 1),
    ("rename", 1),
    ("bind", 2),
];

/// Kills at random calls on top of these.
const MORE: &str = "TURNPIKE_TEST_KILLS";
/// The books are looked at after so many kills, and at the end.
const AUDITED_EVERY: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_system_call_loses_nothing_and_charges_nothing_twice() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo()
        // Small files, so that they are left, and given back, too.
        .env("TURNPIKE__DATA_PLANE__SPOOL__SEGMENT_BYTES", "64 KiB")
        .external_simulator(simulator.url())
        .start()
        .await;
    let org = gateway.new_org("anywhere", CREDIT).await;
    let mut audit = Audit { log: simulator.client().reader(), answered: BTreeSet::new(), org };
    let mut starts_cut_off = 0;
    for (kills, (call, nth)) in points().into_iter().enumerate() {
        audit.killed_while_serving(&mut gateway, call, nth).await;
        if let Some((call, nth)) = STARTING.get(kills / 4).filter(|_| kills % 4 == 3) {
            // What it does before the tracer is there is done; it is killed all the same.
            starts_cut_off += usize::from(gateway.restart_and_kill9_at(call, *nth).await);
        }
        gateway.restart().await;
        if kills % AUDITED_EVERY == AUDITED_EVERY - 1 {
            audit.books_are_right(&gateway).await;
        }
    }
    assert!(starts_cut_off >= STARTING.len() / 2, "{starts_cut_off} starts were cut off");
    audit.books_are_right(&gateway).await;
    audit.nothing_is_counted_twice(&simulator);
}

fn points() -> Vec<(&'static str, u64)> {
    let more = std::env::var(MORE).map_or(0, |count| count.parse::<usize>().unwrap());
    let mut chance = Chance::new("any call");
    let mut random = || {
        let place = chance.within(0..SERVING.len().try_into().unwrap());
        (SERVING[usize::try_from(place).unwrap()].0, chance.within(1..10))
    };
    let random: Vec<_> = std::iter::repeat_with(&mut random).take(more).collect();
    SERVING.into_iter().chain(random).collect()
}

struct Audit {
    log: LogReader,
    /// What clients have heard to its end.
    answered: BTreeSet<String>,
    org: OrgHandle,
}

impl Audit {
    async fn killed_while_serving(&mut self, gateway: &mut Gateway, call: &str, nth: u64) {
        let tripwire = gateway.kill9_at(call, nth).await;
        let load = Load::light(&gateway.client(), &self.org.key);
        let exited = gateway.ended_within(PATIENCE).await;
        assert_eq!(exited.code, None, "{call} number {nth} did not kill it: {}", exited.stderr);
        tripwire.gone().await;
        self.answered.append(&mut load.end().await);
    }

    async fn books_are_right(&mut self, gateway: &Gateway) {
        cut_off(&mut self.log).await;
        let admin = gateway.admin();
        let records = records(&admin, &self.org.name, &self.log).await;
        every_answer_is_in_the_books(&self.answered, &records);
        records.values().for_each(|record| is_charged_no_more_than_was_said(record, &self.log));
        let charges: i64 = records.values().map(|record| nano(&record["charge_nano"])).sum();
        let balance = admin.balance(&self.org.name).await;
        assert_eq!(balance.posted, CREDIT_NANO - charges);
        assert!(balance.free >= 0, "{balance:?}");
        assert_eq!(admin.reconciled().await, u64::try_from(records.len()).unwrap());
    }

    /// No upstream has answered a request twice, by the word of its own log.
    fn nothing_is_counted_twice(&self, simulator: &SimulatorProcess) {
        let mut whole: BTreeMap<String, u32> = BTreeMap::new();
        let lines = simulator.log_lines();
        for line in lines.iter().filter(|line| line["ended"] == "complete") {
            *whole.entry(id(line).to_owned()).or_default() += 1;
        }
        assert!(whole.len() > SERVING.len(), "{} answers are not all", whole.len());
        let twice: Vec<_> = whole.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
