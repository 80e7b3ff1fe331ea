//! Opens a database and hands out transactions: some connections write, others read beside them. How the two kinds of
//! database differ is in `backend`.

use crate::backend::{Backend, Begin, Pools};
use crate::migrations::{self, Holding, Schema};
use crate::transaction::{Open, silent, within};
use crate::{PostgresSettings, Read, SqliteSettings, StorageError, Write};
use sqlx::AnyPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a database needs to know, besides where it is.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseSettings {
    /// Connections that read beside those that write.
    pub readers: u32,
    /// How long a transaction may wait for its connection.
    pub acquire_timeout: Duration,
    /// What is SQLite's alone.
    pub sqlite: SqliteSettings,
    /// What is Postgres's alone.
    pub postgres: PostgresSettings,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            acquire_timeout: Duration::from_secs(30),
            sqlite: SqliteSettings::default(),
            postgres: PostgresSettings::default(),
        }
    }
}

/// A database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    backend: Backend,
    acquire_timeout: Duration,
    pools: Arc<Pools>,
}

impl Database {
    /// Opens the database at a URL: `sqlite:///var/lib/turnpike/turnpike.db`, whose file is created if need be, or
    /// `postgres://user:password@host/database`; of several hosts, separated by commas, the one that takes writes is used.
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
        let backend = Backend::of(url)?;
        let pools = Arc::new(backend.open(url, settings).await?);
        Ok(Self { backend, acquire_timeout: settings.acquire_timeout, pools })
    }

    /// Brings the main schema up to date.
    ///
    /// # Errors
    /// When the schema is not one of ours, or newer than this program.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        self.migrate_to(Holding::Main).await
    }

    /// Brings a schema up to date. Of several that do so at once, one does.
    ///
    /// # Errors
    /// As [`Database::migrate`].
    pub async fn migrate_to(&self, holding: Holding) -> Result<(), StorageError> {
        let mut connection = self.pools.writers.acquire().await?;
        // What it set for itself, and a lock that it may not have given back, end with the connection.
        connection.close_on_drop();
        migrations::run(&mut connection, self.backend, holding).await
    }

    /// Whether other processes may use it too, which only Postgres allows.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres)
    }

    /// How far a schema has come, and how far this program would bring it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn schema(&self, holding: Holding) -> Result<Schema, StorageError> {
        let mut read = self.read().await?;
        let schema = migrations::schema(&mut read, self.backend, holding).await?;
        read.finish().await?;
        Ok(schema)
    }

    /// Gives pages that are no longer used back to the disk, and empties the log, where deleted rows were once written.
    /// Postgres does so by itself.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn give_back(&self) -> Result<(), StorageError> {
        if let Some(statements) = self.backend.give_back() {
            let mut connection = self.pools.writers.acquire().await?;
            sqlx::raw_sql(statements).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Begins a transaction that may write. On SQLite there is one at a time.
    ///
    /// # Errors
    /// When no connection can be had in time, or the server takes no writes.
    pub async fn write(&self) -> Result<Write, StorageError> {
        Ok(Write::new(self.begin(&self.pools.writers, self.backend.begin_write()).await?))
    }

    /// Begins a transaction that reads one consistent state.
    ///
    /// # Errors
    /// When no connection can be had in time, or the server may lag behind another.
    pub async fn read(&self) -> Result<Read, StorageError> {
        Ok(Read::new(self.begin(&self.pools.readers, self.backend.begin_read()).await?))
    }

    /// Begins on a connection to the server that takes writes, which may be another one than a moment ago.
    async fn begin(&self, pool: &AnyPool, begin: Begin) -> Result<Open, StorageError> {
        let Some(hosts) = self.pools.hosts.as_ref().filter(|hosts| hosts.are_several()) else {
            return self.begin_on_one(pool, begin).await;
        };
        let until = Instant::now() + self.acquire_timeout;
        loop {
            let begun = timeout(hosts.patience, self.begin_on_one(pool, begin)).await;
            match begun.unwrap_or(Err(StorageError::Unreachable(sqlx::Error::PoolTimedOut))) {
                Err(error @ (StorageError::Unreachable(_) | StorageError::ReadOnly)) => {
                    let is_found =
                        hosts.find_primary([&self.pools.writers, &self.pools.readers]).await;
                    if Instant::now() >= until || !is_found {
                        return Err(error);
                    }
                }
                begun => return begun,
            }
        }
    }

    async fn begin_on_one(&self, pool: &AnyPool, begin: Begin) -> Result<Open, StorageError> {
        Open::begin_on_one(pool, self.backend, begin, self.pools.patience).await
    }

    /// A short transaction from its beginning to its end, for which others wait: when its server falls silent it is given up, and
    /// it is not known how it ended.
    ///
    /// # Errors
    /// Those of the transaction, and [`StorageError::OutcomeUnknown`].
    pub async fn in_time<T, E: From<StorageError>>(
        &self,
        transaction: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let longest = self.pools.patience.map(|patience| patience.transaction);
        let ended = within(longest, transaction).await;
        ended.unwrap_or_else(|| Err(StorageError::OutcomeUnknown(silent()).into()))
    }

    /// What comes before the commit of a transaction of any length, or only reads: when the server falls silent, nothing was done.
    ///
    /// # Errors
    /// Those of the work, and [`StorageError::Unreachable`].
    pub async fn without_commit_in_time<T, E: From<StorageError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let longest = self.pools.patience.map(|patience| patience.long_transaction);
        let ended = within(longest, work).await;
        ended.unwrap_or_else(|| Err(StorageError::Unreachable(silent()).into()))
    }

    /// Closes all connections, once the transactions that run have ended.
    pub async fn close(&self) {
        self.pools.readers.close().await;
        self.pools.writers.close().await;
    }
}
