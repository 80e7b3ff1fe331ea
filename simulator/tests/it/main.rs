//! The simulator over real sockets, as a raw client sees it, one file per part of its contract.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but clippy does not see that a helper is one"
)]

mod client;
mod answers;
mod endpoints;
mod faults;
mod log;
mod raw;
mod steps;
