//! One process per directory, by a lock that the kernel drops when the process dies.

use super::SpoolError;
use super::files::failed;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

const NAME: &str = "lock";

/// Held as long as the spool is open.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, SpoolError> {
        let path = directory.join(NAME);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &path)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn in_use(directory: &Path, path: &Path) -> SpoolError {
    let holder = fs::read_to_string(path).unwrap_or_default();
    let holder = match holder.trim() {
        "" => "a process that has not written its number yet".to_owned(),
        named => named.to_owned(),
    };
    SpoolError::Locked { directory: directory.to_owned(), holder }
}
