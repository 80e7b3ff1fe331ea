//! Opens a database and hands out transactions. On SQLite one connection writes, others read beside it.

use crate::{Read, StorageError, Write};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, SqlSafeStr};
use std::str::FromStr;
use std::time::Duration;

/// What a database needs to know, besides where it is.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseSettings {
    /// Connections that read beside the writer.
    pub readers: u32,
    /// How long a writer waits for another program's lock.
    pub busy_timeout: Duration,
    /// How long a transaction may wait for its connection.
    pub acquire_timeout: Duration,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(30),
        }
    }
}

/// A database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: AnyPool,
    readers: AnyPool,
}

/// The migrations of SQLite, in order. Postgres will have the same numbers.
const SQLITE_MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "foundation", include_str!("../migrations/sqlite/0001_foundation.sql"))];

const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
const BEGIN_READ: &str = "BEGIN";

impl Database {
    /// Opens the database at a URL such as `sqlite:///var/lib/turnpike/turnpike.db`, and creates its file if need be.
    ///
    /// # Errors
    /// When the URL cannot be read or the database cannot be opened.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        Self::open_with(url, DatabaseSettings::default()).await
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_with(url: &str, settings: DatabaseSettings) -> Result<Self, StorageError> {
        sqlx::any::install_default_drivers();
        let writer = pool(url, "rwc", 1, settings).await?;
        let readers = pool(url, "rw", settings.readers.max(1), settings).await?;
        Ok(Self { writer, readers })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When the schema is not one of ours, or newer than this program.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let migrations = SQLITE_MIGRATIONS.map(|(version, description, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, description.into(), MigrationType::Simple, sql, false)
        });
        let mut connection = self.writer.acquire().await?;
        Migrator::with_migrations(migrations.to_vec())
            .run_direct(None, &mut *connection, false)
            .await?;
        Ok(())
    }

    /// Begins a transaction that may write. There is one at a time.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn write(&self) -> Result<Write, StorageError> {
        Write::begin(self.writer.acquire().await?, BEGIN_WRITE).await
    }

    /// Begins a transaction that reads one consistent state.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn read(&self) -> Result<Read, StorageError> {
        Read::begin(self.readers.acquire().await?, BEGIN_READ).await
    }

    /// Closes all connections, once the transactions that run have ended.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn pool(
    url: &str,
    mode: &'static str,
    connections: u32,
    settings: DatabaseSettings,
) -> Result<AnyPool, StorageError> {
    let options = AnyConnectOptions::from_str(&format!("{url}?mode={mode}"))?;
    let busy_ms = settings.busy_timeout.as_millis();
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| Box::pin(prepare(connection, busy_ms)))
        .connect_with(options.disable_statement_logging())
        .await?;
    Ok(pool)
}

/// `FULL` syncs the log at every commit: a commit that was told survives a power cut.
async fn prepare(connection: &mut AnyConnection, busy_ms: u128) -> Result<(), sqlx::Error> {
    let pragmas = format!(
        "PRAGMA busy_timeout = {busy_ms};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;"
    );
    sqlx::raw_sql(AssertSqlSafe(pragmas)).execute(connection).await?;
    Ok(())
}
