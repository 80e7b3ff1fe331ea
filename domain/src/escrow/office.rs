//! What the control plane decides about an account and its slices: what is granted, what is learned, who pays a charge.
//!
//! Each function is given rows that its caller has locked, and leaves them as they are to be written. Where they come from,
//! and whether the write is ever committed, is not known here: the next message repeats all that matters.

use super::row::{Covered, Raised, SliceRow};
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

/// What of that can be: a slice holds no more than its account ever had at once (`ever`: all credits, and its credit limit).
/// Totals that say so are garbage, which merged by maximum would keep the account's money for ever. Nothing is lost by not
/// believing them: a charge counts whatever was granted.
#[must_use]
pub fn believe(slice: &SliceRow, told: Told, ever: Nano) -> Told {
    let gone = slice.totals.released.max(told.released).saturating_plus(slice.totals.settled);
    let is_news = told.granted_seen > slice.totals.granted;
    if is_news && told.granted_seen.saturating_minus(gone) > ever {
        return Told { granted_seen: slice.totals.granted, ..told };
    }
    told
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

/// Gives up what a slice holds: the account has it again, the company bears what is still charged. Returns how much.
pub fn give_up(wallet: &mut Wallet, slice: &mut SliceRow) -> Nano {
    let freed = slice.give_up();
    wallet.held = wallet.held.saturating_minus(freed);
    freed
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
    /// What slices were charged of money that was given up.
    pub given_up: Nano,
    /// What was not free either, or given up, of each charge in turn: the company's.
    pub shortfalls: Vec<Nano>,
}

impl Settlement {
    /// All that the company bears.
    #[must_use]
    pub fn shortfall(&self) -> Nano {
        sum(self.shortfalls.iter().copied())
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
        parts.push(charge.slice.settle(charge.amount)?);
        total = total.plus(charge.amount)?;
    }
    let missing = sum(parts.iter().map(|part| part.missing));
    let given_up = sum(parts.iter().map(|part| part.company));
    let unpaid = missing.saturating_minus(wallet.free()).or_zero();
    let asked = total.saturating_minus(given_up);
    wallet.posted = wallet.posted.minus(asked.saturating_minus(unpaid))?;
    wallet.held = wallet.held.minus(asked.saturating_minus(missing))?;
    Ok(Settlement { missing, given_up, shortfalls: spread(unpaid, &parts) })
}

/// Spreads what nobody could pay over the charges that caused it, the first of them first; each has what was given up, too.
fn spread(unpaid: Nano, parts: &[Covered]) -> Vec<Nano> {
    let mut left = unpaid;
    let take = |part: &Covered| {
        let taken = left.min(part.missing);
        left = left.saturating_minus(taken);
        taken.saturating_plus(part.company)
    };
    parts.iter().map(take).collect()
}

/// Of parts whose total is known to be in range.
fn sum(parts: impl Iterator<Item = Nano>) -> Nano {
    parts.fold(Nano::ZERO, Nano::saturating_plus)
}
