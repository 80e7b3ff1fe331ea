//! The control plane over real sockets and real databases, one file per promise. Those that hold on every database are one
//! suite, which is loaded once for each kind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop right there"
)]
#![expect(clippy::duplicate_mod, reason = "one suite for both kinds of databases")]

mod kind;

#[path = "suite.rs"]
mod on_sqlite;

#[path = "suite.rs"]
mod on_postgres;

mod sqlite_files;
mod lost_commits;
