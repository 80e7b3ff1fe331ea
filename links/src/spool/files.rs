//! The files of a spool: their names, preallocation, and what is done to them outside of appending.

use super::SpoolError;
use super::frame;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const SEGMENT: &str = "segment";
const DAMAGED: &str = "damaged";
const EVIDENCE: &str = "evidence";
const UNNUMBERED: &str = "new";
static ZEROS: [u8; 65_536] = [0; 65_536];

/// A preallocated file of zeros that will be a segment. Its number is 0 until it has one.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) length: u64,
}

/// A file found in the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// An earlier start found it damaged.
    pub(super) is_quarantined: bool,
}

/// Makes an error of what the operating system said.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    move |source| SpoolError::Io { action, path: path.to_owned(), source }
}

/// Where the segment of that number lies.
pub(super) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{SEGMENT}"))
}

/// Segments in their order. Unfinished preallocations of an earlier process are removed.
pub(super) fn list(directory: &Path) -> Result<Vec<Listed>, SpoolError> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let path = entry.map_err(failed("list", directory))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(UNNUMBERED) => fs::remove_file(&path).map_err(failed("remove", &path))?,
            Some(SEGMENT) => listed.extend(numbered(path, false)),
            Some(DAMAGED) => listed.extend(numbered(path, true)),
            Some(_) | None => {}
        }
    }
    listed.sort();
    Ok(listed)
}

fn numbered(path: PathBuf, is_quarantined: bool) -> Option<Listed> {
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    Some(Listed { number, path, is_quarantined })
}

/// Preallocates a file without a number.
///
/// # Errors
/// `Full` when the disk has no room for it; nothing is left behind.
pub(super) fn preallocate(directory: &Path, length: u64) -> Result<Spare, SpoolError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = format!("{}.{UNNUMBERED}", COUNTER.fetch_add(1, Ordering::Relaxed));
    let path = directory.join(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(full_or("create", &path))?;
    match reserve(&file, length) {
        Ok(()) => Ok(Spare { number: 0, path, file, length }),
        Err(error) => {
            remove(&path);
            Err(full_or("preallocate", &path)(error))
        }
    }
}

fn full_or(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let failed = failed(action, path);
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
        _ => failed(source),
    }
}

/// Sees to it that the disk has blocks for all of the file, and that it is that long.
pub(super) fn reserve(file: &File, length: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP) => return extend_with_zeros(file, length),
            Err(error) => return Err(error.into()),
        }
    }
}

fn extend_with_zeros(file: &File, length: u64) -> io::Result<()> {
    let present = file.metadata()?.len();
    wipe(file, present, length)
}

/// Overwrites a range with zeros. Takes no new blocks where there are some.
pub(super) fn wipe(file: &File, from: u64, until: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < until {
        let left = usize::try_from(until.saturating_sub(offset)).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
        file.write_all_at(zeros, offset)?;
        offset = offset.saturating_add(frame::bytes(zeros.len()));
    }
    Ok(())
}

/// Puts a damaged segment aside under a name that says so. It is kept until somebody removes it.
pub(super) fn quarantine(listed: &Listed) -> Result<PathBuf, SpoolError> {
    let path = listed.path.with_extension(DAMAGED);
    fs::rename(&listed.path, &path).map_err(failed("rename", &listed.path))?;
    Ok(path)
}

/// Removes a segment that was trimmed. One that was damaged keeps what nobody could read, under a name of no segment.
pub(super) fn retire(path: &Path) {
    if path.extension().is_none_or(|extension| extension != DAMAGED) {
        return remove(path);
    }
    if let Err(error) = fs::rename(path, path.with_extension(EVIDENCE)) {
        tracing::warn!(path = %path.display(), %error, "cannot rename a spool file");
    }
}

/// Removes a file that is not needed. Failing is harmless: the next start finds it again.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove a spool file");
    }
}
