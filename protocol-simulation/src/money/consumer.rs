//! A consumer of billing: claims partitions of the topic, and applies what is in them, batch by batch. And the topic, which
//! keeps what it was given, unless its brokers forget.

use super::common::Common;
use super::message::{Alarm, Batch, Job, Reply};
use super::plan::ORGS;
use crate::network::Node;
use crate::schedule::{MILLISECOND, Time};
use domain::id::{OrgUid, Partition};
use proto::usage::v1::UsageEnvelope;
use std::collections::{BTreeMap, BTreeSet};

const POLL: Time = 120 * MILLISECOND;
/// Most events of a batch.
const BATCH: usize = 5;

/// What is in a partition, each with the number of its arrival in the whole topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    logs: BTreeMap<Partition, Vec<(u64, UsageEnvelope)>>,
    arrived: u64,
}

impl Topic {
    pub(super) fn take(&mut self, events: Vec<UsageEnvelope>) {
        for event in events {
            self.arrived += 1;
            let log = self.logs.entry(Partition(event.partition)).or_default();
            log.push((self.arrived, event));
        }
    }

    /// Its brokers lose the last of each partition. Returns whether there was anything to lose.
    pub(super) fn forget(&mut self, count: usize) -> bool {
        let has_some = self.logs.values().any(|log| !log.is_empty());
        for log in self.logs.values_mut() {
            log.truncate(log.len().saturating_sub(count));
        }
        has_some
    }

    pub(super) fn log(&self, partition: Partition) -> &[(u64, UsageEnvelope)] {
        self.logs.get(&partition).map_or(&[], Vec::as_slice)
    }
}

pub(super) struct Consumer {
    node: Node,
    number: usize,
    /// Epoch and next offset.
    owned: BTreeMap<Partition, (u64, usize)>,
    /// Partitions of which a transaction is under way.
    busy: BTreeSet<Partition>,
}

impl Consumer {
    pub(super) const fn new(number: usize) -> Self {
        let node = Node::Consumer(number);
        Self { node, number, owned: BTreeMap::new(), busy: BTreeSet::new() }
    }

    pub(super) fn boot(&mut self, common: &mut Common) {
        self.owned.clear();
        self.busy.clear();
        common.alarm(self.node, POLL + self.number as u64 * MILLISECOND, Alarm::Poll);
    }

    pub(super) fn poll(&mut self, topic: &Topic, common: &mut Common) {
        common.alarm(self.node, POLL, Alarm::Poll);
        for partition in ORGS.map(|org| Partition::of(OrgUid(org))) {
            if !self.busy.insert(partition) {
                continue;
            }
            let consumer = self.number;
            let job = match self.owned.get(&partition) {
                None => Job::Claim { partition, consumer },
                Some((epoch, from)) => Job::Batch(self.batch(partition, *epoch, *from, topic)),
            };
            common.transact(self.node, job);
        }
    }

    /// What comes next. A topic that ends before that was made anew: it is read from its beginning.
    fn batch(&self, partition: Partition, epoch: u64, from: usize, topic: &Topic) -> Batch {
        let log = topic.log(partition);
        let rest = log.get(from..).unwrap_or_default();
        let events: Vec<_> = rest.iter().take(BATCH).map(|(_, event)| event.clone()).collect();
        let to = if from > log.len() { 0 } else { from + events.len() };
        let (consumer, fetched) = (self.number, topic.arrived);
        Batch { partition, consumer, epoch, from, to, events, fetched }
    }

    pub(super) fn done(&mut self, job: &Job, reply: &Reply) {
        match (job, reply) {
            (Job::Claim { partition, .. }, Reply::Claimed(Some(claimed))) => {
                self.busy.remove(partition);
                self.owned.insert(*partition, *claimed);
            }
            (Job::Claim { partition, .. }, _) => {
                self.busy.remove(partition);
            }
            (Job::Batch(batch), Reply::Done) => {
                self.busy.remove(&batch.partition);
                self.owned.insert(batch.partition, (batch.epoch, batch.to));
            }
            // Whoever does not know how far it is asks.
            (Job::Batch(batch), _) => {
                self.busy.remove(&batch.partition);
                self.owned.remove(&batch.partition);
            }
            _ => {}
        }
    }
}
