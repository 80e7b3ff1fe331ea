//! A database in memory: rows on which the decisions of `domain::escrow` are made, one after the other.
//!
//! It knows no slow and no fast way, no batches, no caches and no SQL: what those add must not show.

use super::life::{Event, Holder, Payer};
use super::world::{budget, nano, wallet};
use domain::escrow::office::{self, Charge, Told, Verdict};
use domain::escrow::row::SliceRow;
use domain::escrow::wallet::{Ask, Wallet};
use domain::id::Account;
use domain::money::Nano;
use links::escrow::{Denial, DenialReason, Grant, SliceReport, ToDataPlane, Want};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub(super) credited: Nano,
    pub(super) wallet: Wallet,
}

impl Row {
    fn ever(&self) -> Nano {
        self.credited.plus(self.wallet.credit_limit).unwrap()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) accounts: BTreeMap<Account, Row>,
    pub(super) slices: BTreeMap<(Holder, Account), SliceRow>,
    pub(super) records: BTreeMap<(Holder, u64), Event>,
    pub(super) shortfalls: BTreeMap<(Holder, Account), Nano>,
    /// Top-ups, by their idempotency keys.
    top_ups: BTreeMap<String, (i64, Nano)>,
}

impl Books {
    /// Wallets of orgs 1 to 3, and the budget of key 11, as `World` has them.
    pub(super) fn new() -> Self {
        let mut books = Self::default();
        books.accounts.extend((1..=3).map(|org| (wallet(org), Row::default())));
        let may_spend = nano(1000);
        let opened = Wallet { posted: may_spend, ..Wallet::default() };
        books.accounts.insert(budget(1, 11), Row { credited: may_spend, wallet: opened });
        books
    }

    /// The row of a slice; one that is not there is empty.
    pub(super) fn slice(&self, holder: Holder, account: Account) -> SliceRow {
        self.slices.get(&(holder, account)).copied().unwrap_or_default()
    }

    /// What a want is told.
    pub(super) fn answer(&mut self, holder: Holder, want: Want, data_planes: u32) -> ToDataPlane {
        let Want { want_id, account, need, granted_seen, .. } = want;
        let mut slice = self.slice(holder, account);
        let before = slice;
        let Some(row) = self.accounts.get_mut(&account) else {
            let (reason, free) = (DenialReason::Frozen, Nano::ZERO);
            return ToDataPlane::Denial(Denial { want_id, account, reason, free });
        };
        let ask = Ask { need, want: want.want };
        let told = Told { granted_seen, released: Nano::ZERO };
        let seen = office::believe(&slice, told, row.ever()).granted_seen;
        let answer = office::answer(&mut row.wallet, &mut slice, ask, seen, data_planes);
        let free = row.wallet.free();
        if slice != before {
            self.slices.insert((holder, account), slice);
        }
        match answer.verdict {
            Verdict::Granted { total } => {
                ToDataPlane::Grant(Grant { want_id, account, granted_total: total, free })
            }
            Verdict::Short { is_underway } => {
                let is_in_flight = is_underway || self.others_hold(holder, account);
                let reason =
                    if is_in_flight { DenialReason::InFlight } else { DenialReason::Insufficient };
                ToDataPlane::Denial(Denial { want_id, account, reason, free })
            }
        }
    }

    fn others_hold(&self, holder: Holder, account: Account) -> bool {
        let holds = |((other, of), slice): (&(Holder, Account), &SliceRow)| {
            *other != holder && *of == account && slice.backed().is_positive()
        };
        self.slices.iter().any(holds)
    }

    pub(super) fn learn(&mut self, holder: Holder, reports: &[SliceReport]) {
        for report in reports {
            let mut slice = self.slice(holder, report.account);
            let before = slice;
            let Some(row) = self.accounts.get_mut(&report.account) else { continue };
            let told = Told { granted_seen: report.granted_seen, released: report.released };
            let told = office::believe(&slice, told, row.ever());
            office::learn(&mut row.wallet, &mut slice, told);
            if slice != before {
                self.slices.insert((holder, report.account), slice);
            }
        }
    }

    /// Its accounts have again what it held.
    pub(super) fn give_up(&mut self, holder: Holder) {
        for ((_, account), slice) in self.slices.iter_mut().filter(|((of, _), _)| *of == holder) {
            office::give_up(&mut self.accounts.get_mut(account).unwrap().wallet, slice);
        }
    }

    /// What a Welcome says.
    pub(super) fn welcome(&self, holder: Holder) -> Vec<Grant> {
        let mine = self.slices.iter().filter(|((of, _), _)| *of == holder);
        let grant = |((_, account), slice): (&(Holder, Account), &SliceRow)| Grant {
            want_id: 0,
            account: *account,
            granted_total: slice.totals.granted,
            free: self.accounts.get(account).unwrap().wallet.free(),
        };
        mine.map(grant).collect()
    }

    /// Applies the events of a batch that are new.
    pub(super) fn bill(&mut self, batch: &[Event]) {
        let mut charges: BTreeMap<Account, BTreeMap<Holder, Nano>> = BTreeMap::new();
        for event in batch {
            let is_new = self.records.insert((event.holder, event.seq), event.clone()).is_none();
            if !is_new || !event.charge.is_positive() {
                continue;
            }
            for account in event.payer.accounts() {
                let sum = charges.entry(account).or_default().entry(event.holder).or_default();
                *sum = sum.plus(event.charge).unwrap();
            }
        }
        for (account, charges) in charges {
            self.settle(account, &charges);
        }
    }

    fn settle(&mut self, account: Account, by_holder: &BTreeMap<Holder, Nano>) {
        let charge = |(holder, amount): (&Holder, &Nano)| Charge {
            slice: self.slice(*holder, account),
            amount: *amount,
        };
        let mut charges: Vec<Charge> = by_holder.iter().map(charge).collect();
        let wallet = &mut self.accounts.get_mut(&account).unwrap().wallet;
        let settled = office::settle(wallet, Nano::ZERO, &mut charges).unwrap();
        let parts = charges.into_iter().zip(settled.shortfalls);
        for (holder, (charge, shortfall)) in by_holder.keys().zip(parts) {
            self.slices.insert((*holder, account), charge.slice);
            let sum = self.shortfalls.entry((*holder, account)).or_default();
            *sum = sum.plus(shortfall).unwrap();
        }
    }

    /// False: it was posted before.
    pub(super) fn credit(&mut self, org: i64, amount: Nano, key: &str) -> bool {
        if self.top_ups.contains_key(key) {
            return false;
        }
        self.top_ups.insert(key.to_owned(), (org, amount));
        self.raise(wallet(org), amount);
        true
    }

    fn raise(&mut self, account: Account, amount: Nano) {
        let row = self.accounts.get_mut(&account).unwrap();
        row.credited = row.credited.plus(amount).unwrap();
        row.wallet.posted = row.wallet.posted.plus(amount).unwrap();
    }

    /// The least that would do, if the limit is too low.
    pub(super) fn set_credit_limit(&mut self, account: Account, limit: Nano) -> Option<Nano> {
        let wallet = &mut self.accounts.get_mut(&account).unwrap().wallet;
        let owed = wallet.held.minus(wallet.posted).unwrap();
        if owed > limit {
            return Some(owed);
        }
        wallet.credit_limit = limit;
        None
    }

    /// The least change that would do, if this one takes away too much.
    pub(super) fn set_budget(&mut self, account: Account, delta: Nano) -> Option<Nano> {
        let free = self.accounts.get(&account).unwrap().wallet.free();
        if free.plus(delta).unwrap() < Nano::ZERO {
            return Some(Nano::ZERO.minus(free).unwrap());
        }
        self.raise(account, delta);
        None
    }

    /// What `real::tables` reads, as it must be.
    pub(super) fn tables(&self) -> [BTreeSet<String>; 4] {
        [self.account_rows(), self.slice_rows(), self.record_sums(), self.postings()]
    }

    fn account_rows(&self) -> BTreeSet<String> {
        let line = |(account, row): (&Account, &Row)| {
            let (org, key) = account.uids();
            let Wallet { posted, held, credit_limit } = row.wallet;
            joined(format!("{org}|{key}"), &[row.credited, posted, held, credit_limit])
        };
        self.accounts.iter().map(line).collect()
    }

    fn slice_rows(&self) -> BTreeSet<String> {
        let line = |((holder, account), slice): (&(Holder, Account), &SliceRow)| {
            let (org, key) = account.uids();
            let place = format!("{}|{}|{org}|{key}", holder.name, holder.incarnation);
            let totals = slice.totals;
            let given_up = nano(i64::from(slice.given_up));
            let amounts =
                [totals.granted, totals.released, totals.settled, slice.unbacked, given_up];
            joined(place, &amounts)
        };
        self.slices.iter().map(line).collect()
    }

    /// By holder and org: how many, what they charge, and what of that the wallet and the budget could not pay.
    fn record_sums(&self) -> BTreeSet<String> {
        let mut sums: BTreeMap<(Holder, i64), (i64, Nano)> = BTreeMap::new();
        for event in self.records.values() {
            let (count, charge) = sums.entry((event.holder, event.payer.org)).or_default();
            *count += 1;
            *charge = charge.plus(event.charge).unwrap();
        }
        let line = |((holder, org), (count, charge)): ((Holder, i64), (i64, Nano))| {
            let short = |account| self.shortfalls.get(&(holder, account)).copied();
            let of_wallet = short(wallet(org)).unwrap_or_default();
            let of_budget = short(budget(org, 11)).unwrap_or_default();
            let place = format!("{}|{}|{org}|{count}", holder.name, holder.incarnation);
            joined(place, &[charge, of_wallet, of_budget])
        };
        sums.into_iter().map(line).collect()
    }

    fn postings(&self) -> BTreeSet<String> {
        let mut sums: BTreeMap<String, Nano> = BTreeMap::new();
        let mut post = |pair: String, amount: Nano| {
            let sum = sums.entry(pair).or_default();
            *sum = sum.plus(amount).unwrap();
        };
        for (org, amount) in self.top_ups.values() {
            post(format!("psp:manual|wallet:{org}"), *amount);
        }
        for Event { payer: Payer { org, .. }, charge, uncollected, .. } in self.records.values() {
            post(format!("wallet:{org}|usage:202611"), *charge);
            post("uncollected|usage:202611".to_owned(), *uncollected);
        }
        for ((_, account), shortfall) in &self.shortfalls {
            if let Account::Wallet(org) = account {
                let unpaid = Nano::ZERO.minus(*shortfall).unwrap();
                post(format!("wallet:{}|usage:202611", org.0), unpaid);
                post("uncollected|usage:202611".to_owned(), *shortfall);
            }
        }
        let posted = sums.into_iter().filter(|(_, sum)| sum.is_positive());
        posted.map(|(pair, sum)| joined(pair, &[sum])).collect()
    }
}

fn joined(place: String, amounts: &[Nano]) -> String {
    amounts.iter().fold(place, |line, amount| format!("{line}|{}", amount.get()))
}
