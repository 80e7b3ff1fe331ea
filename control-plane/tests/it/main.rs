//! The control plane over real sockets and a real SQLite file, one file per promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod harness;
mod samples;
mod feed;
mod people;

mod crud;
mod pages;
mod listing;
mod refusals;
mod prices;
mod keys;
mod bulk;
mod rotation;
mod secrets;
mod money;
mod apply;
mod restart;
mod concurrency;
mod overload;
mod access;
mod matrix;
mod operators;
mod audit;
mod repeats;
