//! Transactions of billing: the fence, the marks (`domain::usage::progress`), the settlement (`domain::escrow::office`), the
//! ledger and the offset, all or nothing.

use super::{Context, Entry, EventKey, Holder, PartitionRow, Rows};
use crate::money::message::{Batch, Reply};
use crate::mutant::Mutant;
use crate::schedule::SECOND;
use domain::escrow::office::{self, Charge};
use domain::id::{Account, Partition};
use domain::money::Nano;
use domain::time::Timestamp;
use domain::usage::progress::Arrival;
use proto::usage::v1::UsageEnvelope;
use std::collections::BTreeMap;

/// The currency of events that billing can read.
pub(in crate::money) const CURRENCY: &str = "USD";
/// For so long an owner may say nothing.
const OWNED: u64 = SECOND;

type Charges = BTreeMap<Account, BTreeMap<Holder, Nano>>;

impl Rows {
    pub(super) fn marks(&self, holder: Holder, context: &Context<'_>) -> Reply {
        let own = self.streams.iter().filter(|((of, _), _)| *of == holder);
        Reply::Marks(
            own.map(|((_, partition), progress)| {
                let over_gaps = context.is(Mutant::MarkOverGap);
                (*partition, if over_gaps { progress.next() } else { progress.billed() })
            })
            .collect(),
        )
    }

    /// Takes a partition over whose owner has said nothing for long, or has a clock that nobody can believe.
    pub(super) fn claim(
        &mut self,
        partition: Partition,
        consumer: usize,
        context: &mut Context<'_>,
    ) -> Reply {
        let row = self.partitions.entry(partition).or_default();
        let is_stale = context.clock.abs_diff(row.renewed) > OWNED;
        if row.owner.is_some_and(|owner| owner != consumer) && !is_stale {
            return Reply::Claimed(None);
        }
        if row.owner.is_some_and(|owner| owner != consumer) {
            context.seen.note("taken over");
        }
        let epoch = row.epoch + 1;
        *row = PartitionRow { owner: Some(consumer), epoch, renewed: context.clock, ..*row };
        Reply::Claimed(Some((row.epoch, row.next_offset)))
    }

    pub(super) fn batch(&mut self, batch: &Batch, context: &mut Context<'_>) -> Option<Reply> {
        let row = self.partitions.entry(batch.partition).or_default();
        let is_own = row.owner == Some(batch.consumer) && row.epoch == batch.epoch;
        if !is_own {
            context.seen.note("fenced");
        }
        if (!is_own && !context.is(Mutant::SkipFence)) || row.next_offset != batch.from {
            return None;
        }
        row.next_offset = batch.to;
        row.renewed = context.clock;
        if context.is(Mutant::OffsetWithoutRows) && batch.events.len() > 2 {
            return Some(Reply::Done);
        }
        let fresh = self.arrive(&batch.events, context);
        let readable = |(_, envelope): &(EventKey, &UsageEnvelope)| {
            envelope.event.as_ref().is_some_and(|event| event.currency == CURRENCY)
        };
        let (billable, poison): (Vec<_>, Vec<_>) = fresh.into_iter().partition(readable);
        for (key, envelope) in poison {
            context.seen.note("poison");
            self.poison.insert(key, entry(envelope));
        }
        let entries = billable.into_iter().map(|(key, envelope)| (key, entry(envelope))).collect();
        self.post(entries, context)?;
        Some(Reply::Done)
    }

    /// Those that were not seen before.
    fn arrive<'a>(
        &mut self,
        events: &'a [UsageEnvelope],
        context: &mut Context<'_>,
    ) -> Vec<(EventKey, &'a UsageEnvelope)> {
        let mut fresh = Vec::new();
        let now = Timestamp(context.clock.unsigned_abs());
        for envelope in events {
            let key = key(envelope);
            let progress = self.streams.entry((key.holder, key.partition)).or_default();
            let gaps = progress.gaps().count();
            match progress.arrive(key.seq, now) {
                Arrival::Fresh => fresh.push((key, envelope)),
                Arrival::Duplicate => {
                    context.seen.note("repeated event");
                    if context.is(Mutant::SettleTwice) {
                        fresh.push((key, envelope));
                    }
                }
                Arrival::Impossible => {}
            }
            match progress.gaps().count().cmp(&gaps) {
                std::cmp::Ordering::Greater => context.seen.note("gap opened"),
                std::cmp::Ordering::Less => context.seen.note("gap closed"),
                std::cmp::Ordering::Equal => {}
            }
        }
        fresh
    }

    pub(super) fn apply_poison(&mut self, context: &mut Context<'_>) -> Option<Reply> {
        let kept = std::mem::take(&mut self.poison);
        self.post(kept.into_iter().collect(), context)?;
        Some(Reply::Done)
    }

    fn post(&mut self, entries: Vec<(EventKey, Entry)>, context: &mut Context<'_>) -> Option<()> {
        let mut charges = Charges::new();
        for (key, entry) in entries {
            let sum = charges.entry(entry.account).or_default().entry(key.holder).or_default();
            *sum = sum.plus(entry.charge).ok()?;
            if self.ledger.insert(key, entry).is_some() {
                self.entered_twice.push(key);
            }
        }
        for (account, slices) in charges {
            self.settle(account, slices, context)?;
        }
        Some(())
    }

    fn settle(
        &mut self,
        account: Account,
        slices: BTreeMap<Holder, Nano>,
        context: &mut Context<'_>,
    ) -> Option<()> {
        let holders: Vec<Holder> = slices.keys().copied().collect();
        let of = |(holder, amount)| Charge { slice: self.slice(account, holder), amount };
        let mut charges: Vec<Charge> = slices.into_iter().map(of).collect();
        let row = self.wallet(account);
        let settled = office::settle(&mut row.wallet, Nano::ZERO, &mut charges).ok()?;
        let shortfall = settled.shortfall();
        if settled.missing.is_positive() {
            context.seen.note("charged beyond what was held");
        }
        if shortfall.is_positive() {
            context.seen.note("borne by the company");
        }
        if context.is(Mutant::LateChargeToWallet) {
            row.wallet.posted = row.wallet.posted.saturating_minus(shortfall);
        } else if !context.is(Mutant::ShortfallForgotten) {
            row.uncollected = row.uncollected.saturating_plus(shortfall);
        }
        for (holder, charge) in holders.into_iter().zip(charges) {
            self.slices.insert((account, holder), charge.slice);
        }
        Some(())
    }
}

/// The name of a data plane, as its spool writes it.
pub(in crate::money) fn name(data_plane: usize) -> String {
    format!("dp-{data_plane}")
}

pub(in crate::money) fn key(envelope: &UsageEnvelope) -> EventKey {
    let number = envelope.data_plane.strip_prefix("dp-").and_then(|number| number.parse().ok());
    let holder =
        Holder { data_plane: number.unwrap_or(usize::MAX), incarnation: envelope.incarnation };
    EventKey { holder, partition: Partition(envelope.partition), seq: envelope.seq }
}

fn entry(envelope: &UsageEnvelope) -> Entry {
    let event = envelope.event.as_ref();
    let org = event.map_or(0, |event| event.org_uid);
    let charge = event.map_or(0, |event| event.charge_nano);
    Entry { account: Account::from_uids(org, 0), charge: Nano::saturating(charge.into()) }
}
