//! The protocols between roles, run by one thread under a seed that decides delays, faults and crashes, with the invariants
//! checked at every step. What is decided is decided by the product's own pure code; what is modelled is told in
//! `docs/simulation.md`.

mod chance;
mod coverage;
mod network;
mod schedule;

mod case;
mod invariant;
mod mutant;
mod shrink;
mod sweep;

mod feed;
mod money;
mod rates;

pub use case::{Case, Outcome, Violation, World};
pub use coverage::Seen;
pub use invariant::Invariant;
pub use mutant::Mutant;
pub use shrink::shrink;
pub use sweep::{Sweep, sweep};
