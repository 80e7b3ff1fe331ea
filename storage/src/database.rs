//! Opens a database and hands out transactions. On SQLite one connection writes, others read beside it.

use crate::{Read, StorageError, Write};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Row as _, SqlSafeStr};
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
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
    /// KiB of pages that the writer keeps in memory, once it has used as many.
    pub writer_cache_kib: u32,
    /// The same for each reader.
    pub reader_cache_kib: u32,
    /// Whether what is deleted is overwritten, and the file shrinks when `give_back` is called. Only of new databases.
    pub erases: bool,
    /// Pages of 4 KiB that the log may have before they are moved to the database's file.
    pub checkpoint_pages: u32,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(30),
            writer_cache_kib: 32 * 1024,
            reader_cache_kib: 4 * 1024,
            erases: false,
            checkpoint_pages: 4000,
        }
    }
}

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Configuration, money and usage.
    Main,
    /// Stored prompts and completions, and nothing else.
    Content,
}

impl Holding {
    const fn migrations(self) -> &'static [(i64, &'static str, &'static str)] {
        match self {
            Self::Main => SQLITE_MIGRATIONS,
            Self::Content => SQLITE_CONTENT_MIGRATIONS,
        }
    }
}

/// Versions of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Of the database.
    pub applied: i64,
    /// Of this program.
    pub known: i64,
}

/// A database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: AnyPool,
    readers: AnyPool,
}

/// The migrations of SQLite, in order. Postgres will have the same numbers.
const SQLITE_MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "foundation", include_str!("../migrations/sqlite/0001_foundation.sql")),
    (2, "authority", include_str!("../migrations/sqlite/0002_authority.sql")),
    (3, "privacy", include_str!("../migrations/sqlite/0003_privacy.sql")),
    (4, "account", include_str!("../migrations/sqlite/0004_account.sql")),
    (5, "listing", include_str!("../migrations/sqlite/0005_listing.sql")),
    (7, "rotation", include_str!("../migrations/sqlite/0007_rotation.sql")),
    (8, "write off", include_str!("../migrations/sqlite/0008_write_off.sql")),
];

/// Those of the database of contents.
const SQLITE_CONTENT_MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "content", include_str!("../migrations/sqlite_content/0001_content.sql"))];

/// Read and written by its owner.
const OWNER_ALONE: u32 = 0o600;

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
        if let Some(path) = url.strip_prefix("sqlite://") {
            keep_private(Path::new(path)).map_err(sqlx::Error::Io)?;
        }
        let writer = pool(1, settings.writer_cache_kib, settings);
        let readers = pool(settings.readers.max(1), settings.reader_cache_kib, settings);
        let writer = writer.connect_with(options(url, "rwc")?).await?;
        let readers = readers.connect_with(options(url, "rw")?).await?;
        Ok(Self { writer, readers })
    }

    /// Brings the main schema up to date.
    ///
    /// # Errors
    /// When the schema is not one of ours, or newer than this program.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        self.migrate_to(Holding::Main).await
    }

    /// Brings a schema up to date.
    ///
    /// # Errors
    /// As [`Database::migrate`].
    pub async fn migrate_to(&self, holding: Holding) -> Result<(), StorageError> {
        let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
            let sql = sql.into_sql_str();
            Migration::new(*version, (*description).into(), MigrationType::Simple, sql, false)
        };
        let migrations = holding.migrations().iter().map(migration).collect();
        let mut connection = self.writer.acquire().await?;
        Migrator::with_migrations(migrations).run_direct(None, &mut *connection, false).await?;
        Ok(())
    }

    /// Gives pages that are no longer used back to the disk, and empties the log, where deleted rows were once written.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn give_back(&self) -> Result<(), StorageError> {
        let mut connection = self.writer.acquire().await?;
        let give_back = "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);";
        sqlx::raw_sql(give_back).execute(&mut *connection).await?;
        Ok(())
    }

    /// How far the schema has come, and how far this program would bring it.
    ///
    /// # Errors
    /// When the database cannot be read; one without a schema is at 0.
    pub async fn schema(&self) -> Result<Schema, StorageError> {
        let mut read = self.read().await?;
        let applied =
            "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM _sqlx_migrations";
        let applied: i64 = sqlx::query(applied).fetch_one(&mut *read).await?.try_get("version")?;
        read.finish().await?;
        let known = SQLITE_MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
        Ok(Schema { applied, known })
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

/// What is in there is its owner's alone, wherever its directory is. SQLite gives its log the same mode.
fn keep_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(OWNER_ALONE).open(path)?;
    file.set_permissions(Permissions::from_mode(OWNER_ALONE))
}

fn options(url: &str, mode: &'static str) -> Result<AnyConnectOptions, StorageError> {
    Ok(AnyConnectOptions::from_str(&format!("{url}?mode={mode}"))?.disable_statement_logging())
}

fn pool(connections: u32, cache_kib: u32, settings: DatabaseSettings) -> AnyPoolOptions {
    let busy_ms = settings.busy_timeout.as_millis();
    let checkpoint_pages = settings.checkpoint_pages;
    // `FULL` syncs the log at every commit: a commit that was told survives a power cut.
    let erasing = if settings.erases {
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA secure_delete = ON;"
    } else {
        ""
    };
    let pragmas = format!(
        "PRAGMA busy_timeout = {busy_ms};
         {erasing}
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -{cache_kib};
         PRAGMA wal_autocheckpoint = {checkpoint_pages};"
    );
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| Box::pin(prepare(connection, pragmas.clone())))
}

async fn prepare(connection: &mut AnyConnection, pragmas: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(pragmas)).execute(connection).await?;
    Ok(())
}
