//! What can go wrong with a database, sorted by what a caller can do about it. Which codes mean what is in a file for each
//! kind of database.

mod postgres;
mod sqlite;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

/// A statement, a transaction or a connection that failed. Whatever it was, the transaction is rolled back; only of a
/// commit whose outcome is unknown this is not said.
#[derive(Debug, Error)]
pub enum StorageError {
    /// Heals when there is room again.
    #[error("the disk of the database is full; make room, it goes on by itself")]
    Full(#[source] sqlx::Error),
    /// Someone else writes.
    #[error("the database is locked by another program; close it, or wait")]
    Locked(#[source] sqlx::Error),
    /// Two transactions wanted the same rows, and this one gave way. It can be begun again at once.
    #[error("another transaction was in the way; try again")]
    Conflict(#[source] sqlx::Error),
    /// No connection, or an I/O error on it.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The server answers, but is a standby or was told to take no writes.
    #[error("the database server is a standby or read-only; the URL must lead to the primary")]
    ReadOnly,
    /// The connection broke while a commit was under way: it may have happened, and must be looked for.
    #[error("the connection to the database broke during a commit, which may have happened")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// A row with this key is there already.
    #[error("a row with this key exists already")]
    Exists(#[source] sqlx::Error),
    /// A CHECK, NOT NULL or foreign key of the schema said no.
    #[error("a constraint of the schema refused the row")]
    Refused(#[source] sqlx::Error),
    /// A text that no column can hold: with a NUL in it, or longer than an index takes.
    #[error("the database cannot hold this text; it has a NUL character or is too long")]
    Unstorable(#[source] sqlx::Error),
    /// A statement or a row that the code and the schema disagree about.
    #[error("the database and this program do not fit together")]
    Mismatch(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema cannot be migrated")]
    Migrate(#[source] MigrateError),
    /// A database that cannot hold ours, and why.
    #[error("the database cannot be used: {0}")]
    Unfit(&'static str),
    /// A URL of a database that we do not know.
    #[error("the URL of a database begins with sqlite:// or postgres://")]
    UnknownKind,
}

impl StorageError {
    /// Whether the same call may succeed later without anyone changing it, and did nothing this time.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Full(_)
            | Self::Locked(_)
            | Self::Conflict(_)
            | Self::Unreachable(_)
            | Self::ReadOnly => true,
            Self::OutcomeUnknown(_)
            | Self::Exists(_)
            | Self::Refused(_)
            | Self::Unstorable(_)
            | Self::Mismatch(_)
            | Self::Migrate(_)
            | Self::Unfit(_)
            | Self::UnknownKind => false,
        }
    }

    /// What a COMMIT's error says of it: unless the server told that nothing was done, it may have been.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => match cause.try_downcast_ref::<PgDatabaseError>() {
                Some(cause) if postgres::may_have_committed(cause.code()) => {
                    Self::OutcomeUnknown(error)
                }
                _ => Self::from(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::OutcomeUnknown(error),
            _ => Self::from(error),
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
                _ => by_code(cause.as_ref())(error),
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

fn by_code(error: &dyn DatabaseError) -> fn(sqlx::Error) -> StorageError {
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(error) => postgres::by_code(error.code()),
        None => sqlite::by_code(error.code().as_deref().unwrap_or_default()),
    }
}
