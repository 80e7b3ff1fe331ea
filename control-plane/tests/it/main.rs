//! The control plane over real sockets and real databases, one file per promise. Those that hold on every database are one
//! suite, which is loaded once for each kind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop right there"
)]

mod kind;

#[path = "suite.rs"]
mod on_sqlite;

mod sqlite_files;
