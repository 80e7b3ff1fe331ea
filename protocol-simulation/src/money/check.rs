//! The invariants of the money world: after each commit, and in the end.

use super::common::Common;
use super::consumer::Topic;
use super::data_plane::{DataPlane, nano};
use super::database::{Database, EventKey, Holder, Rows, key};
use super::message::{Batch, Job};
use super::written::Image;
use crate::invariant::Invariant::{M1, M2, M5, M6, M7, M8, X1, X2, X3, X4};
use domain::escrow::row::SliceRow;
use domain::id::Account;
use domain::money::Nano;
use std::collections::{BTreeMap, BTreeSet};

/// What a commit has made of the rows.
pub(super) fn committed(
    before: &Rows,
    after: &Rows,
    job: &Job,
    topic: &Topic,
    common: &mut Common,
) {
    note_truth(after, common);
    common.claim(X1, after.entered_twice.is_empty(), || format!("{:?}", after.entered_twice));
    for account in after.wallets.keys() {
        check_account(*account, after, common);
    }
    check_releases(after, common);
    if let Job::Batch(batch) = job {
        check_offset(before, after, batch, topic, common);
    }
}

fn note_truth(after: &Rows, common: &mut Common) {
    for (at, row) in &after.slices {
        let granted = common.truth.granted.entry(*at).or_default();
        *granted = row.totals.granted.max(*granted);
    }
    common.truth.counted.extend(after.ledger.keys().chain(after.poison.keys()).copied());
}

fn check_account(account: Account, rows: &Rows, common: &mut Common) {
    let Some(row) = rows.wallets.get(&account) else { return };
    let wallet = row.wallet;
    let floor = Nano::ZERO.saturating_minus(wallet.credit_limit);
    common.claim(M5, wallet.posted >= floor, || format!("{account:?}: {wallet:?}"));
    let slices = rows.slices.iter().filter(|((of, _), _)| *of == account);
    let slices: Vec<&SliceRow> = slices.map(|(_, row)| row).collect();
    let held = sum(slices.iter().map(|row| row.backed()));
    common.claim(M2, held == wallet.held, || format!("{account:?}: {wallet:?}, slices {held}"));
    common.claim(M1, wallet.is_sound(), || format!("{account:?}: {wallet:?}"));
    let entries = rows.ledger.values().filter(|entry| entry.account == account);
    let charged = sum(entries.map(|entry| entry.charge));
    let settled = sum(slices.iter().map(|row| row.totals.settled));
    let paid = row.credited.saturating_plus(row.uncollected).saturating_minus(wallet.posted);
    common.claim(M7, charged == paid && charged == settled, || {
        format!("{account:?}: charged {charged}, settled {settled}, paid {paid}")
    });
}

fn check_releases(rows: &Rows, common: &mut Common) {
    for (at, row) in &rows.slices {
        let released = common.truth.released.get(at).copied().unwrap_or_default();
        common.claim(M6, row.totals.released <= released, || {
            format!("{at:?}: {:?} is free, {released} was given back", row.totals.released)
        });
    }
}

/// Whose word counted, and whether all that an offset was moved over is there.
fn check_offset(before: &Rows, after: &Rows, batch: &Batch, topic: &Topic, common: &mut Common) {
    let row = before.partitions.get(&batch.partition).copied().unwrap_or_default();
    let is_owner = row.owner == Some(batch.consumer) && row.epoch == batch.epoch;
    common.claim(X4, is_owner, || format!("{row:?}, and a batch of {}", batch.consumer));
    let moved = after.partitions.get(&batch.partition).map_or(0, |row| row.next_offset);
    let log = topic.log(batch.partition);
    let passed = log.get(row.next_offset..moved.min(log.len())).unwrap_or_default();
    for (_, event) in passed.iter().filter(|(arrived, _)| *arrived <= batch.fetched) {
        let key = key(event);
        let is_there = after.ledger.contains_key(&key) || after.poison.contains_key(&key);
        common.claim(X3, is_there, || format!("{key:?} was passed over"));
    }
}

/// After all has been healed and is quiet.
pub(super) fn quiet(database: &Database, data_planes: &[DataPlane], common: &mut Common) {
    let written: BTreeMap<Holder, Image> = data_planes.iter().flat_map(lives).collect();
    let lost: BTreeSet<Holder> =
        data_planes.iter().flat_map(|of| &of.lost).map(|(holder, _)| *holder).collect();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    for (holder, image) in written.iter().filter(|(holder, _)| !lost.contains(*holder)) {
        common.claim(X2, image.open.is_empty(), || format!("{holder:?}: {:?}", image.open));
        for ((partition, seq), event) in &image.events {
            let key = EventKey { holder: *holder, partition: *partition, seq: *seq };
            let rows = &database.rows;
            let counts = rows.ledger.contains_key(&key) || rows.poison.contains_key(&key);
            common.claim(X2, counts, || format!("{key:?} does not count: {event:?}"));
            let is_first = ended.insert(&event.request_id);
            common.claim(X2, is_first, || format!("{} ended twice", event.request_id));
        }
    }
    for ((account, holder), row) in &database.rows.slices {
        let charged = written.get(holder).map_or(Nano::ZERO, |image| charged(image, *account));
        if lost.contains(holder) {
            let is_within = row.totals.settled <= charged;
            common.claim(M8, is_within, || format!("{holder:?}: {row:?}, charged {charged}"));
            continue;
        }
        let is_done = row.totals.held() == Nano::ZERO
            && row.unbacked == Nano::ZERO
            && row.totals.settled == charged;
        common.claim(M8, is_done, || format!("{account:?} {holder:?}: {row:?}, charged {charged}"));
    }
}

fn lives(data_plane: &DataPlane) -> Vec<(Holder, Image)> {
    let mut lives = data_plane.lost.clone();
    lives.extend(data_plane.holder().map(|of| (of, data_plane.written().synced.clone())));
    lives
}

fn charged(image: &Image, account: Account) -> Nano {
    let own = image.events.values().filter(|event| event.account == account);
    sum(own.map(|event| nano(event.charge)))
}

fn sum(amounts: impl Iterator<Item = Nano>) -> Nano {
    amounts.fold(Nano::ZERO, Nano::saturating_plus)
}
