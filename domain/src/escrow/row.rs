//! The control plane's row of one slice: its totals, and what of them no account holds.
//!
//! A row alone says what its account is to hold; what that account has is its caller's business (`office`).

use super::wallet::SliceTotals;
use crate::money::{AmountOutOfRange, Nano};

/// A slice's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceRow {
    /// Granted, released, settled.
    pub totals: SliceTotals,
    /// What of the totals' rest no account holds: grants whose commit was lost and for which no money was left. It is the
    /// company's, so it is the first to come back and the last to be spent.
    pub unbacked: Nano,
}

/// A grant that a data plane proved and the row did not know: its commit was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// What of it the account is to hold.
    pub backed: Nano,
    /// What of it nobody holds: the company's risk.
    pub unbacked: Nano,
}

impl Raised {
    /// Whether anything was proven.
    #[must_use]
    pub const fn is_news(self) -> bool {
        self.backed.is_positive() || self.unbacked.is_positive()
    }
}

/// Who has the money for a charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// What the account holds for the slice: its `held` falls by that.
    pub backed: Nano,
    /// What it does not hold: to be asked of what is free.
    pub missing: Nano,
}

impl SliceRow {
    /// What of it the account holds.
    #[must_use]
    pub fn backed(&self) -> Nano {
        self.totals.held().saturating_minus(self.unbacked).or_zero()
    }

    /// Grants more; the account is to hold all of it.
    ///
    /// # Errors
    /// When the total leaves its range: it could not be told any more. The slice is as it was.
    pub fn grant(&mut self, amount: Nano) -> Result<(), AmountOutOfRange> {
        self.totals.granted = self.totals.granted.plus(amount)?;
        Ok(())
    }

    /// Learns that the data plane was granted more than the row says, while the account has `free`.
    pub fn raise(&mut self, granted: Nano, free: Nano) -> Raised {
        let news = granted.saturating_minus(self.totals.granted).or_zero();
        let backed = news.min(free.or_zero());
        let unbacked = news.saturating_minus(backed);
        self.totals.granted = self.totals.granted.saturating_plus(news);
        self.unbacked = self.unbacked.saturating_plus(unbacked);
        Raised { backed, unbacked }
    }

    /// Learns of a release. Returns by how much the account's `held` falls.
    pub fn release(&mut self, released: Nano) -> Nano {
        let news = self.totals.learn_released(released);
        let unbacked = news.min(self.unbacked);
        self.unbacked = self.unbacked.saturating_minus(unbacked);
        news.saturating_minus(unbacked)
    }

    /// Counts a charge, whatever it is: an event is proof that the data plane held that much.
    ///
    /// # Errors
    /// When the totals leave their range; the slice is as it was.
    pub fn settle(&mut self, charge: Nano) -> Result<Covered, AmountOutOfRange> {
        let unheld = charge.saturating_minus(self.totals.held()).or_zero();
        self.raise(self.totals.granted.plus(unheld)?, Nano::ZERO);
        let backed = charge.min(self.backed());
        let missing = charge.saturating_minus(backed);
        self.totals.settle(charge);
        self.unbacked = self.unbacked.saturating_minus(missing);
        Ok(Covered { backed, missing })
    }
}
