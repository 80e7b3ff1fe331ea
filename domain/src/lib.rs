//! The rules of Turnpike, and nothing else: no I/O, no async, no clock (`now` is an argument), no floats.
//!
//! In reading order: what money is, what is counted, what it costs, who may ask, what is configured, what data planes
//! get of it, what a request must hold, how slices of money move, and what is written down at the end.

#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

pub mod money;
pub mod time;
pub mod id;
pub mod name;
pub mod jurisdiction;
pub mod network;

pub mod tokens;
pub mod price;
pub mod markup;

pub mod key;
pub mod client;
pub mod limits;

pub mod config;
pub mod operation;
pub mod catalog;
pub mod compile;
pub mod snapshot;

pub mod hold;
pub mod escrow;
pub mod usage;
