//! The control plane's side: what it decides on rows that it has locked, and what it says of it once that is committed.
//!
//! Who calls this reads the time first, then the fleet, then decides; locks the rows of a limit before it reads them; and ends
//! a transaction within a minute, or not at all. Who is heard of is a hint: a wrong one costs time, never more.

pub mod draw;
pub mod fleet;
pub mod shares;
