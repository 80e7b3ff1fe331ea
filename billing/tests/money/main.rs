//! The promises of billing, on real databases and over the real links. Those that hold on every database are one suite, which
//! is loaded once for each kind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::duplicate_mod, reason = "one suite for both kinds of databases")]

mod kind;

#[path = "suite.rs"]
mod on_sqlite;

#[path = "suite.rs"]
mod on_postgres;

mod full_disk;
mod postgres_locks;
mod postgres_recalls;
