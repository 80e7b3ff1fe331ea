//! Names of the files, and what is done to the directory. A snapshot and the journal that follows it have one number.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const SNAPSHOT: &str = "snapshot";
const JOURNAL: &str = "journal";
const DRAFT: &str = "new";

/// A file found in the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) is_snapshot: bool,
    pub(super) path: PathBuf,
}

pub(super) fn snapshot(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{SNAPSHOT}"))
}

pub(super) fn journal(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{JOURNAL}"))
}

/// What becomes a snapshot once it is whole.
pub(super) fn draft(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{DRAFT}"))
}

pub(super) fn create(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Files in their order. Drafts of an earlier process are removed.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_snapshot = match path.extension().and_then(|extension| extension.to_str()) {
            Some(SNAPSHOT) => true,
            Some(JOURNAL) => false,
            Some(DRAFT) => {
                fs::remove_file(&path)?;
                continue;
            }
            Some(_) | None => continue,
        };
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(number) = stem.and_then(|stem| stem.parse().ok()) {
            listed.push(Listed { number, is_snapshot, path });
        }
    }
    listed.sort();
    Ok(listed)
}

/// Makes names durable.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes all that is not needed once the snapshot `newest` is there: what lies before the last good one, `kept`, and
/// snapshots between the two, which were refused.
pub(super) fn prune(directory: &Path, kept: u64, newest: u64) -> io::Result<()> {
    for file in list(directory)? {
        let is_refused = file.is_snapshot && file.number > kept && file.number < newest;
        if file.number < kept || is_refused {
            fs::remove_file(&file.path)?;
        }
    }
    Ok(())
}
