//! What a data plane has written to its spool, kept beside it: what a restart must find is all that was synced, and of the
//! rest all up to some point.

use domain::id::{Account, Partition};
use std::collections::BTreeMap;

/// The totals of a slice: granted, released, spent.
type Totals = (i64, i64, i64);

/// What a spool says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// Requests without an end, with what they had metered.
    pub(super) open: BTreeMap<String, i64>,
    pub(super) slices: BTreeMap<Account, Totals>,
    pub(super) events: BTreeMap<(Partition, u64), Ended>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) request_id: String,
    pub(super) account: Account,
    pub(super) charge: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Record {
    Admitted(String),
    Progress { request_id: String, metered: i64 },
    Slice { account: Account, granted: i64, released: i64 },
    Ended { at: (Partition, u64), ended: Ended },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) synced: Image,
    unsynced: Vec<Record>,
}

impl Written {
    pub(super) fn append(&mut self, record: Record) {
        self.unsynced.push(record);
    }

    pub(super) fn sync(&mut self) {
        for record in std::mem::take(&mut self.unsynced) {
            self.synced.apply(record);
        }
    }

    /// How much of what was not synced a restart has found, if that and all that was synced is what it found. Of events
    /// below `billed` nothing is said.
    pub(super) fn survived(
        &self,
        found: &Image,
        billed: &BTreeMap<Partition, u64>,
    ) -> Option<usize> {
        let found = found.beyond(billed);
        let mut image = self.synced.clone();
        // Where several are possible the most is true: what repeats another record leaves no trace.
        let mut survived = (image.beyond(billed) == found).then_some(0);
        for (number, record) in self.unsynced.iter().enumerate() {
            image.apply(record.clone());
            if image.beyond(billed) == found {
                survived = Some(number + 1);
            }
        }
        survived
    }

    /// A crash has left this much of what was not synced.
    pub(super) fn keep(&mut self, survived: usize) {
        self.unsynced.truncate(survived);
        self.sync();
    }

    pub(super) const fn unsynced(&self) -> usize {
        self.unsynced.len()
    }
}

impl Image {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Admitted(request_id) => {
                self.open.insert(request_id, 0);
            }
            Record::Progress { request_id, metered } => {
                self.open.insert(request_id, metered);
            }
            Record::Slice { account, granted, released } => {
                let totals = self.slices.entry(account).or_default();
                totals.0 = totals.0.max(granted);
                totals.1 = totals.1.max(released);
            }
            Record::Ended { at, ended } => {
                self.open.remove(&ended.request_id);
                self.slices.entry(ended.account).or_default().2 += ended.charge;
                self.events.insert(at, ended);
            }
        }
    }

    fn beyond(&self, billed: &BTreeMap<Partition, u64>) -> Self {
        let mut image = self.clone();
        image
            .events
            .retain(|(partition, seq), _| billed.get(partition).is_none_or(|next| seq >= next));
        image
    }
}
