//! Rate limits: what the data planes of a cell may let through in one UTC minute, so that all together never exceed a limit.
//!
//! In reading order: the counter of a data plane that is alone; which minute it is; what a data plane has of every limit,
//! and of one; and what the control plane decides on rows that it has locked. Messages may be lost, repeated and reordered:
//! whoever is lowered says so before another is raised. Unlike money, time may free, because minutes end.

mod window;
pub mod minute;
pub mod seat;
pub mod place;
pub mod share;
pub mod desk;

pub use window::{LIMIT_MAX, RateWindow, Take};
