//! A full disk, on a real one: a small tmpfs that other files fill.

use super::support::{
    admitted, close_and_read, event, killed_now, open, progress, request_ids, small, wait,
};
use links::spool::{Spool, SpoolError, SpoolSettings, Ticket};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A mounted file system, gone when dropped.
pub(crate) struct Mounted {
    pub(crate) at: TempDir,
}

impl Mounted {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let at = tempfile::tempdir().unwrap();
        let output = Command::new("mount").args(arguments).arg(at.path()).output();
        let output = output.expect("these tests need the program `mount`");
        assert!(
            output.status.success(),
            "these tests must run as root and be allowed to mount; `mount {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Self { at }
    }

    pub(crate) fn tmpfs(kib: u64) -> Self {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "cannot unmount {:?}", self.path());
    }
}

/// Takes all the space that is left, to the last page.
pub(crate) fn fill(directory: &Path) -> PathBuf {
    use std::io::Write;
    let path = directory.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    path
}

fn settings(disk: &Mounted) -> SpoolSettings {
    small(disk.path().join("spool"))
}

/// Admits until there is no room.
fn admit_all(spool: &Spool, from: usize) -> Vec<(String, Ticket)> {
    let mut tickets = Vec::new();
    loop {
        let request_id = format!("{}", from + tickets.len());
        match spool.admit(&admitted(&request_id, 1)) {
            Ok(ticket) => tickets.push((request_id, ticket)),
            Err(SpoolError::Full) => return tickets,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Ends a request with an event as long as any may be.
fn finish(request_id: &str, ticket: Ticket) {
    let mut event = event(request_id, 1, 5);
    event.app = "x".repeat(900);
    ticket.finish(event).unwrap();
}

#[test]
fn on_a_full_disk_every_running_request_ends_new_ones_are_refused_and_it_goes_on_when_there_is_room()
 {
    let disk = Mounted::tmpfs(512);
    let (spool, _) = open(&settings(&disk));
    let early: Vec<_> = (0..3)
        .map(|count| {
            let request_id = format!("early-{count}");
            let ticket = spool.admit(&admitted(&request_id, 1)).unwrap();
            (request_id, ticket)
        })
        .collect();
    let filler = fill(disk.path());
    let mut running = early;
    running.extend(admit_all(&spool, 0));
    assert!(running.len() > 3 && spool.status().is_full);

    let expected: Vec<_> = running.iter().map(|(request_id, _)| request_id.clone()).collect();
    for (request_id, ticket) in running {
        finish(&request_id, ticket);
    }
    wait(spool.flush()).unwrap();

    fs::remove_file(filler).unwrap();
    let after = spool.admit(&admitted("after", 1)).unwrap();
    assert!(!spool.status().is_full);
    finish("after", after);
    let ids = request_ids(&close_and_read(spool));
    assert_eq!(ids[..expected.len()], expected);
    assert_eq!(ids[expected.len()..], ["after"]);
}

#[test]
fn room_is_found_again_without_a_request_that_asks_for_it() {
    let disk = Mounted::tmpfs(256);
    let (spool, _) = open(&settings(&disk));
    let filler = fill(disk.path());
    let running = admit_all(&spool, 0);
    assert!(spool.status().is_full);
    fs::remove_file(filler).unwrap();
    // The syncing thread tries again by itself; whoever reads the status decides whether requests come at all.
    while spool.status().is_full {
        std::thread::yield_now();
    }
    running.into_iter().for_each(|(request_id, ticket)| finish(&request_id, ticket));
}

#[test]
fn requests_that_a_kill_left_open_on_a_full_disk_can_be_ended_after_the_restart() {
    let disk = Mounted::tmpfs(256);
    let (spool, first) = open(&settings(&disk));
    fill(disk.path());
    let running = admit_all(&spool, 0);
    let count = running.len();
    // The kernel gives up the lock of a killed process; dropping writes nothing about open requests.
    drop((running, spool));
    let (spool, recovered) = open(&settings(&disk));
    assert_eq!(recovered.incarnation, first.incarnation);
    assert_eq!(recovered.open.len(), count);
    assert!(admit_all(&spool, count).is_empty());
    for open in recovered.open {
        finish(&open.admitted.request_id, open.ticket);
    }
    assert_eq!(close_and_read(spool).len(), count);
}

#[test]
fn progress_never_takes_the_room_of_an_end_and_is_skipped_instead() {
    let disk = Mounted::tmpfs(256);
    let (spool, _) = open(&settings(&disk));
    fill(disk.path());
    let mut running = admit_all(&spool, 0);
    let mut rounds = 0;
    while spool.status().progress_skipped == 0 {
        rounds += 1;
        for (request_id, ticket) in &mut running {
            ticket.progress(&progress(request_id, rounds)).unwrap();
        }
    }
    for _ in 0..100 {
        let (request_id, ticket) = &mut running[0];
        ticket.progress(&progress(request_id, rounds)).unwrap();
    }
    let count = running.len();
    running.into_iter().for_each(|(request_id, ticket)| finish(&request_id, ticket));
    assert_eq!(close_and_read(spool).len(), count);
}

#[test]
fn above_the_high_water_mark_admissions_end_although_the_disk_has_room() {
    let disk = Mounted::tmpfs(1024);
    let high =
        SpoolSettings { capacity_bytes: 64 * 1024, high_water_percent: 50, ..settings(&disk) };
    let (spool, _) = open(&high);
    let running = admit_all(&spool, 0);
    assert!(spool.status().bytes <= 32 * 1024);
    let count = running.len();
    running.into_iter().for_each(|(request_id, ticket)| finish(&request_id, ticket));
    assert!(spool.status().bytes <= 32 * 1024);

    // Billing catches up, and there is room again.
    let more = admit_all(&spool, count);
    let first = more.len();
    more.into_iter().for_each(|(request_id, ticket)| finish(&request_id, ticket));
    wait(spool.flush()).unwrap();
    let partition = domain::id::Partition::of(domain::id::OrgUid(1));
    let next = u64::try_from(count + first).unwrap() + 1;
    spool.trim(&[(partition, next)]);
    assert!(!admit_all(&spool, 1_000).is_empty());
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told_and_nothing_is_left_half_made() {
    let disk = Mounted::tmpfs(64);
    let settings = settings(&disk);
    fs::create_dir_all(&settings.directory).unwrap();
    let filler = fill(disk.path());
    let refused = super::support::open_as(&settings, super::support::DATA_PLANE).unwrap_err();
    assert!(matches!(refused, SpoolError::Full | SpoolError::Io { .. }), "{refused}");
    let left = fs::read_dir(&settings.directory).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name == "lock"));
    fs::remove_file(filler).unwrap();
    let (spool, recovered) = open(&settings);
    assert!(recovered.damaged.is_empty());
    drop(spool);
    assert!(killed_now(&settings.directory).path().exists());
}
