//! Both sides of the escrow as pure step functions: how P1 holds without a database in the request path.
//!
//! A wallet is sliced by the control plane, a slice is spent by one data plane. All that crosses between them are totals
//! that only grow, merged by maximum. Time frees nothing.

pub mod slice;
pub mod wallet;
pub mod row;
pub mod office;
pub mod life;
