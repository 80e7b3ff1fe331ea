//! The promises of billing, on real databases and over the real links. Those that hold on every database are one suite, which
//! is loaded once for each kind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod kind;

#[path = "suite.rs"]
mod on_sqlite;

mod full_disk;
