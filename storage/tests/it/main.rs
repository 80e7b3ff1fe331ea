//! Real databases: files of SQLite, and a Postgres server that is this binary's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::duplicate_mod, reason = "one suite for both kinds of database")]

mod cut_off;
mod full_disk;
mod place;
mod postgres;
mod private;
mod schemas;

#[path = "transactions.rs"]
mod on_postgres;
#[path = "transactions.rs"]
mod on_sqlite;
