//! The purse: all slices of money that this data plane holds, and the holds that its requests take of them.
//!
//! A hold of a warm slice is one subtraction under a lock; only an empty slice asks the control plane, for all who wait at
//! once. What a request may cost is the pipeline's business; what a slice is, `domain::escrow`'s.

mod settings;
mod decision;
mod stock;
mod slice;
mod table;
mod hold;
mod wait;
mod keeper;
mod farewell;

pub use decision::Choose;
pub use hold::PurseHold;
pub use settings::PurseSettings;

use self::decision::Demand;
use self::hold::Taken;
use self::slice::SharedSlice;
use self::table::SliceTable;
use domain::escrow::slice::Slice;
use domain::id::{Account, KeyUid, OrgUid};
use domain::money::Nano;
use links::escrow::{EscrowLink, Hello};
use links::spool::Spool;
use links::usage::topic::Resend;
use proto::usage::v1::SliceMark;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// All slices of this data plane. Clones are the same purse.
#[derive(Clone)]
pub struct Purse(Arc<Inner>);

struct Inner {
    settings: PurseSettings,
    spool: Spool,
    slices: SliceTable,
    born: Instant,
    link: OnceLock<EscrowLink>,
    /// Whether a control plane was ever there.
    was_welcomed: watch::Sender<bool>,
    /// Who sends usage events again, where they go through a topic.
    resend: OnceLock<Resend>,
    wants: AtomicU64,
    refused_while_parked: AtomicU64,
    /// No new requests come: what none holds is of no use here.
    draining: CancellationToken,
}

/// What a request wants to hold.
#[derive(Clone, Copy)]
pub struct HoldOrder<'a> {
    /// Whose money.
    pub org: OrgUid,
    /// The key, if it has a budget.
    pub budget: Option<KeyUid>,
    /// With less the request cannot go on.
    pub minimum: Nano,
    /// With this it has all it asks for.
    pub wanted: Nano,
    /// When there is not all it wants: how much of so much free money it takes. `None`: it cannot go on.
    pub choose: &'a Choose<'a>,
}

/// Why there is no hold.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum HoldRefused {
    /// The wallet has not enough, and nobody holds any of it.
    #[error("the balance is too low for this request: add money")]
    InsufficientBalance,
    /// The wallet has enough, but the key's budget has not.
    #[error("the key's budget is too low for this request: raise it, or use another key")]
    KeyBudget,
    /// The money is there, but held: another try may succeed.
    #[error("the money is held by requests in flight: try again")]
    InFlight,
    /// The control plane was away or too slow, and what is at hand is not enough.
    #[error("the money cannot be reached at the moment: try again")]
    Unreachable,
}

impl HoldRefused {
    /// The same, said of a key's budget.
    const fn of_budget(self) -> Self {
        match self {
            Self::InsufficientBalance => Self::KeyBudget,
            Self::KeyBudget | Self::InFlight | Self::Unreachable => self,
        }
    }
}

/// Totals over all slices, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurseGauges {
    /// Accounts that ever had a slice here.
    pub slices: u64,
    /// Money that nobody holds.
    pub parked: Nano,
    /// Money that requests hold.
    pub inflight: Nano,
    /// Requests that hold some, counted once for the wallet and once for a budget.
    pub holds: u64,
    /// Requests that were refused although the money was there: held elsewhere, by no request of this data plane.
    pub refused_while_parked: u64,
}

impl Purse {
    /// Whom to ask when billing misses usage events: it says so on the way that money takes.
    pub fn resend_by(&self, resend: Resend) {
        if self.0.resend.set(resend).is_err() {
            tracing::error!("usage events are sent again by somebody else already");
        }
    }

    /// The purse as the spool tells it, before it knows a control plane. Requests that the spool found open must have been
    /// closed, and their charges be in `restored`.
    #[must_use]
    pub fn restore(settings: PurseSettings, spool: Spool, restored: &[SliceMark]) -> Self {
        let slices = SliceTable::new();
        for mark in restored {
            let amount = |nano: i64| Nano::saturating(nano.into());
            let (granted, released) = (amount(mark.granted_nano), amount(mark.released_nano));
            let slice = Slice::restored(granted, released, amount(mark.spent_nano));
            slices.open_as(Account::from_uids(mark.org_uid, mark.key_uid), slice);
        }
        Self(Arc::new(Inner {
            settings,
            spool,
            slices,
            born: Instant::now(),
            link: OnceLock::new(),
            was_welcomed: watch::Sender::new(false),
            resend: OnceLock::new(),
            wants: AtomicU64::new(0),
            refused_while_parked: AtomicU64::new(0),
            draining: CancellationToken::new(),
        }))
    }

    /// Who this is and what it holds, for each new connection.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            data_plane: self.0.settings.data_plane.clone(),
            incarnation: self.0.spool.incarnation(),
            slices: self.0.slices.all().iter().map(|slice| slice.lock().tell()).collect(),
        }
    }

    /// Sets money aside for a request.
    ///
    /// # Errors
    /// Why there is not enough.
    pub async fn hold(&self, order: HoldOrder<'_>) -> Result<PurseHold, HoldRefused> {
        let wallet = self.0.slices.open(Account::Wallet(order.org));
        let budget = order.budget.map(|key| self.0.slices.open(Account::Budget(order.org, key)));
        let held = match self.hold_at_once(&wallet, budget.as_ref(), order.wanted) {
            Some(held) => held,
            // Apart, so that the usual way, which does not wait, keeps no room for this one.
            None => Box::pin(self.hold_in_turn(&wallet, budget.as_ref(), order)).await?,
        };
        self.renew_when_low(&wallet);
        if let Some(budget) = &budget {
            self.renew_when_low(budget);
        }
        Ok(held)
    }

    /// Gives back each slice that no request holds any of, now and as their last ones end: no new requests will come.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// What there is to show.
    #[must_use]
    pub fn gauges(&self) -> PurseGauges {
        let mut gauges = PurseGauges {
            refused_while_parked: self.0.refused_while_parked.load(Ordering::Relaxed),
            ..PurseGauges::default()
        };
        for slice in self.0.slices.all() {
            let state = slice.lock();
            gauges.slices = gauges.slices.saturating_add(1);
            gauges.parked = gauges.parked.saturating_plus(state.available().or_zero());
            gauges.inflight = gauges.inflight.saturating_plus(state.inflight());
            gauges.holds = gauges.holds.saturating_add(state.holds());
        }
        gauges
    }

    fn settings(&self) -> &PurseSettings {
        &self.0.settings
    }

    /// The path of nearly all requests: both slices are locked together, the wallet's first, so that it is all or nothing.
    fn hold_at_once(
        &self,
        wallet: &Arc<SharedSlice>,
        budget: Option<&Arc<SharedSlice>>,
        wanted: Nano,
    ) -> Option<PurseHold> {
        let mut wallet_state = wallet.lock();
        let mut budget_state = budget.map(|budget| budget.lock());
        let fits = wallet_state.can_take(wanted)
            && budget_state.as_ref().is_none_or(|budget| budget.can_take(wanted));
        if !fits {
            return None;
        }
        let wallet = Taken::new(wallet.clone(), wallet_state.take(wanted)?);
        let budget = budget.zip(budget_state.as_mut());
        let budget = budget.and_then(|(slice, state)| Some((slice, state.take(wanted)?)));
        let budget = budget.map(|(slice, hold)| Taken::new(slice.clone(), hold));
        drop((wallet_state, budget_state));
        PurseHold::of(self.clone(), wallet, budget)
    }

    /// Wallet first, then budget; what the wallet gave beyond what the budget has goes back.
    async fn hold_in_turn(
        &self,
        wallet: &Arc<SharedSlice>,
        budget: Option<&Arc<SharedSlice>>,
        order: HoldOrder<'_>,
    ) -> Result<PurseHold, HoldRefused> {
        let HoldOrder { minimum, wanted, choose, .. } = order;
        let deadline = Instant::now() + self.0.settings.wait_max;
        let mut of_wallet = self
            .take(wallet, Demand { minimum, wanted, own: Nano::ZERO, choose }, deadline)
            .await?;
        let mut of_budget = None;
        if let Some(budget) = budget {
            let demand = Demand { minimum, wanted: of_wallet.amount(), own: Nano::ZERO, choose };
            let taken =
                self.take(budget, demand, deadline).await.map_err(HoldRefused::of_budget)?;
            if taken.amount() < of_wallet.amount() {
                of_wallet = of_wallet.shrunk(taken.amount());
            }
            of_budget = Some(taken);
        }
        PurseHold::of(self.clone(), of_wallet, of_budget).ok_or(HoldRefused::InFlight)
    }
}

#[cfg(test)]
mod tests;
