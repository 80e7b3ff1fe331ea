//! A disk that fails to sync, a real one: ext4 on a sparse image, whose own disk is full.

use super::full_disk::{Mounted, fill};
use super::support::{
    admitted, close_and_read, event, killed_now, open, power_cut_now, request, request_ids, slice,
    small, synced_mark, used_segments, wait,
};
use links::spool::{SpoolError, SpoolSettings};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BLOCKS_KIB: u64 = 64 * 1024;

/// An ext4 whose writes fail while `outer` is full.
struct Disk {
    /// Unmounted first.
    inner: Mounted,
    outer: Mounted,
}

impl Disk {
    fn new() -> Self {
        let outer = Mounted::tmpfs(16 * 1024);
        let image = outer.path().join("image");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-b", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=0"])
            .arg(&image)
            .arg(format!("{BLOCKS_KIB}k"))
            .output()
            .expect("these tests need the program `mkfs.ext4`");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let image = image.to_str().unwrap();
        let inner = Mounted::new(&["-o", "loop", image]);
        // One page a request: of a longer one that is written in part, the loop device says nothing.
        let device = device_at(inner.path());
        fs::write(format!("/sys/block/{device}/queue/max_sectors_kb"), "4").unwrap();
        Self { inner, outer }
    }

    fn settings(&self) -> SpoolSettings {
        SpoolSettings {
            // More than ext4 zeroes at once, so that a file that was synced can fail later.
            segment_bytes: 256 * 1024,
            retry_interval: Duration::from_millis(5),
            ..small(self.inner.path().join("spool"))
        }
    }
}

/// The name of the block device that is mounted there.
fn device_at(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = words.into_iter().find(|words| words[1] == path.to_str().unwrap());
    found.unwrap()[0].trim_start_matches("/dev/").to_owned()
}

#[test]
fn after_a_failed_sync_nothing_is_admitted_until_all_is_written_again_elsewhere_and_synced() {
    let disk = Disk::new();
    let settings = disk.settings();
    let (spool, first) = open(&settings);
    spool.note_slice(&slice(1, 100, 0)).unwrap();
    request(&spool, "synced", 1, 1);
    wait(spool.flush()).unwrap();
    let mut reader = spool.reader();
    assert_eq!(request_ids(&wait(reader.next_batch(9)).unwrap()), ["synced"]);

    let suspect = used_segments(&settings.directory).remove(0);
    let synced = synced_mark(&fs::read(&suspect).unwrap());
    let filler = fill(disk.outer.path());
    let running = spool.admit(&admitted("running", 1)).unwrap();
    let kept_open = spool.admit(&admitted("open", 1)).unwrap();
    for count in 0..600 {
        request(&spool, &format!("{count}"), 1, 1);
    }
    assert!(matches!(wait(spool.flush()), Err(SpoolError::Failing)));
    assert!(spool.status().is_failing);
    assert!(matches!(spool.admit(&admitted("refused", 1)), Err(SpoolError::Failing)));
    let release = wait(spool.note_release(&slice(1, 100, 50)));
    assert!(matches!(release, Err(SpoolError::Failing)), "{release:?}");
    running.finish(event("running", 1, 1)).unwrap();

    fs::remove_file(filler).unwrap();
    let mut events = vec!["synced".to_owned()];
    wait(async {
        while events.len() < 602 {
            events.extend(request_ids(&reader.next_batch(9).await.unwrap()));
        }
        while spool.flush().await.is_err() {}
    });
    let mut expected = vec!["synced".to_owned()];
    expected.extend((0..600).map(|count| format!("{count}")));
    expected.push("running".to_owned());
    assert_eq!(events, expected);
    assert_eq!(request(&spool, "after", 1, 1).1, 603);
    wait(spool.flush()).unwrap();
    let mark = synced_mark(&fs::read(&suspect).unwrap());
    assert_eq!(mark, synced, "a file whose sync has failed is not believed again");
    assert_eq!(used_segments(&settings.directory).len(), 2, "{:?}", spool.status());

    // Neither a kill nor a power cut loses, or repeats, any of it.
    expected.push("after".to_owned());
    for copy in [killed_now(&settings.directory), power_cut_now(&settings.directory)] {
        let (again, recovered) = open(&small(copy.path()));
        assert_eq!(recovered.incarnation, first.incarnation);
        assert_eq!(recovered.missing, []);
        assert_eq!(recovered.open.len(), 1);
        assert_eq!(recovered.slices[0].spent_nano, 603);
        drop(recovered);
        assert_eq!(request_ids(&close_and_read(again)), expected);
    }
    kept_open.finish(event("open", 1, 1)).unwrap();
}
