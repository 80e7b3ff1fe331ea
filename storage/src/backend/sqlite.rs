//! SQLite: one connection that writes, some that read beside it, a log that is synced at every commit.

use super::{Begin, Pools, prepare};
use crate::{DatabaseSettings, StorageError};
use sqlx::ConnectOptions as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What is SQLite's alone.
#[derive(Clone, Copy, Debug)]
pub struct SqliteSettings {
    /// How long a writer waits for another program's lock.
    pub busy_timeout: Duration,
    /// KiB of pages that the writer keeps in memory, once it has used as many.
    pub writer_cache_kib: u32,
    /// The same for each reader.
    pub reader_cache_kib: u32,
    /// Whether what is deleted is overwritten, and the file shrinks when `give_back` is called. Only of new databases.
    pub erases: bool,
    /// Pages of 4 KiB that the log may have before they are moved to the database's file.
    pub checkpoint_pages: u32,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            writer_cache_kib: 32 * 1024,
            reader_cache_kib: 4 * 1024,
            erases: false,
            checkpoint_pages: 4000,
        }
    }
}

pub(super) const BEGIN_WRITE: Begin = Begin { statements: "BEGIN IMMEDIATE", looks: false };
pub(super) const BEGIN_READ: Begin = Begin { statements: "BEGIN", looks: false };
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const WAS_MIGRATED: &str =
    "SELECT COUNT(*) AS tables FROM sqlite_schema WHERE name = '_sqlx_migrations'";
pub(super) const GIVE_BACK: &str = "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);";

/// Read and written by its owner.
const OWNER_ALONE: u32 = 0o600;

pub(super) async fn open(url: &str, settings: DatabaseSettings) -> Result<Pools, StorageError> {
    if let Some(path) = url.strip_prefix("sqlite://") {
        keep_private(Path::new(path)).map_err(sqlx::Error::Io)?;
    }
    let writers = pool(1, settings.sqlite.writer_cache_kib, settings);
    let readers = pool(settings.readers.max(1), settings.sqlite.reader_cache_kib, settings);
    let writers = writers.connect_with(options(url, "rwc")?).await?;
    let readers = readers.connect_with(options(url, "rw")?).await?;
    Ok(Pools { writers, readers, hosts: None, patience: None })
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
    let busy_ms = settings.sqlite.busy_timeout.as_millis();
    let checkpoint_pages = settings.sqlite.checkpoint_pages;
    // `FULL` syncs the log at every commit: a commit that was told survives a power cut.
    let erasing = if settings.sqlite.erases {
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
