//! Recomputes what can be computed twice, and names every row that differs.
//!
//! All of it at one moment, in one read transaction. Nothing here trusts the code that wrote the rows; only prices are
//! rated by the same rules.

mod report;
mod transactions;
mod records;
mod rollups;
mod lots;
mod key_usage;
mod accounts;
mod slices;
mod marks;

use crate::gaps::{self, Missing};
use domain::time::Timestamp;
use report::Report;
use storage::{Database, StorageError};

/// One value that is not what other rows say it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which row, for instance `wallet demo` or `usage_record req-…`.
    pub row: String,
    /// Which of its columns.
    pub field: String,
    /// What the others say.
    pub expected: String,
    /// What it says.
    pub found: String,
}

/// What a reconciliation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Usage records that were recomputed.
    pub events: u64,
    /// Records that were rolled up and so cannot be recomputed; their sums were taken instead.
    pub rolled_up: u64,
    /// Events that are known to be missing: they were charged to nobody.
    pub missing: Missing,
    /// Nothing, if all is well.
    pub differences: Vec<Difference>,
}

/// Recomputes the ledger from usage records and the rollups of old ones, and the records from their events and prices,
/// all at one moment. `since` leaves out transactions that were posted earlier, with their records; balances are always
/// checked as a whole.
///
/// # Errors
/// When the database cannot be read.
pub async fn reconcile(
    database: &Database,
    since: Option<Timestamp>,
) -> Result<Reconciliation, StorageError> {
    let mut read = database.read().await?;
    // Prices are never changed, so they may come from another connection while records stream from this one.
    let mut prices = database.read().await?;
    let mut report = Report::default();
    let since = since.unwrap_or_default();
    let counted = transactions::check(&mut read, &mut prices, since, &mut report).await?;
    lots::check(&mut read, &mut report).await?;
    key_usage::check(&mut read, &mut report).await?;
    accounts::check(&mut read, &mut report).await?;
    slices::check(&mut read, &mut report).await?;
    marks::check(&mut read, &mut report).await?;
    let missing = gaps::missing(&mut read).await?;
    prices.finish().await?;
    read.finish().await?;
    Ok(Reconciliation {
        events: counted.events,
        rolled_up: counted.rolled_up,
        missing,
        differences: report.into_differences(),
    })
}
