//! The promises that no kind of database changes. This file is loaded once for each, and asks its own name for which it is.

use crate::kind::Kind;

pub(crate) mod harness;
pub(crate) mod samples;
pub(crate) mod feed;
pub(crate) mod people;

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
mod generations;
mod concurrency;
mod overload;
mod access;
mod matrix;
mod operators;
mod audit;
mod repeats;

/// On which databases this copy runs.
fn kind() -> Kind {
    Kind::of(module_path!())
}
