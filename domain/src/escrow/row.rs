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
    /// company's, so it is the first to come back and the last to be spent; unless it was given up.
    pub unbacked: Nano,
    /// What is not backed was given up (`give_up`): the account has that money again, so whatever its data plane still spends
    /// of it, or has spent without telling, is paid by the company first; and what comes back is the account's first.
    pub given_up: bool,
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
    /// What was given up: the company's, and never asked of the account.
    pub company: Nano,
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

    /// Learns that the data plane was granted more than the row says, while the account has `free`. After it was given up,
    /// nobody can tell when that was granted.
    pub fn raise(&mut self, granted: Nano, free: Nano) -> Raised {
        let news = granted.saturating_minus(self.totals.granted).or_zero();
        let backed = if self.given_up { Nano::ZERO } else { news.min(free.or_zero()) };
        let unbacked = news.saturating_minus(backed);
        self.totals.granted = self.totals.granted.saturating_plus(news);
        self.unbacked = self.unbacked.saturating_plus(unbacked);
        Raised { backed, unbacked }
    }

    /// Learns of a release. Returns by how much the account's `held` falls.
    pub fn release(&mut self, released: Nano) -> Nano {
        let backed = self.backed();
        let news = self.totals.learn_released(released);
        let freed = if self.given_up {
            news.min(backed)
        } else {
            news.saturating_minus(self.unbacked).or_zero()
        };
        self.unbacked = self.unbacked.saturating_minus(news.saturating_minus(freed));
        freed
    }

    /// Its data plane will never say more of it: what the account holds for it is the company's from now on. Returns by how
    /// much the account's `held` falls.
    pub fn give_up(&mut self) -> Nano {
        let backed = self.backed();
        self.unbacked = self.unbacked.saturating_plus(backed);
        self.given_up = true;
        backed
    }

    /// Counts a charge, whatever it is: an event is proof that the data plane held that much.
    ///
    /// # Errors
    /// When the totals leave their range; the slice is as it was.
    pub fn settle(&mut self, charge: Nano) -> Result<Covered, AmountOutOfRange> {
        let unheld = charge.saturating_minus(self.totals.held()).or_zero();
        self.raise(self.totals.granted.plus(unheld)?, Nano::ZERO);
        let company = if self.given_up { charge.min(self.unbacked) } else { Nano::ZERO };
        let asked = charge.saturating_minus(company);
        let backed = asked.min(self.backed());
        let missing = asked.saturating_minus(backed);
        self.totals.settle(charge);
        self.unbacked = self.unbacked.saturating_minus(charge.saturating_minus(backed));
        Ok(Covered { backed, missing, company })
    }
}
