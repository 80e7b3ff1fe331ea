//! What a batch does to accounts and slices.
//!
//! Accounts come first, by a statement that assumes what nearly always holds: that each slice covers its charges. Where
//! one does not, the account is put right at the end: what is free pays, the rest falls short. Charges of money that was
//! given up are the company's, whatever is free.

use super::billable::Billable;
use super::error::ApplyError;
use crate::slices::{self, Holder, SliceCharge};
use crate::{accounts, metric};
use domain::escrow::office::{self, Charge, Settlement};
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
        let totals: Vec<((i64, i64), Nano)> =
            self.accounts.iter().map(|(uids, charges)| (*uids, charges.total)).collect();
        let charged = accounts::charge_covered(write, &totals).await?;
        let mut uncovered: BTreeMap<(i64, i64), Vec<SliceCharge<'_>>> = BTreeMap::new();
        for (uids, _) in totals.iter().filter(|(uids, _)| !charged.contains(uids)) {
            accounts::lock(write, Account::from_uids(uids.0, uids.1)).await?;
            uncovered.insert(*uids, Vec::new());
        }
        for charge in slices::settle_covered(write, &self.slices()).await? {
            uncovered.entry(charge.1.uids()).or_default().push(charge);
        }
        let mut shortfalls = BySlice::new();
        for (uids, uncovered) in uncovered {
            let account = Account::from_uids(uids.0, uids.1);
            let total = self.accounts.get(&uids).map_or(Nano::ZERO, |charges| charges.total);
            if charged.contains(&uids) {
                uncharge(write, account, total).await?;
            }
            shortfalls.extend(settle_uncovered(write, account, total, &uncovered).await?);
        }
        Ok(shortfalls)
    }

    fn slices(&self) -> Vec<SliceCharge<'_>> {
        let mut slices = Vec::new();
        for (uids, charges) in &self.accounts {
            let account = Account::from_uids(uids.0, uids.1);
            slices.extend(charges.slices.iter().map(|(holder, charge)| (holder, account, *charge)));
        }
        slices
    }
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

/// Charges an account of which some slices are charged more than it holds for them. Returns what was not free either.
async fn settle_uncovered(
    write: &mut Write,
    account: Account,
    total: Nano,
    uncovered: &[SliceCharge<'_>],
) -> Result<BySlice, ApplyError> {
    let row = accounts::lock(write, account).await?.ok_or(ApplyError::Unsound(account))?;
    let mut covered = total;
    let mut charges = Vec::with_capacity(uncovered.len());
    for (holder, account, amount) in uncovered {
        let slice = slices::read(write, holder, *account).await?;
        charges.push(Charge { slice, amount: *amount });
        covered = covered.saturating_minus(*amount);
    }
    let mut wallet = row.wallet;
    let settlement = office::settle(&mut wallet, covered, &mut charges)?;
    for ((holder, account, _), charge) in uncovered.iter().zip(&charges) {
        slices::save(write, holder, *account, charge.slice).await?;
    }
    let paid = row.wallet.posted.saturating_minus(wallet.posted);
    charge(write, account, paid, row.wallet.held.saturating_minus(wallet.held)).await?;
    tell_shortfall(account, &settlement);
    let by_slice = |((holder, account, _), part): (&SliceCharge<'_>, Nano)| {
        ((*account, (*holder).clone()), part)
    };
    Ok(uncovered.iter().zip(settlement.shortfalls).map(by_slice).collect())
}

fn tell_shortfall(account: Account, settlement: &Settlement) {
    let shortfall = settlement.shortfall();
    let Settlement { missing, given_up, .. } = settlement;
    metric::shortfall(shortfall.get());
    if missing.is_positive() {
        tracing::error!(
            ?account,
            missing_nano = missing.get(),
            shortfall_nano = shortfall.get(),
            "charges exceed what was granted: a grant was lost, the company bears what is not free"
        );
    }
    if given_up.is_positive() {
        tracing::error!(
            ?account,
            given_up_nano = given_up.get(),
            "usage came of a data plane that was given up: the company bears it"
        );
    }
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
