//! The promises of billing, on real SQLite files and over the real links.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;
mod events;

mod credit;
mod usage;
mod permutations;
mod poison;
mod write_off;
mod damaged;
mod desk;
mod lives;
mod consumer;
mod asking;
mod reconcile;
mod retention;
