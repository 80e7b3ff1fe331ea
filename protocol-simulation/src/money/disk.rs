//! A data plane's disk: a directory in memory, and what a power cut leaves of it.
//!
//! What was not synced may be there up to some byte; pages are taken to reach the disk in the order in which they were
//! written, and the last sector of them may be garbled.

use crate::chance::Chance;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where the synced mark lies in a segment, and where records begin.
const MARK: std::ops::Range<usize> = 16..24;
const HEADER: usize = 32;

/// A new, empty one.
pub(super) fn fresh() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("simulated-spool-").tempdir_in(parent)
}

/// What a power cut did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Everything had reached the disk.
    Nothing,
    /// The end of what was written is gone.
    Lost,
    /// That, and what is left ends in the middle of a record, or garbled.
    Torn,
}

/// Cuts the power: of each segment what was synced is left, and of the rest a part. `is_lying` disks have not even kept what
/// they said was synced.
pub(super) fn cut_power(home: &Path, chance: &mut Chance, is_lying: bool) -> io::Result<Cut> {
    let mut worst = Cut::Nothing;
    for path in segments(home)? {
        let mut bytes = fs::read(&path)?;
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let synced = synced(&bytes).min(written);
        let synced = if is_lying { synced.saturating_sub(100).max(HEADER) } else { synced };
        if worst == Cut::Nothing && synced >= written {
            continue;
        }
        // What was written later than something that is gone is gone, too.
        let rest = if worst == Cut::Nothing { written.saturating_sub(synced) } else { 0 };
        let left = if is_lying { 0 } else { chance.index(rest + 1) };
        bytes[synced + left..].fill(0);
        let is_garbled = left > 8 && chance.percent(50);
        if is_garbled {
            bytes[synced + left - 1 - chance.index(8)] ^= 0x55;
        }
        if left < rest || is_garbled || synced < written {
            worst = if left > 0 { Cut::Torn } else { Cut::Lost };
        }
        fs::write(&path, bytes)?;
    }
    Ok(worst)
}

/// Changes a byte of the last record that was written, and its checksum with it.
pub(super) fn forge(home: &Path) -> io::Result<()> {
    for path in segments(home)?.into_iter().rev() {
        let mut bytes = fs::read(&path)?;
        if let Some((start, end)) = last_frame(&bytes) {
            bytes[end - 1] ^= 0x01;
            let check = crc32fast::hash(&bytes[start + 8..end]);
            bytes[start + 4..start + 8].copy_from_slice(&check.to_le_bytes());
            return fs::write(&path, bytes);
        }
    }
    Ok(())
}

fn segments(home: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> = fs::read_dir(home)?.map(|of| of.map(|of| of.path())).collect();
    let mut paths = entries?;
    paths.retain(|path| path.extension().is_some_and(|of| of == "segment"));
    paths.sort();
    Ok(paths)
}

fn synced(bytes: &[u8]) -> usize {
    let mark = bytes.get(MARK).and_then(|mark| mark.try_into().ok()).map_or(0, u64::from_le_bytes);
    usize::try_from(mark).unwrap_or(0)
}

/// The last record but for the checkpoint that a segment begins with.
fn last_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut start, mut last) = (HEADER, None);
    while let Some(length) = bytes.get(start..start + 4).and_then(|of| of.try_into().ok()) {
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let end = start + 8 + length;
        if length == 0 || end > bytes.len() {
            break;
        }
        last = (start > HEADER).then_some((start, end));
        start = end;
    }
    last
}
