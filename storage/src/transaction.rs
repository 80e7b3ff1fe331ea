//! Transactions that own their connection. One that does not end in a commit takes its connection with it, so that nobody
//! ever inherits half a transaction: a COMMIT that failed on a full disk leaves it unclear what is still open.

use crate::StorageError;
use crate::backend::{Backend, Begin, Patience};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Row as _};
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// A transaction on the writer. Dropping it rolls back.
#[derive(Debug)]
pub struct Write {
    transaction: Open,
}

/// A read transaction: one consistent state of the database, however long it takes.
#[derive(Debug)]
pub struct Read {
    transaction: Open,
}

/// A transaction that was begun on a connection of its own.
#[derive(Debug)]
pub(crate) struct Open {
    connection: PoolConnection<Any>,
    backend: Backend,
    patience: Option<Patience>,
    ended: bool,
}

impl Write {
    pub(crate) const fn new(transaction: Open) -> Self {
        Self { transaction }
    }

    /// The time in microseconds UTC, by the one clock that all who share the database have in common.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn now_us(&mut self) -> Result<i64, StorageError> {
        self.transaction.now_us().await
    }

    /// Makes it durable. Nothing that was read or written in it counts before this returned Ok.
    ///
    /// # Errors
    /// When it is not known to be durable. With [`StorageError::OutcomeUnknown`] it may be all the same.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        let commit = self.transaction.backend.commit();
        let longest = self.transaction.patience.map(|patience| patience.transaction);
        let ended = within(longest, self.transaction.end(commit)).await;
        ended.unwrap_or_else(|| Err(silent())).map_err(StorageError::of_commit)
    }

    /// Undoes it; the way to end a transaction that decided to do nothing.
    ///
    /// # Errors
    /// When the connection is broken. It is undone all the same.
    pub async fn rollback(mut self) -> Result<(), StorageError> {
        Ok(self.transaction.end("ROLLBACK").await?)
    }
}

impl Read {
    pub(crate) const fn new(transaction: Open) -> Self {
        Self { transaction }
    }

    /// As [`Write::now_us`].
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn now_us(&mut self) -> Result<i64, StorageError> {
        self.transaction.now_us().await
    }

    /// Gives the connection back. Only results that were read before this returned Ok count.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn finish(mut self) -> Result<(), StorageError> {
        Ok(self.transaction.end("COMMIT").await?)
    }
}

impl Open {
    /// Connections that lay idle while their server went away are noticed here and replaced: nothing was asked of them yet.
    pub(crate) async fn begin_on_one(
        pool: &AnyPool,
        backend: Backend,
        begin: Begin,
        patience: Option<Patience>,
    ) -> Result<Self, StorageError> {
        let mut may_be_stale = pool.num_idle();
        loop {
            // Made before BEGIN runs: if this future is dropped in the middle, the connection goes too.
            let open = Self { connection: pool.acquire().await?, backend, patience, ended: false };
            let longest =
                patience.map(
                    |patience| {
                        if may_be_stale > 0 { patience.idle } else { patience.transaction }
                    },
                );
            match within(longest, open.begin(begin)).await.unwrap_or_else(|| Err(silent().into())) {
                Err(StorageError::Unreachable(_) | StorageError::ReadOnly) if may_be_stale > 0 => {
                    may_be_stale = may_be_stale.saturating_sub(1);
                }
                begun => return begun,
            }
        }
    }

    async fn begin(mut self, begin: Begin) -> Result<Self, StorageError> {
        let rows = sqlx::raw_sql(begin.statements).fetch_all(&mut *self.connection).await?;
        if begin.looks {
            let unfit: i64 = rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get("unfit")?;
            if unfit != 0 {
                return Err(StorageError::ReadOnly);
            }
        }
        Ok(self)
    }

    /// Microseconds UTC, by the clock that all who share the database have in common.
    async fn now_us(&mut self) -> Result<i64, StorageError> {
        let Some(clock) = self.backend.clock() else { return Ok(own_clock_us()) };
        let row = sqlx::query(clock).fetch_one(&mut *self.connection).await?;
        Ok(row.try_get("now_us")?)
    }

    async fn end(&mut self, statements: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(statements).execute(&mut *self.connection).await?;
        self.ended = true;
        Ok(())
    }
}

/// `None` when it took longer than that.
pub(crate) async fn within<T>(
    longest: Option<Duration>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match longest {
        Some(longest) => timeout(longest, work).await.ok(),
        None => Some(work.await),
    }
}

/// What is said of a server that says nothing.
pub(crate) fn silent() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time"))
}

fn own_clock_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Write {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction.connection
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction.connection
    }
}

impl Deref for Read {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction.connection
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction.connection
    }
}
