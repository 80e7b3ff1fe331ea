//! The database: pools, transactions, migrations, and what can go wrong with them.
//!
//! One set of statements for SQLite and Postgres: `$1` placeholders, BIGINT and TEXT columns only. What rows mean is not
//! known here. Two rules are built in: a result counts only after `commit` returned Ok, and no statement runs outside a
//! transaction.

mod database;
mod backend;
mod migrations;
mod transaction;
mod insert;
mod error;

pub use backend::{PostgresSettings, SqliteSettings};
pub use database::{Database, DatabaseSettings};
pub use error::StorageError;
pub use insert::{Insert, Statement, chunks, values};
pub use migrations::{Holding, Schema};
pub use transaction::{Read, Write};
