//! The two kinds of database, and all that is different about them: how they are opened, and the texts of what begins and
//! ends a transaction.

mod postgres;
mod sqlite;

pub use postgres::PostgresSettings;
pub use sqlite::SqliteSettings;

use crate::{DatabaseSettings, StorageError};
pub(crate) use postgres::Hosts;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe};
use std::time::Duration;

/// Which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Connections of one database.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) writers: AnyPool,
    pub(crate) readers: AnyPool,
    /// Where it may be, if it is on servers.
    pub(crate) hosts: Option<Hosts>,
    /// How long its server may be silent; a file is never waited for in vain.
    pub(crate) patience: Option<Patience>,
}

/// How long a server may be silent. One that is cut off closes no connection, and the system would wait for a quarter of an hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Before a connection that lay idle is taken for lost.
    pub(crate) idle: Duration,
    /// Before a transaction is.
    pub(crate) transaction: Duration,
    /// Before one of any length is.
    pub(crate) long_transaction: Duration,
}

/// How a transaction begins.
#[derive(Clone, Copy)]
pub(crate) struct Begin {
    pub statements: &'static str,
    /// Whether the last of them tells in a column `unfit` whether this server must not be used.
    pub looks: bool,
}

impl Backend {
    pub(crate) fn of(url: &str) -> Result<Self, StorageError> {
        match url.split_once("://") {
            Some(("sqlite", _)) => Ok(Self::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres),
            _ => Err(StorageError::UnknownKind),
        }
    }

    pub(crate) async fn open(
        self,
        url: &str,
        settings: DatabaseSettings,
    ) -> Result<Pools, StorageError> {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite => sqlite::open(url, settings).await,
            Self::Postgres => postgres::open(url, settings).await,
        }
    }

    pub(crate) const fn begin_write(self) -> Begin {
        match self {
            Self::Sqlite => sqlite::BEGIN_WRITE,
            Self::Postgres => postgres::BEGIN_WRITE,
        }
    }

    pub(crate) const fn begin_read(self) -> Begin {
        match self {
            Self::Sqlite => sqlite::BEGIN_READ,
            Self::Postgres => postgres::BEGIN_READ,
        }
    }

    pub(crate) const fn commit(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::COMMIT,
            Self::Postgres => postgres::COMMIT,
        }
    }

    /// What makes a connection ready to migrate, and refuses a database that cannot hold ours.
    pub(crate) async fn prepare_to_migrate(
        self,
        connection: &mut AnyConnection,
    ) -> Result<(), StorageError> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres => postgres::prepare_to_migrate(connection).await,
        }
    }

    /// Tells in a column `tables` whether any migration was ever run.
    pub(crate) const fn was_migrated(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::WAS_MIGRATED,
            Self::Postgres => postgres::WAS_MIGRATED,
        }
    }

    /// Tells in a column `now_us` what time it is; SQLite has no clock but its program's.
    pub(crate) const fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(postgres::CLOCK),
        }
    }

    pub(crate) const fn give_back(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some(sqlite::GIVE_BACK),
            Self::Postgres => None,
        }
    }
}

async fn prepare(connection: &mut AnyConnection, statements: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}
