//! SQLite's result codes, from <https://www.sqlite.org/rescode.html>.

use crate::StorageError;

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const IOERR: u32 = 10;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
/// The shared-memory file of the write-ahead log could not grow, which happens on a full disk only.
const IOERR_SHMSIZE: u32 = 4874;

pub(super) fn by_code(code: &str) -> fn(sqlx::Error) -> StorageError {
    let code: u32 = code.parse().unwrap_or_default();
    let primary = code & 0xff;
    match (code, primary) {
        (IOERR_SHMSIZE, _) | (_, FULL) => StorageError::Full,
        (_, BUSY | LOCKED) => StorageError::Locked,
        (_, IOERR | CANTOPEN) => StorageError::Unreachable,
        _ => StorageError::Mismatch,
    }
}
