//! The money side of the control plane: accounts and their slices, the ledger, usage records, and whether they all agree.
//!
//! In reading order: what accounts hold, how top-ups and charges are posted, how slices are granted, how usage is applied,
//! given up where it is lost and, when it is old, rolled up, and what can be asked afterwards. Prices are `domain`'s business, names and requests are the control plane's.

mod rows;
mod ledger;
mod lots;
mod slices;
mod lives;
mod metric;

pub mod accounts;
mod credit;
pub mod desk;
pub mod consumer;
mod gaps;
pub mod retention;

mod rating;
mod balance;
mod explain;
mod standing;
mod history;
mod reconcile;

use domain::time::Timestamp;

pub use balance::{Balance, balance};
pub use credit::{CreditError, CreditOrder, Credited, credit};
pub use explain::{Explained, ExplainedAttempt, ExplainedLine, explain};
pub use gaps::{
    GapName, GapQuery, Missing, UsageGap, WriteOff, WriteOffError, usage_gaps, write_off,
};
pub use history::{HistoryError, UsagePage, UsageQuery, UsageRow, usage_page};
pub use lives::{ForgetError, ForgetOrder, Forgotten, forget};
pub use metric::describe as describe_metrics;
pub use reconcile::{Difference, Reconciliation, reconcile};
pub use retention::rolled_up;
pub use standing::{Credits, KeyStanding, UsageWindows, credits, generation, key_standing};

/// Microseconds since the epoch, by this machine's clock.
fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0))
}
