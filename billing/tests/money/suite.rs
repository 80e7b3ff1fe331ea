//! The promises that no kind of database changes. This file is loaded once for each, and asks its own name for which it is.

use crate::kind::Kind;

pub(crate) mod world;
pub(crate) mod events;

mod credit;
mod usage;
mod permutations;
mod poison;
mod write_off;
mod damaged;
pub(crate) mod desk;
mod lives;
mod forget;
mod model;
pub(crate) mod consumer;
mod topic;
mod asking;
mod reconcile;
mod retention;

/// On which databases this copy runs.
fn kind() -> Kind {
    Kind::of(module_path!())
}
