//! Money set aside for one request: topped up while it runs, ended exactly once.

use super::decision::Demand;
use super::slice::SharedSlice;
use super::{HoldRefused, Purse};
use domain::escrow::slice::{Hold, Settled};
use domain::money::Nano;
use std::sync::Arc;
use tokio::time::Instant;

/// A hold of one slice.
pub(super) struct Part {
    pub(super) slice: Arc<SharedSlice>,
    pub(super) hold: Hold,
}

/// A hold that no request owns yet. Dropping it gives the money back.
pub(super) struct Taken(Option<Part>);

/// What one request holds: of its org's wallet, and of its key's budget if there is one.
struct Held {
    wallet: Part,
    budget: Option<Part>,
}

/// The money of one request. It ends in `settle`, or in `release` if nothing was written down about the request.
///
/// Dropping it instead is a defect: its money stays held until a restart reads the spool.
#[must_use = "a hold that is dropped stays held"]
pub struct PurseHold {
    purse: Purse,
    held: Option<Held>,
}

impl Part {
    fn end(self, cost: Nano) -> Settled {
        let mut state = self.slice.lock();
        let settled = state.settle(self.hold, cost);
        let is_waited_for = state.is_waited_for();
        drop(state);
        if is_waited_for {
            self.slice.changed.notify_one();
        }
        settled
    }
}

impl Taken {
    pub(super) const fn new(slice: Arc<SharedSlice>, hold: Hold) -> Self {
        Self(Some(Part { slice, hold }))
    }

    pub(super) fn amount(&self) -> Nano {
        self.0.as_ref().map_or(Nano::ZERO, |part| part.hold.amount())
    }

    /// Gives back all but `amount`.
    pub(super) fn shrunk(mut self, amount: Nano) -> Self {
        let Some(Part { slice, hold }) = self.0.take() else {
            return self;
        };
        let mut state = slice.lock();
        state.settle(hold, Nano::ZERO);
        let smaller = state.take(amount);
        drop(state);
        Self(smaller.map(|hold| Part { slice, hold }))
    }

    fn keep(mut self) -> Option<Part> {
        self.0.take()
    }

    /// Adds it to another hold of the same slice.
    fn merge_into(mut self, part: &mut Part) {
        let Some(taken) = self.0.take() else {
            return;
        };
        let amount = taken.hold.amount();
        let mut state = taken.slice.lock();
        state.settle(taken.hold, Nano::ZERO);
        // What was just given back under this lock is there.
        if state.top_up(&mut part.hold, amount).is_err() {
            tracing::error!(account = ?taken.slice.account, "a top-up was lost between two holds");
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(part) = self.0.take() {
            part.end(Nano::ZERO);
        }
    }
}

impl PurseHold {
    pub(super) fn new(purse: Purse, wallet: Part, budget: Option<Part>) -> Self {
        Self { purse, held: Some(Held { wallet, budget }) }
    }

    /// From what was taken of the wallet, and of the budget. `None` cannot be: both hold something.
    pub(super) fn of(purse: Purse, wallet: Taken, budget: Option<Taken>) -> Option<Self> {
        let budget = budget.map(Taken::keep);
        match (wallet.keep(), budget) {
            (Some(wallet), None) => Some(Self::new(purse, wallet, None)),
            (Some(wallet), Some(Some(budget))) => Some(Self::new(purse, wallet, Some(budget))),
            _ => None,
        }
    }

    /// How much is held.
    #[must_use]
    pub fn amount(&self) -> Nano {
        self.held.as_ref().map_or(Nano::ZERO, |held| held.wallet.hold.amount())
    }

    /// Adds to the hold what is at hand, without waiting. All or nothing.
    pub fn try_top_up(&mut self, amount: Nano) -> bool {
        let Some(held) = self.held.as_mut() else {
            return false;
        };
        let is_topped_up = held.try_top_up(amount);
        self.purse.renew_when_low(&held.wallet.slice);
        if let Some(budget) = &held.budget {
            self.purse.renew_when_low(&budget.slice);
        }
        is_topped_up
    }

    /// Adds to the hold, asking the control plane when the money is not at hand. All or nothing.
    ///
    /// # Errors
    /// Why there is no more money, or none in time.
    pub async fn top_up(&mut self, amount: Nano) -> Result<(), HoldRefused> {
        if self.try_top_up(amount) {
            return Ok(());
        }
        let Some(held) = self.held.as_mut() else {
            return Ok(());
        };
        let own = held.wallet.hold.amount();
        let all = |free: Nano| (amount <= free).then_some(amount);
        let demand = Demand { minimum: amount, wanted: amount, own, choose: &all };
        let deadline = Instant::now() + self.purse.settings().top_up_wait_max;
        let wallet = self.purse.take(&held.wallet.slice, demand, deadline).await?;
        if let Some(budget) = held.budget.as_mut() {
            let taken = self.purse.take(&budget.slice, demand, deadline).await;
            taken.map_err(HoldRefused::of_budget)?.merge_into(budget);
        }
        wallet.merge_into(&mut held.wallet);
        Ok(())
    }

    /// Ends the hold with what the request cost. The budget follows the wallet: where it falls short, no money does.
    pub fn settle(mut self, cost: Nano) -> Settled {
        let Some(held) = self.held.take() else {
            return Settled { charged: Nano::ZERO, uncollected: cost.or_zero() };
        };
        let settled = held.wallet.end(cost);
        if let Some(budget) = held.budget {
            budget.end(settled.charged);
        }
        settled
    }

    /// Ends the hold of a request that was never written down: nothing is charged.
    pub fn release(self) {
        self.settle(Nano::ZERO);
    }
}

impl Held {
    /// Does not look who waits: what runs comes before what has not begun.
    fn try_top_up(&mut self, amount: Nano) -> bool {
        let mut wallet = self.wallet.slice.lock();
        let Some(part) = self.budget.as_mut() else {
            return wallet.top_up(&mut self.wallet.hold, amount).is_ok();
        };
        let mut budget = part.slice.lock();
        amount <= budget.available()
            && wallet.top_up(&mut self.wallet.hold, amount).is_ok()
            && budget.top_up(&mut part.hold, amount).is_ok()
    }
}

impl Drop for PurseHold {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            let amount = held.wallet.hold.amount();
            let org = held.wallet.slice.account.org();
            tracing::error!(?org, %amount, "a hold was dropped without an end: its money stays held");
        }
    }
}
