//! What the control plane decides about an account and its slices: what is granted, what is learned, who pays a charge.
//!
//! Each function is given rows that its caller has locked, and leaves them as they are to be written. Where they come from,
//! and whether the write is ever committed, is not known here: the next message repeats all that matters.

use super::row::{Raised, SliceRow};
use super::wallet::{Ask, Wallet, grant};
use crate::money::{AmountOutOfRange, Nano};

/// What came of a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the want proved besides.
    pub raised: Raised,
    /// What it gets.
    pub verdict: Verdict,
}

/// What a want gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Money.
    Granted {
        /// All that the slice was ever granted.
        total: Nano,
    },
    /// Nothing: not even the need is free.
    Short {
        /// The data plane has been granted more than it knows of yet.
        is_underway: bool,
    },
}

/// Answers a want of a data plane that has seen `granted_seen` and shares what is free with `data_planes`, itself one of them.
pub fn answer(
    wallet: &mut Wallet,
    slice: &mut SliceRow,
    ask: Ask,
    granted_seen: Nano,
    data_planes: u32,
) -> Answer {
    let raised = prove(wallet, slice, granted_seen);
    let granted = grant(wallet.free(), ask, data_planes);
    // What would take the total out of its range is not granted: it could not be told any more.
    let verdict = match granted.filter(|amount| slice.grant(*amount).is_ok()) {
        Some(amount) => {
            wallet.hold(amount);
            Verdict::Granted { total: slice.totals.granted }
        }
        None => Verdict::Short { is_underway: slice.totals.granted > granted_seen },
    };
    Answer { raised, verdict }
}

/// Totals that a data plane tells of a slice: a lost, repeated or late one does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The largest total of grants it has learned.
    pub granted_seen: Nano,
    /// Given back.
    pub released: Nano,
}

/// What was learned from what was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// A grant that the row did not know.
    pub raised: Raised,
    /// What came free in the account.
    pub freed: Nano,
}

/// Learns what a data plane tells of a slice.
pub fn learn(wallet: &mut Wallet, slice: &mut SliceRow, told: Told) -> Learned {
    let raised = prove(wallet, slice, told.granted_seen);
    let freed = slice.release(told.released);
    wallet.held = wallet.held.saturating_minus(freed);
    Learned { raised, freed }
}

/// A data plane that was told of more than its row says proves a lost commit: the row is raised (DESIGN 6, rule 8).
fn prove(wallet: &mut Wallet, slice: &mut SliceRow, granted_seen: Nano) -> Raised {
    let raised = slice.raise(granted_seen, wallet.free());
    wallet.hold(raised.backed);
    raised
}

/// What one slice of an account is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The slice.
    pub slice: SliceRow,
    /// How much.
    pub amount: Nano,
}

/// Who bears what an account does not hold for its charges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What slices were charged beyond what the account holds for them. What was free has paid for it as far as it went.
    pub missing: Nano,
    /// What was not free either, of each charge in turn: the company's.
    pub shortfalls: Vec<Nano>,
}

impl Settlement {
    /// All that the company bears.
    #[must_use]
    pub fn shortfall(&self) -> Nano {
        sum(&self.shortfalls)
    }
}

/// Takes charges out of an account and its slices; `covered` is what further slices of it are charged, which it holds for
/// them. Never takes money that is not there.
///
/// # Errors
/// When totals leave their range. The rows are not to be written then.
pub fn settle(
    wallet: &mut Wallet,
    covered: Nano,
    charges: &mut [Charge],
) -> Result<Settlement, AmountOutOfRange> {
    let mut total = covered;
    let mut parts = Vec::with_capacity(charges.len());
    for charge in charges {
        parts.push(charge.slice.settle(charge.amount)?.missing);
        total = total.plus(charge.amount)?;
    }
    let missing = sum(&parts);
    let shortfall = missing.saturating_minus(wallet.free()).or_zero();
    wallet.posted = wallet.posted.minus(total.saturating_minus(shortfall))?;
    wallet.held = wallet.held.minus(total.saturating_minus(missing))?;
    Ok(Settlement { missing, shortfalls: spread(shortfall, &parts) })
}

/// Spreads a shortfall over the charges that caused it, the first of them first.
fn spread(shortfall: Nano, missing: &[Nano]) -> Vec<Nano> {
    let mut left = shortfall;
    let take = |most: &Nano| {
        let part = left.min(*most);
        left = left.saturating_minus(part);
        part
    };
    missing.iter().map(take).collect()
}

/// Of parts whose total is known to be in range.
fn sum(parts: &[Nano]) -> Nano {
    parts.iter().fold(Nano::ZERO, |sum, part| sum.saturating_plus(*part))
}
