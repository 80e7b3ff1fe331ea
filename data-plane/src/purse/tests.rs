//! The purse against the control plane's end of the real link, over memory, with a real spool.

mod desk;
mod world;

mod one_slice;
mod at_once;
mod asking;
mod crowd;
mod budgets;
mod giving_back;
mod breaks;
