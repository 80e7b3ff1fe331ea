//! What the log adds up to: open requests, totals of slices, next sequence numbers; and the checkpoint that says so.
//!
//! Kept up by the writer as it appends, and rebuilt by the same calls from what a restart reads. Does no I/O.

use super::frame::{self, Kind};
use super::marks::Marks;
use domain::id::{Account, OrgUid, Partition};
use domain::money::Nano;
use prost::Message;
use proto::usage::v1::{
    Admitted, Checkpoint, OpenRequest, PartitionMark, Progress, SliceMark, UsageEvent,
};
use std::collections::BTreeMap;

const FIELD_OPEN: u8 = 5;
const FIELD_ADMITTED: u8 = 1;
const FIELD_PROGRESS: u8 = 2;

/// The longest that each part of an encoded checkpoint can be, besides what it carries verbatim.
const FIXED_BYTES: u64 = 64;
const PARTITION_BYTES: u64 = 20;
const SLICE_BYTES: u64 = 60;
const OPEN_BYTES: u64 = 24;

/// Totals of one slice. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    granted: Nano,
    released: Nano,
    spent: Nano,
}

/// Where an open request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(usize);

/// An admitted request without an end. The buffers are used again by later requests.
#[derive(Debug, Default)]
struct Open {
    is_taken: bool,
    /// The number of the segment it was admitted in.
    segment: u64,
    admitted: Vec<u8>,
    progress: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Books {
    next: Marks,
    slices: BTreeMap<Account, Totals>,
    open: Vec<Open>,
    free: Vec<Slot>,
    open_count: u64,
    open_bytes: u64,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            next: Marks::first(),
            slices: BTreeMap::new(),
            open: Vec::new(),
            free: Vec::new(),
            open_count: 0,
            open_bytes: 0,
        }
    }

    /// What a checkpoint says, but for its open requests, which are admitted anew.
    pub(super) fn restore(&mut self, next: &Marks, slices: &[SliceMark]) {
        self.next = next.clone();
        self.slices = slices.iter().map(|mark| (account(mark), totals(mark))).collect();
    }

    /// A later incarnation owes the same ends, but has none of the money and starts counting again.
    pub(super) fn begin_incarnation(&mut self) {
        self.next = Marks::first();
        self.slices.clear();
    }

    pub(super) const fn next(&self) -> &Marks {
        &self.next
    }

    pub(super) const fn open_count(&self) -> u64 {
        self.open_count
    }

    /// By how much an open request lengthens checkpoints: with the slices that its end may add.
    pub(super) const fn open_cost(message_bytes: usize) -> u64 {
        frame::bytes(message_bytes).saturating_add(OPEN_BYTES + 2 * SLICE_BYTES)
    }

    /// By how much learning of this slice lengthens checkpoints.
    pub(super) fn slice_cost(&self, mark: &SliceMark) -> u64 {
        if self.slices.contains_key(&account(mark)) { 0 } else { SLICE_BYTES }
    }

    /// Takes in an admitted request.
    pub(super) fn admit(&mut self, admitted: &[u8], segment: u64) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(Open::default());
            Slot(self.open.len().saturating_sub(1))
        });
        self.open_count = self.open_count.saturating_add(1);
        self.open_bytes = self.open_bytes.saturating_add(Self::open_cost(admitted.len()));
        if let Some(open) = self.open.get_mut(slot.0) {
            open.is_taken = true;
            open.segment = segment;
            open.admitted.extend_from_slice(admitted);
        }
        slot
    }

    /// Replaces how far a request has come.
    pub(super) fn progress(&mut self, slot: Slot, progress: &[u8]) {
        if let Some(open) = self.open.get_mut(slot.0) {
            let without = self.open_bytes.saturating_sub(frame::bytes(open.progress.len()));
            self.open_bytes = without.saturating_add(frame::bytes(progress.len()));
            open.progress.clear();
            open.progress.extend_from_slice(progress);
        }
    }

    /// Forgets an open request, and returns the segment it was admitted in.
    pub(super) fn close(&mut self, slot: Slot) -> Option<u64> {
        let open = self.open.get_mut(slot.0).filter(|open| open.is_taken)?;
        let cost =
            Self::open_cost(open.admitted.len()).saturating_add(frame::bytes(open.progress.len()));
        open.is_taken = false;
        open.admitted.clear();
        open.progress.clear();
        let segment = open.segment;
        self.open_bytes = self.open_bytes.saturating_sub(cost);
        self.open_count = self.open_count.saturating_sub(1);
        self.free.push(slot);
        Some(segment)
    }

    /// Counts a number that was given to an event.
    pub(super) fn number(&mut self, partition: Partition, seq: u64) {
        self.next.raise(partition, seq.saturating_add(1));
    }

    /// Counts what an event charges.
    pub(super) fn charge(&mut self, event: &UsageEvent) {
        let charge = Nano::saturating(i128::from(event.charge_nano)).or_zero();
        let wallet = Account::Wallet(OrgUid(event.org_uid));
        let budget = Account::from_uids(event.org_uid, event.key_uid);
        self.spend(wallet, charge);
        if event.budgeted && budget != wallet {
            self.spend(budget, charge);
        }
    }

    fn spend(&mut self, account: Account, charge: Nano) {
        let totals = self.slices.entry(account).or_default();
        totals.spent = totals.spent.saturating_plus(charge);
    }

    /// Learns what was granted and released; what was spent is counted here and nowhere else.
    pub(super) fn learn(&mut self, mark: &SliceMark) {
        let totals = self.slices.entry(account(mark)).or_default();
        totals.granted = totals.granted.max(nano(mark.granted_nano));
        totals.released = totals.released.max(nano(mark.released_nano));
    }

    /// The totals of every slice.
    pub(super) fn slice_marks(&self) -> Vec<SliceMark> {
        self.slices.iter().map(|(account, totals)| mark(*account, *totals)).collect()
    }

    /// The open requests, oldest slot first.
    pub(super) fn open_requests(&self) -> impl Iterator<Item = (Slot, u64, OpenRequest)> {
        self.open.iter().enumerate().filter(|(_, open)| open.is_taken).filter_map(|(at, open)| {
            let admitted = Admitted::decode(open.admitted.as_slice()).ok()?;
            let progress = match open.progress.as_slice() {
                [] => None,
                bytes => Some(Progress::decode(bytes).ok()?),
            };
            let request = OpenRequest { admitted: Some(admitted), progress };
            Some((Slot(at), open.segment, request))
        })
    }

    /// The segment that an open request was admitted in.
    pub(super) fn segment(&self, slot: Slot) -> Option<u64> {
        self.open.get(slot.0).filter(|open| open.is_taken).map(|open| open.segment)
    }

    /// The request that a slot stands for.
    pub(super) fn request_id(&self, slot: Slot) -> Option<String> {
        let open = self.open.get(slot.0)?;
        Admitted::decode(open.admitted.as_slice()).ok().map(|admitted| admitted.request_id)
    }

    /// No checkpoint written now is longer than this.
    pub(super) fn checkpoint_bytes_max(&self, data_plane: &str) -> u64 {
        let slices = frame::bytes(self.slices.len()).saturating_mul(SLICE_BYTES);
        let partitions = u64::from(domain::id::PARTITIONS).saturating_mul(PARTITION_BYTES);
        [FIXED_BYTES, frame::bytes(data_plane.len()), partitions, slices, self.open_bytes]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Appends a checkpoint of all this as a frame.
    pub(super) fn put_checkpoint(&self, buffer: &mut Vec<u8>, data_plane: &str, incarnation: u64) {
        let checkpoint = Checkpoint {
            data_plane: data_plane.to_owned(),
            incarnation,
            slices: self.slice_marks(),
            partitions: self
                .next
                .iter()
                .filter(|(_, next)| *next > 1)
                .map(|(partition, next_seq)| PartitionMark { partition: partition.0, next_seq })
                .collect(),
            open: Vec::new(),
        };
        // Thousands of requests may be open: they are copied as they were encoded when they came.
        let mut open = Vec::with_capacity(usize::try_from(self.open_bytes).unwrap_or(0));
        let mut request = Vec::new();
        for taken in self.open.iter().filter(|open| open.is_taken) {
            request.clear();
            frame::put_field(&mut request, FIELD_ADMITTED, &taken.admitted);
            if !taken.progress.is_empty() {
                frame::put_field(&mut request, FIELD_PROGRESS, &taken.progress);
            }
            frame::put_field(&mut open, FIELD_OPEN, &request);
        }
        frame::put_parts(buffer, Kind::Checkpoint, &checkpoint, &open);
    }
}

fn account(mark: &SliceMark) -> Account {
    Account::from_uids(mark.org_uid, mark.key_uid)
}

fn nano(amount: i64) -> Nano {
    Nano::saturating(i128::from(amount))
}

fn totals(mark: &SliceMark) -> Totals {
    Totals {
        granted: nano(mark.granted_nano),
        released: nano(mark.released_nano),
        spent: nano(mark.spent_nano),
    }
}

fn mark(account: Account, totals: Totals) -> SliceMark {
    let (org_uid, key_uid) = account.uids();
    SliceMark {
        org_uid,
        key_uid,
        granted_nano: totals.granted.get(),
        released_nano: totals.released.get(),
        spent_nano: totals.spent.get(),
    }
}
