//! One life of a data plane, as its own rules make it: what it was granted, gave back and spent, and what it tells of that.

use super::events::Shape;
use super::world::{budget, nano, wallet};
use domain::escrow::slice::Slice;
use domain::id::Account;
use domain::money::Nano;
use links::escrow::SliceReport;
use proto::usage::v1::UsageEnvelope;
use std::collections::BTreeMap;

/// Whose money it is that a life of a data plane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) name: &'static str,
    pub(super) incarnation: u64,
}

/// Who pays for a request: a wallet, and a key's budget if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payer {
    pub(super) org: i64,
    pub(super) key: Option<i64>,
}

impl Payer {
    pub(super) fn accounts(self) -> impl Iterator<Item = Account> {
        [Some(wallet(self.org)), self.key.map(|key| budget(self.org, key))].into_iter().flatten()
    }
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) holder: Holder,
    pub(super) seq: u64,
    pub(super) payer: Payer,
    pub(super) charge: Nano,
    pub(super) uncollected: Nano,
}

impl Event {
    /// As it is sent. It costs one nano-unit a token.
    pub(super) fn envelope(&self) -> UsageEnvelope {
        let Payer { org, key } = self.payer;
        let cost = self.charge.plus(self.uncollected).unwrap().get();
        let shape = Shape::new(self.holder.name, self.seq, org, u64::try_from(cost).unwrap())
            .uncollected(self.uncollected.get());
        let mut envelope = key.map_or(shape, |key| shape.budgeted(key)).envelope();
        envelope.incarnation = self.holder.incarnation;
        let event = envelope.event.as_mut().unwrap();
        event.request_id = format!("{}-of-{}", event.request_id, self.holder.incarnation);
        envelope
    }
}

#[derive(Debug)]
pub(super) struct Life {
    pub(super) holder: Holder,
    pub(super) slices: BTreeMap<Account, Slice>,
    pub(super) events: Vec<Event>,
    /// What it says of slices that it never had.
    pub(super) lies: BTreeMap<Account, SliceReport>,
}

impl Life {
    pub(super) const fn new(name: &'static str, incarnation: u64) -> Self {
        Self {
            holder: Holder { name, incarnation },
            slices: BTreeMap::new(),
            events: Vec::new(),
            lies: BTreeMap::new(),
        }
    }

    pub(super) fn slice(&mut self, account: Account) -> &mut Slice {
        self.slices.entry(account).or_default()
    }

    /// A request that is held for and charged; what it costs beyond what can be held is not collected.
    pub(super) fn spend(&mut self, payer: Payer, cost: i64) {
        let free = payer.accounts().map(|account| self.slice(account).available()).min();
        let charge = free.unwrap().min(nano(cost));
        for account in payer.accounts() {
            let slice = self.slice(account);
            let hold = slice.hold(charge).expect("it is available");
            assert_eq!(slice.settle(hold, charge).charged, charge);
        }
        let seq = u64::try_from(self.events.len()).unwrap() + 1;
        let uncollected = nano(cost).minus(charge).unwrap();
        self.events.push(Event { holder: self.holder, seq, payer, charge, uncollected });
    }

    /// Comes back over its spool, which may not have kept the last grants that it learned of.
    pub(super) fn restart(&mut self, forgets: i64) {
        for slice in self.slices.values_mut() {
            let used = slice.released().plus(slice.spent()).unwrap();
            let granted = slice.granted().saturating_minus(nano(forgets)).max(used);
            *slice = Slice::restored(granted, slice.released(), slice.spent());
        }
    }

    /// All that a Hello or a report says.
    pub(super) fn reports(&self) -> Vec<SliceReport> {
        let told = |(account, slice): (&Account, &Slice)| SliceReport {
            account: *account,
            granted_seen: slice.granted(),
            released: slice.released(),
            spent: slice.spent(),
            inflight: slice.inflight(),
        };
        self.slices.iter().map(told).chain(self.lies.values().copied()).collect()
    }
}
