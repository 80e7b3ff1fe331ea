//! Applies usage events to the ledger: each once, however often and in whatever order they arrive (DESIGN 7.4).
//!
//! In reading order: who may apply them, where events stand in their streams, what one event says, what it does to accounts and slices, what
//! is written down, where they are read by what right, and the loop round it all. A batch is one transaction; what was not committed is delivered
//! again.

mod fence;
mod ownership;
mod right;
mod marks;
mod error;
mod billable;
mod settle;
mod key_usage;
mod record;
mod poison;
mod foreign;
mod apply;
mod retry;
mod audit;
mod backlog;
mod pace;
mod inflow;
mod run;

pub use apply::{Applied, BilledMark, apply};
pub(crate) use billable::Billable;
pub use domain::usage::progress::WrittenOff;
pub use error::ApplyError;
pub(crate) use fence::is_of_this_process;
pub use inflow::TopicConsumer;
pub(crate) use marks::{MarkedPartition, marks_of, written_off};
pub use ownership::OwnershipSettings;
pub use retry::retry_poison;
pub use run::{Consumer, ConsumerSettings};
