//! What is known of the events of one spool on their way into a topic. Pure.
//!
//! Each partition is a lane of its own. An event whose delivery failed breaks its lane: it may have been written or not, and
//! nothing behind it goes on, so that the lane begins again at its first event that is not acknowledged. What was
//! acknowledged may still be forgotten by the spool only when it is billed.

use crate::spool::EventId;
use domain::id::{PARTITIONS, Partition};
use std::collections::VecDeque;

/// An event on its way, as its delivery is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    incarnation: u64,
    event: EventId,
    /// How often its lane had begun anew by then.
    turn: u64,
}

impl Sent {
    pub(super) const fn partition(&self) -> Partition {
        self.event.partition
    }
}

/// All lanes of the current incarnation. What is left of earlier ones, which only damage leaves behind, has no order to
/// keep.
#[derive(Debug)]
pub(super) struct Shipping {
    incarnation: u64,
    lanes: Vec<Lane>,
    /// Events of earlier incarnations that are on their way, and whether one of them failed.
    earlier: usize,
    earlier_failed: bool,
}

#[derive(Clone, Debug)]
struct Lane {
    turn: u64,
    /// The first that is not acknowledged.
    unacknowledged: u64,
    /// The first that was not taken.
    untaken: u64,
    /// What is on its way, in order.
    waiting: VecDeque<Waiting>,
    is_broken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    seq: u64,
    ended_us: u64,
}

impl Shipping {
    pub(super) fn new(incarnation: u64) -> Self {
        let lane = Lane {
            turn: 0,
            unacknowledged: 1,
            untaken: 1,
            waiting: VecDeque::new(),
            is_broken: false,
        };
        let lanes = (0..PARTITIONS).map(|_| lane.clone()).collect();
        Self { incarnation, lanes, earlier: 0, earlier_failed: false }
    }

    /// Takes an event on its way; not one behind a failed one.
    pub(super) fn take(&mut self, incarnation: u64, event: EventId, ended_us: u64) -> Option<Sent> {
        if incarnation != self.incarnation {
            self.earlier = self.earlier.saturating_add(1);
            return Some(Sent { incarnation, event, turn: 0 });
        }
        let lane = self.lane(event.partition)?;
        if lane.is_broken {
            return None;
        }
        lane.untaken = event.seq.saturating_add(1);
        lane.waiting.push_back(Waiting { seq: event.seq, ended_us });
        Some(Sent { incarnation, event, turn: lane.turn })
    }

    /// The topic has it.
    pub(super) fn acknowledged(&mut self, sent: Sent) {
        if sent.incarnation != self.incarnation {
            self.earlier = self.earlier.saturating_sub(1);
            return;
        }
        let Some(lane) = self.lane(sent.event.partition) else { return };
        // In the order of their partition, as they were taken: what a failed one left behind waits for the next turn.
        if lane.turn == sent.turn && !lane.is_broken {
            while lane.waiting.front().is_some_and(|waiting| waiting.seq <= sent.event.seq) {
                lane.waiting.pop_front();
            }
            lane.unacknowledged = sent.event.seq.saturating_add(1);
        }
    }

    /// Nobody knows whether the topic has it.
    pub(super) fn failed(&mut self, sent: Sent) {
        if sent.incarnation != self.incarnation {
            self.earlier = self.earlier.saturating_sub(1);
            self.earlier_failed = true;
            return;
        }
        if let Some(lane) = self.lane(sent.event.partition)
            && lane.turn == sent.turn
        {
            lane.is_broken = true;
        }
    }

    /// Nothing that was taken and not acknowledged will be reported any more.
    pub(super) fn all_failed(&mut self) {
        self.earlier_failed |= self.earlier > 0;
        self.earlier = 0;
        for lane in &mut self.lanes {
            lane.is_broken |= !lane.waiting.is_empty();
        }
    }

    /// Whether something must be read again.
    pub(super) fn is_broken(&self) -> bool {
        self.earlier_failed || self.lanes.iter().any(|lane| lane.is_broken)
    }

    /// Mends all lanes that are broken. Returns where each is to be read on from.
    pub(super) fn mend(&mut self) -> Vec<(Partition, u64)> {
        self.earlier_failed = false;
        self.lanes.iter_mut().filter(|lane| lane.is_broken).for_each(Lane::begin_anew);
        self.places()
    }

    /// Begins everything anew from these marks: it has to be sent again though it was acknowledged. Returns where each is
    /// to be read on from.
    pub(super) fn rewind(&mut self, marks: &[(Partition, u64)]) -> Vec<(Partition, u64)> {
        for (partition, next) in marks {
            if let Some(lane) = self.lane(*partition) {
                lane.unacknowledged = (*next).min(lane.unacknowledged);
                lane.begin_anew();
            }
        }
        self.mend()
    }

    /// Begins the lanes anew in which nothing is on its way, from their very beginning: what of them is not billed may have
    /// been lost behind an acknowledgement. Returns where each is to be read on from.
    pub(super) fn rewind_idle(&mut self) -> Vec<(Partition, u64)> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.waiting.is_empty()) {
            lane.unacknowledged = 1;
            lane.begin_anew();
        }
        self.mend()
    }

    /// Events on their way.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum::<usize>().saturating_add(self.earlier)
    }

    /// When the oldest event ended that is on its way, in microseconds since the Unix epoch.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        self.lanes.iter().filter_map(|lane| Some(lane.waiting.front()?.ended_us)).min()
    }

    fn places(&self) -> Vec<(Partition, u64)> {
        (0..PARTITIONS).map(Partition).zip(self.lanes.iter().map(|lane| lane.untaken)).collect()
    }

    fn lane(&mut self, partition: Partition) -> Option<&mut Lane> {
        self.lanes.get_mut(usize::try_from(partition.0).ok()?)
    }
}

impl Lane {
    fn begin_anew(&mut self) {
        self.turn = self.turn.saturating_add(1);
        self.untaken = self.unacknowledged;
        self.waiting.clear();
        self.is_broken = false;
    }
}

#[cfg(test)]
mod tests;
