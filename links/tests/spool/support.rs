//! What the tests share: records to write, a reading of the files that owes nothing to the code, and crashes.

use links::spool::{Recovered, Spool, SpoolError, SpoolReader, SpoolSettings};
use prost::Message;
use proto::usage::v1::spool_record::Record;
use proto::usage::v1::{
    Admitted, Line, Outcome, Progress, SliceMark, SpoolRecord, UsageEnvelope, UsageEvent,
};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const DATA_PLANE: &str = "dp-1";
pub(crate) const HEADER_BYTES: usize = 32;
const BEHIND: &str = "behind";
/// In a partition that no other event of the tests is in.
const ORG_BEHIND: i64 = 999;
/// Long enough that a hundred requests fill several segments.
const APP: &str =
    "https://example.org/a-page-with-a-rather-long-name-so-that-segments-fill-up-soon";

/// A directory in memory where there is one: a crash is made by copying, so nothing needs a disk.
pub(crate) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("spool-").tempdir_in(parent).unwrap()
}

/// Small files, and no sync unless it is asked for.
pub(crate) fn small(directory: impl Into<PathBuf>) -> SpoolSettings {
    SpoolSettings {
        segment_bytes: 8 * 1024,
        capacity_bytes: 64 * 1024 * 1024,
        sync_interval: Duration::from_secs(3600),
        event_bytes_max: 1024,
        retry_interval: Duration::ZERO,
        ..SpoolSettings::new(directory)
    }
}

pub(crate) fn open(settings: &SpoolSettings) -> (Spool, Recovered) {
    open_as(settings, DATA_PLANE).unwrap()
}

/// Another test may be starting a process at this moment, which holds a copy of the lock from its fork to its exec.
pub(crate) fn open_as(
    settings: &SpoolSettings,
    data_plane: &str,
) -> Result<(Spool, Recovered), SpoolError> {
    for _ in 0..1_000 {
        match Spool::open(settings.clone(), data_plane) {
            Err(SpoolError::Locked { .. }) => std::thread::sleep(Duration::from_millis(10)),
            answered => return answered,
        }
    }
    panic!("the spool is locked for good");
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

pub(crate) fn admitted(request_id: &str, org_uid: i64) -> Admitted {
    Admitted {
        request_id: request_id.to_owned(),
        org_uid,
        key_uid: 7,
        entity: "global".to_owned(),
        currency: "USD".to_owned(),
        model: "demo/chat".to_owned(),
        hold_nano: 1_000,
        admitted_us: 1,
        app: APP.to_owned(),
        ..Admitted::default()
    }
}

pub(crate) fn progress(request_id: &str, quantity: u64) -> Progress {
    let line = Line { class: "output".to_owned(), quantity, ..Line::default() };
    Progress { request_id: request_id.to_owned(), lines: vec![line], ..Progress::default() }
}

pub(crate) fn event(request_id: &str, org_uid: i64, charge_nano: i64) -> UsageEvent {
    UsageEvent {
        request_id: request_id.to_owned(),
        org_uid,
        key_uid: 7,
        outcome: Outcome::Completed.into(),
        charge_nano,
        ended_us: 1_000,
        app: APP.to_owned(),
        ..UsageEvent::default()
    }
}

pub(crate) fn slice(org_uid: i64, granted_nano: i64, released_nano: i64) -> SliceMark {
    SliceMark { org_uid, granted_nano, released_nano, ..SliceMark::default() }
}

/// One request from admission to end.
pub(crate) fn request(
    spool: &Spool,
    request_id: &str,
    org_uid: i64,
    charge_nano: i64,
) -> (u32, u64) {
    let ticket = spool.admit(&admitted(request_id, org_uid)).unwrap();
    let id = ticket.finish(event(request_id, org_uid, charge_nano)).unwrap();
    (id.partition.0, id.seq)
}

/// Everything that a reader has not delivered yet, told by an event that is written behind it.
pub(crate) async fn drain(spool: &Spool, reader: &mut SpoolReader) -> Vec<UsageEnvelope> {
    let last = request(spool, BEHIND, ORG_BEHIND, 0);
    spool.flush().await.unwrap();
    let mut all = Vec::new();
    while !all.iter().any(|of: &UsageEnvelope| (of.partition, of.seq) == last) {
        all.extend(reader.next_batch(100).await.unwrap());
    }
    all.retain(|of| of.event.as_ref().is_some_and(|event| event.request_id != BEHIND));
    all
}

/// Everything in the spool, after which it is closed.
pub(crate) fn close_and_read(spool: Spool) -> Vec<UsageEnvelope> {
    wait(async {
        let mut reader = spool.reader();
        spool.close().await.unwrap();
        let mut all = Vec::new();
        while let Ok(batch) = reader.next_batch(100).await {
            all.extend(batch);
        }
        all
    })
}

pub(crate) fn request_ids(events: &[UsageEnvelope]) -> Vec<String> {
    events.iter().filter_map(|envelope| Some(envelope.event.as_ref()?.request_id.clone())).collect()
}

/// Segment files, oldest first.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|of| of == "segment");
    let mut paths: Vec<_> = entries.filter(is_segment).collect();
    paths.sort();
    paths
}

/// Segment files with records in them, oldest first.
pub(crate) fn used_segments(directory: &Path) -> Vec<PathBuf> {
    let is_used = |path: &PathBuf| !frames(&fs::read(path).unwrap()).is_empty();
    segments(directory).into_iter().filter(is_used).collect()
}

pub(crate) struct Frame {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) record: Record,
}

/// The whole frames of a segment, read as the format is described and not as the code does it.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut start = HEADER_BYTES;
    while let Some(header) = bytes.get(start..start + 8) {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let crc = u32::from_le_bytes(header[4..].try_into().unwrap());
        let end = start + 8 + length;
        let Some(body) = bytes.get(start + 8..end) else { break };
        if length == 0 || crc32fast::hash(body) != crc {
            break;
        }
        let record = SpoolRecord::decode(body).unwrap().record.unwrap();
        frames.push(Frame { start, end, record });
        start = end;
    }
    frames
}

/// Up to where a segment is marked as synced.
pub(crate) fn synced_mark(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[16..24].try_into().unwrap())).unwrap()
}

/// What is left when the process is killed now: all that was written.
pub(crate) fn killed_now(directory: &Path) -> TempDir {
    let copy = self::directory();
    for path in segments(directory) {
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// What is left when the power is cut now, at worst: all that was synced.
pub(crate) fn power_cut_now(directory: &Path) -> TempDir {
    let copy = killed_now(directory);
    for path in segments(copy.path()) {
        let mut bytes = fs::read(&path).unwrap();
        let synced = synced_mark(&bytes);
        bytes[synced..].fill(0);
        fs::write(&path, bytes).unwrap();
    }
    copy
}

/// Changes one file.
pub(crate) fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}
