//! The data plane's side: one slice of one account, held by one incarnation.

use crate::money::{AmountOutOfRange, Nano};

/// Totals of a slice as its data plane knows them. `granted`, `released` and `spent` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    granted: Nano,
    released: Nano,
    spent: Nano,
    inflight: Nano,
}

/// Money set aside for one request. Ends in exactly one `settle`; what is lost without one stays held until a restart
/// reads the spool.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a hold that is dropped stays held"]
pub struct Hold(Nano);

impl Hold {
    /// How much is set aside.
    #[must_use]
    pub const fn amount(&self) -> Nano {
        self.0
    }
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the account pays.
    pub charged: Nano,
    /// What the request cost beyond all that could be held: the company's loss.
    pub uncollected: Nano,
}

impl Slice {
    /// A slice as a spool tells it after a restart, before the requests it finds open are closed.
    #[must_use]
    pub const fn restored(granted: Nano, released: Nano, spent: Nano) -> Self {
        Self { granted, released, spent, inflight: Nano::ZERO }
    }

    /// All that was ever granted, as far as this side knows.
    #[must_use]
    pub const fn granted(&self) -> Nano {
        self.granted
    }

    /// All that was ever given back.
    #[must_use]
    pub const fn released(&self) -> Nano {
        self.released
    }

    /// All that was ever charged.
    #[must_use]
    pub const fn spent(&self) -> Nano {
        self.spent
    }

    /// What running requests hold.
    #[must_use]
    pub const fn inflight(&self) -> Nano {
        self.inflight
    }

    /// What can still be held.
    #[must_use]
    pub fn available(&self) -> Nano {
        self.granted
            .saturating_minus(self.released)
            .saturating_minus(self.spent)
            .saturating_minus(self.inflight)
    }

    /// Learns of a grant. Returns whether it was news.
    pub fn learn_granted(&mut self, total: Nano) -> bool {
        let news = total > self.granted;
        self.granted = self.granted.max(total);
        news
    }

    /// Sets money aside, or nothing if it is not there.
    pub fn hold(&mut self, amount: Nano) -> Option<Hold> {
        if amount > self.available() || amount < Nano::ZERO {
            return None;
        }
        self.inflight = self.inflight.saturating_plus(amount);
        Some(Hold(amount))
    }

    /// Adds to a hold, or leaves it as it is if the money is not there.
    ///
    /// # Errors
    /// What is available instead.
    pub fn top_up(&mut self, hold: &mut Hold, amount: Nano) -> Result<(), Nano> {
        let more = self.hold(amount).ok_or_else(|| self.available())?;
        hold.0 = hold.0.saturating_plus(more.0);
        Ok(())
    }

    /// Ends a hold with what the request really cost. Cost beyond the hold takes what is free in the slice; the rest is
    /// not collected. A negative cost counts as none.
    pub fn settle(&mut self, hold: Hold, cost: Nano) -> Settled {
        let cost = cost.or_zero();
        self.inflight = self.inflight.saturating_minus(hold.0);
        let charged = cost.min(self.available().or_zero());
        self.spent = self.spent.saturating_plus(charged);
        Settled { charged, uncollected: cost.saturating_minus(charged) }
    }

    /// Gives back up to `amount` of what nobody holds, and returns how much. Must be durable before it is told.
    pub fn release(&mut self, amount: Nano) -> Nano {
        let given = amount.min(self.available()).or_zero();
        self.released = self.released.saturating_plus(given);
        given
    }

    /// Counts a charge that a spool tells of, for rebuilding.
    ///
    /// # Errors
    /// When the total leaves the range.
    pub fn recount_spent(&mut self, charge: Nano) -> Result<(), AmountOutOfRange> {
        self.spent = self.spent.plus(charge)?;
        Ok(())
    }
}
