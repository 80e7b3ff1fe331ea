//! Applies usage events to the ledger: each once, however often and in whatever order they arrive (DESIGN 7.4).
//!
//! In reading order: where events stand in their streams, what one event says, what it does to accounts and slices, what
//! is written down, whose a topic's partitions are, and the loop round it all. A batch is one transaction; what was not committed is delivered again.

mod marks;
mod error;
mod billable;
mod settle;
mod key_usage;
mod record;
mod poison;
mod ownership;
mod foreign;
mod apply;
mod retry;
mod audit;
mod backlog;
mod run;

pub use apply::{Applied, BilledMark, apply};
pub(crate) use billable::Billable;
pub use error::ApplyError;
pub use marks::WrittenOff;
pub(crate) use marks::{MarkedPartition, marks_of, written_off};
pub use ownership::OwnershipSettings;
pub use retry::retry_poison;
pub use run::{Consumer, ConsumerSettings, TopicConsumer};
