//! Transactions that own their connection. One that does not end in a commit takes its connection with it, so that nobody
//! ever inherits half a transaction: a COMMIT that failed on a full disk leaves it unclear what is still open.

use crate::StorageError;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};
use std::ops::{Deref, DerefMut};

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

#[derive(Debug)]
struct Open {
    connection: PoolConnection<Any>,
    ended: bool,
}

impl Write {
    pub(crate) async fn begin(
        connection: PoolConnection<Any>,
        begin: &'static str,
    ) -> Result<Self, StorageError> {
        Ok(Self { transaction: Open::begin(connection, begin).await? })
    }

    /// Makes it durable. Nothing that was read or written in it counts before this returned Ok.
    ///
    /// # Errors
    /// When it is not known to be durable; it may still be, if the connection broke.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        self.transaction.end("COMMIT").await
    }

    /// Undoes it; the way to end a transaction that decided to do nothing.
    ///
    /// # Errors
    /// When the connection is broken. It is undone all the same.
    pub async fn rollback(mut self) -> Result<(), StorageError> {
        self.transaction.end("ROLLBACK").await
    }
}

impl Read {
    pub(crate) async fn begin(
        connection: PoolConnection<Any>,
        begin: &'static str,
    ) -> Result<Self, StorageError> {
        Ok(Self { transaction: Open::begin(connection, begin).await? })
    }

    /// Gives the connection back. Only results that were read before this returned Ok count.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn finish(mut self) -> Result<(), StorageError> {
        self.transaction.end("COMMIT").await
    }
}

impl Open {
    async fn begin(
        connection: PoolConnection<Any>,
        begin: &'static str,
    ) -> Result<Self, StorageError> {
        // Made before BEGIN runs: if this future is dropped in the middle, the connection goes too.
        let mut open = Self { connection, ended: false };
        sqlx::query(begin).execute(&mut *open.connection).await?;
        Ok(open)
    }

    async fn end(&mut self, statement: &'static str) -> Result<(), StorageError> {
        sqlx::query(statement).execute(&mut *self.connection).await?;
        self.ended = true;
        Ok(())
    }
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
