//! The data directory: made if it is missing, readable by its owner alone, and each part of it used by one process at a time.

use anyhow::{Context, bail};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The locks on a data directory, held as long as this lives.
pub(super) struct DataDir {
    _locks: Vec<File>,
}

impl DataDir {
    /// Takes these parts of the directory for this process.
    pub(super) fn take(path: &Path, parts: &[&str]) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the data directory {}", path.display()))?;
        let locks = parts.iter().map(|part| lock(path, part)).collect::<Result<_, _>>()?;
        Ok(Self { _locks: locks })
    }
}

fn lock(path: &Path, part: &str) -> anyhow::Result<File> {
    let file = path.join(format!("{part}.lock"));
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .with_context(|| format!("cannot open {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "the data directory {} is in use by process {}: stop it, or choose another --data-dir",
            path.display(),
            fs::read_to_string(&file).unwrap_or_default().trim()
        ),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", file.display()));
        }
    }
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}
