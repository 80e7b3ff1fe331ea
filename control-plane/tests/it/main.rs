//! The control plane over real sockets and a real SQLite file, one file per promise.

mod harness;
mod samples;
mod feed;

mod crud;
mod refusals;
mod prices;
mod keys;
mod secrets;
mod money;
mod apply;
mod restart;
mod concurrency;
mod access;
