//! What can go wrong with a database, sorted by what a caller can do about it.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;
use thiserror::Error;

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
/// The shared-memory file of the write-ahead log could not grow, which happens on a full disk only.
const SQLITE_IOERR_SHMSIZE: u32 = 4874;

/// A statement, a transaction or a connection that failed. Whatever it was, the transaction is rolled back.
#[derive(Debug, Error)]
pub enum StorageError {
    /// Heals when there is room again.
    #[error("the disk of the database is full; make room, it goes on by itself")]
    Full(#[source] sqlx::Error),
    /// Someone else writes.
    #[error("the database is locked by another program; close it, or wait")]
    Locked(#[source] sqlx::Error),
    /// No connection, or an I/O error on it.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// A row with this key is there already.
    #[error("a row with this key exists already")]
    Exists(#[source] sqlx::Error),
    /// A CHECK, NOT NULL or foreign key of the schema said no.
    #[error("a constraint of the schema refused the row")]
    Refused(#[source] sqlx::Error),
    /// A statement or a row that the code and the schema disagree about.
    #[error("the database and this program do not fit together")]
    Mismatch(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema cannot be migrated")]
    Migrate(#[source] MigrateError),
}

impl StorageError {
    /// Whether the same call may succeed later without anyone changing it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Full(_) | Self::Locked(_) | Self::Unreachable(_) => true,
            Self::Exists(_) | Self::Refused(_) | Self::Mismatch(_) | Self::Migrate(_) => false,
        }
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => match cause.kind() {
                ErrorKind::UniqueViolation => Self::Exists(error),
                ErrorKind::ForeignKeyViolation
                | ErrorKind::NotNullViolation
                | ErrorKind::CheckViolation => Self::Refused(error),
                _ => by_sqlite_code(sqlite_code(cause.as_ref()))(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unreachable(error),
            _ => Self::Mismatch(error),
        }
    }
}

impl From<MigrateError> for StorageError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                match Self::from(error) {
                    Self::Mismatch(cause) => Self::Migrate(MigrateError::Execute(cause)),
                    told => told,
                }
            }
            other => Self::Migrate(other),
        }
    }
}

fn sqlite_code(error: &dyn DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or_default()
}

fn by_sqlite_code(code: u32) -> fn(sqlx::Error) -> StorageError {
    let primary = code & 0xff;
    match (code, primary) {
        (SQLITE_IOERR_SHMSIZE, _) | (_, SQLITE_FULL) => StorageError::Full,
        (_, SQLITE_BUSY | SQLITE_LOCKED) => StorageError::Locked,
        (_, SQLITE_IOERR | SQLITE_CANTOPEN) => StorageError::Unreachable,
        _ => StorageError::Mismatch,
    }
}
