//! What all nodes of the money world share: time, the network, what an omniscient auditor knows, and what is told.

use super::database::{EventKey, Holder};
use super::message::{Alarm, Event, Job, Message};
use crate::case::{Case, Violation};
use crate::chance::Chance;
use crate::coverage::Seen;
use crate::invariant::Invariant;
use crate::mutant::Mutant;
use crate::network::{Network, Node};
use crate::schedule::{MILLISECOND, SECOND, Schedule, Time};
use domain::id::Account;
use domain::money::Nano;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Common {
    pub(super) schedule: Schedule<Event>,
    pub(super) network: Network,
    pub(super) seen: Seen,
    pub(super) truth: Truth,
    pub(super) violation: Option<Violation>,
    pub(super) trace: Vec<String>,
    mutant: Option<Mutant>,
    is_traced: bool,
    /// All is well.
    is_calm: bool,
    chance: Chance,
}

/// What is true although no node knows all of it.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The most that a slice was ever granted by a commit, lost or not.
    pub(super) granted: BTreeMap<(Account, Holder), Nano>,
    /// What a data plane has given back, so that no crash takes it back.
    pub(super) released: BTreeMap<(Account, Holder), Nano>,
    /// Events that a commit, lost or not, has counted or kept as poison.
    pub(super) counted: BTreeSet<EventKey>,
    /// Requests that ended with a refusal.
    pub(super) refused: BTreeSet<usize>,
    /// Requests that were given what they held.
    pub(super) served: BTreeSet<usize>,
}

impl Common {
    pub(super) fn new(case: &Case) -> Self {
        Self {
            schedule: Schedule::new(),
            network: Network::new(Chance::new(case.seed, "network")),
            seen: Seen::default(),
            truth: Truth::default(),
            violation: None,
            trace: Vec::new(),
            mutant: case.mutant,
            is_traced: case.is_traced,
            is_calm: false,
            chance: Chance::new(case.seed, "transactions"),
        }
    }

    pub(super) const fn now(&self) -> Time {
        self.schedule.now()
    }

    pub(super) const fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            self.trace.push(format!("{:>9} {}", self.schedule.now(), line()));
        }
    }

    /// The first one counts.
    pub(super) fn violated(&mut self, invariant: Invariant, what: String) {
        let at = self.now();
        self.violation.get_or_insert(Violation { invariant, at, what });
    }

    /// Says that it is so, or what is wrong.
    pub(super) fn claim(
        &mut self,
        invariant: Invariant,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        if !holds {
            self.violated(invariant, what());
        }
    }

    pub(super) fn send(&mut self, from: Node, to: Node, message: Message) {
        let now = self.now();
        for delay in self.network.carry(from, to, now, &mut self.seen) {
            let message = message.clone();
            self.schedule.after(delay, Event::Arrive { from, to, message });
        }
    }

    pub(super) fn alarm(&mut self, node: Node, delay: Time, alarm: Alarm) {
        let life = self.network.machine(node).life;
        self.schedule.after(delay, Event::Alarm { node, life, alarm });
    }

    /// No fault lasts any longer.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.is_calm = true;
    }

    /// A transaction is on its way. Most take milliseconds; as long as not all is well, some find the database busy.
    pub(super) fn transact(&mut self, node: Node, job: Job) {
        let is_slow = self.chance.percent(4) && !self.is_calm;
        let most = if is_slow { 3 * SECOND / 2 } else { 4 * MILLISECOND };
        let delay = self.chance.between(MILLISECOND, most);
        let life = self.network.machine(node).life;
        self.schedule.after(delay, Event::Transact { node, life, job });
    }
}
