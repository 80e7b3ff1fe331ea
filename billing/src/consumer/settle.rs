//! What a batch does to accounts and slices.
//!
//! Accounts come first, ascending, one update each that assumes what nearly always holds: that each slice covers its
//! charges. Where one does not, the account is put right at the end: what is free pays, the rest falls short.

use super::apply::ApplyError;
use super::billable::Billable;
use crate::slices::{self, Holder};
use crate::{accounts, metric};
use domain::id::Account;
use domain::money::{AmountOutOfRange, Nano};
use std::collections::BTreeMap;
use storage::Write;

/// Charges of one slice, or what of them fell short.
type BySlice = BTreeMap<(Account, Holder), Nano>;

/// What a batch charges.
#[derive(Debug, Default)]
pub(crate) struct Charges {
    /// By the uids of the account, which is the order in which rows are locked.
    accounts: BTreeMap<(i64, i64), AccountCharges>,
}

#[derive(Debug, Default)]
struct AccountCharges {
    total: Nano,
    slices: BTreeMap<Holder, Nano>,
}

impl Charges {
    /// Adds a batch up.
    pub(crate) fn of(batch: &[Billable<'_>]) -> Result<Self, AmountOutOfRange> {
        let mut charges = Self::default();
        for billable in batch.iter().filter(|billable| billable.charge.is_positive()) {
            for account in billable.accounts() {
                let sums = charges.accounts.entry(account.uids()).or_default();
                sums.total = sums.total.plus(billable.charge)?;
                let sum = sums.slices.entry(billable.stream.holder.clone()).or_default();
                *sum = sum.plus(billable.charge)?;
            }
        }
        Ok(charges)
    }

    /// Takes the charges out of their accounts and slices. Returns what fell short.
    pub(crate) async fn settle(&self, write: &mut Write) -> Result<BySlice, ApplyError> {
        let mut covered = Vec::with_capacity(self.accounts.len());
        for (uids, charges) in &self.accounts {
            let account = Account::from_uids(uids.0, uids.1);
            covered.push(accounts::charge(write, account, charges.total, charges.total).await?);
        }
        let mut shortfalls = BySlice::new();
        for ((uids, charges), was_charged) in self.accounts.iter().zip(covered) {
            let account = Account::from_uids(uids.0, uids.1);
            shortfalls.extend(settle_slices(write, account, charges, was_charged).await?);
        }
        Ok(shortfalls)
    }
}

/// Settles the slices of an account that was charged as if all were covered, or not at all. Returns what fell short.
async fn settle_slices(
    write: &mut Write,
    account: Account,
    charges: &AccountCharges,
    was_charged: bool,
) -> Result<BySlice, ApplyError> {
    let mut uncovered = BTreeMap::new();
    for (holder, charge) in &charges.slices {
        if !slices::settle_covered(write, holder, account, *charge).await? {
            uncovered.insert(holder, *charge);
        }
    }
    if was_charged && uncovered.is_empty() {
        return Ok(BySlice::new());
    }
    if was_charged {
        uncharge(write, account, charges.total).await?;
    }
    let missing = settle_uncovered(write, account, &uncovered).await?;
    let shortfall = charge_again(write, account, charges.total, &missing).await?;
    Ok(spread(account, &missing, shortfall))
}

/// Puts an account back to what it was before it was charged as if everything were covered.
async fn uncharge(write: &mut Write, account: Account, total: Nano) -> Result<(), ApplyError> {
    let back = Nano::ZERO.saturating_minus(total);
    charge(write, account, back, back).await
}

async fn charge(
    write: &mut Write,
    account: Account,
    paid: Nano,
    covered: Nano,
) -> Result<(), ApplyError> {
    if accounts::charge(write, account, paid, covered).await? {
        Ok(())
    } else {
        Err(ApplyError::Unsound(account))
    }
}

/// Settles slices whose charges exceed them. Returns for each how much of its charge the account does not hold.
async fn settle_uncovered(
    write: &mut Write,
    account: Account,
    uncovered: &BTreeMap<&Holder, Nano>,
) -> Result<Vec<(Holder, Nano)>, ApplyError> {
    let mut missing = Vec::with_capacity(uncovered.len());
    for (holder, charge) in uncovered {
        let mut slice = slices::read(write, holder, account).await?;
        let covered = slice.settle(*charge)?;
        slices::save(write, holder, account, slice).await?;
        missing.push(((*holder).clone(), charge.saturating_minus(covered)));
    }
    Ok(missing)
}

/// Charges an account of whose charges a part is not held. Returns what was not free either.
async fn charge_again(
    write: &mut Write,
    account: Account,
    total: Nano,
    missing: &[(Holder, Nano)],
) -> Result<Nano, ApplyError> {
    let missing = missing.iter().fold(Nano::ZERO, |sum, (_, part)| sum.saturating_plus(*part));
    let row = accounts::lock(write, account).await?.ok_or(ApplyError::Unsound(account))?;
    let shortfall = missing.saturating_minus(row.wallet.free()).or_zero();
    let paid = total.saturating_minus(shortfall);
    charge(write, account, paid, total.saturating_minus(missing)).await?;
    if missing.is_positive() {
        tracing::error!(
            ?account,
            missing_nano = missing.get(),
            shortfall_nano = shortfall.get(),
            "charges exceed what was granted: a grant was lost, the company bears what is not free"
        );
        metric::shortfall(shortfall.get());
    }
    Ok(shortfall)
}

/// Spreads a shortfall over the slices that caused it.
fn spread(account: Account, missing: &[(Holder, Nano)], shortfall: Nano) -> BySlice {
    let mut left = shortfall;
    let mut parts = BySlice::new();
    for (holder, amount) in missing {
        let part = left.min(*amount);
        left = left.saturating_minus(part);
        parts.insert((account, holder.clone()), part);
    }
    parts
}

/// Spreads what slices fell short of over their events, the last first.
pub(crate) fn attribute(batch: &mut [Billable<'_>], mut shortfalls: BySlice) {
    for billable in batch.iter_mut().rev() {
        let mut part = |account: Option<Account>| {
            let slice = (account?, billable.stream.holder.clone());
            let left = shortfalls.get_mut(&slice)?;
            let part = billable.charge.min(*left);
            *left = left.saturating_minus(part);
            Some(part)
        };
        let shortfall = part(Some(billable.wallet()));
        let budget_shortfall = part(billable.budget());
        billable.shortfall = shortfall.unwrap_or_default();
        billable.budget_shortfall = budget_shortfall.unwrap_or_default();
    }
}
