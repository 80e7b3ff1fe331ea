//! The money side of the control plane: accounts and their slices, the ledger, usage records, and whether they all agree.
//!
//! In reading order: what accounts hold, how top-ups and charges are posted, how slices are granted, how usage is applied,
//! and what can be asked afterwards. Prices are `domain`'s business, names and requests are the control plane's.

mod rows;
mod ledger;
mod lots;
mod slices;
mod metric;

pub mod accounts;
mod credit;
pub mod desk;
pub mod consumer;

mod rating;
mod balance;
mod explain;
mod history;
mod reconcile;

pub use balance::{Balance, balance};
pub use credit::{CreditError, CreditOrder, Credited, credit};
pub use explain::{Explained, ExplainedAttempt, ExplainedLine, explain};
pub use history::{HistoryError, UsagePage, UsageQuery, UsageRow, usage_page};
pub use metric::describe as describe_metrics;
pub use reconcile::{Difference, Reconciliation, reconcile};
