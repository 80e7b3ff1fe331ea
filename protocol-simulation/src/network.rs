//! What networks do to messages, and machines to processes: delay always; loss, repetition, reordering, cuts and pauses
//! while such a fault lasts.

use crate::chance::Chance;
use crate::coverage::Seen;
use crate::schedule::{MILLISECOND, SECOND, Time};
use std::collections::BTreeMap;

/// Whoever sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    DataPlane(usize),
    Office(usize),
    Consumer(usize),
    Topic,
    Database,
}

/// What may befall every message for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Loss,
    Duplication,
    Reordering,
}

/// What each machine is at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Grows with each start of its process; what an earlier one has begun concerns nobody any more.
    pub(crate) life: u64,
    pub(crate) is_up: bool,
    /// Until then it does nothing, and then goes on as if nothing had been.
    pub(crate) paused_until: Time,
    /// By how much its clock is wrong.
    pub(crate) skew: i64,
}

#[derive(Debug)]
pub(crate) struct Network {
    chance: Chance,
    weather: Vec<(Weather, Time)>,
    cuts: Vec<(Node, Option<Node>, Time)>,
    machines: BTreeMap<Node, Machine>,
}

/// How many of a hundred messages bad weather befalls.
const BEFALLEN: u64 = 35;

impl Network {
    pub(crate) const fn new(chance: Chance) -> Self {
        Self { chance, weather: Vec::new(), cuts: Vec::new(), machines: BTreeMap::new() }
    }

    pub(crate) fn machine(&mut self, node: Node) -> &mut Machine {
        let fresh = Machine { life: 0, is_up: true, paused_until: 0, skew: 0 };
        self.machines.entry(node).or_insert(fresh)
    }

    /// What its clock says.
    pub(crate) fn clock(&mut self, node: Node, now: Time) -> i64 {
        i64::try_from(now).unwrap_or(i64::MAX) + self.machine(node).skew
    }

    pub(crate) fn turn(&mut self, weather: Weather, until: Time) {
        self.weather.push((weather, until));
    }

    /// Nothing gets through between the two, or, without a second one, to and from the first.
    pub(crate) fn cut(&mut self, node: Node, other: Option<Node>, until: Time) {
        self.cuts.push((node, other, until));
    }

    /// No fault lasts any longer, and all clocks are right.
    pub(crate) fn heal(&mut self) {
        self.weather.clear();
        self.cuts.clear();
        for machine in self.machines.values_mut() {
            machine.paused_until = 0;
            machine.skew = 0;
        }
    }

    /// After which delays a message arrives: never, once or twice.
    pub(crate) fn carry(&mut self, from: Node, to: Node, now: Time, seen: &mut Seen) -> Vec<Time> {
        if self.is_cut(from, to, now) {
            seen.note("partition");
            return Vec::new();
        }
        if self.befalls(Weather::Loss, now) {
            seen.note("loss");
            return Vec::new();
        }
        let mut delays = vec![self.delay()];
        if self.befalls(Weather::Duplication, now) {
            seen.note("duplication");
            delays.push(self.delay() + self.chance.below(SECOND));
        }
        if self.befalls(Weather::Reordering, now) {
            seen.note("reordering");
            delays[0] += self.chance.below(2 * SECOND);
        }
        delays
    }

    fn delay(&mut self) -> Time {
        self.chance.between(MILLISECOND / 2, 5 * MILLISECOND)
    }

    pub(crate) fn is_cut(&self, from: Node, to: Node, now: Time) -> bool {
        let concerns = |(node, other, until): &(Node, Option<Node>, Time)| {
            let ends = [(from, to), (to, from)];
            *until > now && ends.iter().any(|(a, b)| a == node && other.is_none_or(|of| of == *b))
        };
        self.cuts.iter().any(concerns)
    }

    fn befalls(&mut self, weather: Weather, now: Time) -> bool {
        let is_on = self.weather.iter().any(|(of, until)| *of == weather && *until > now);
        is_on && self.chance.percent(BEFALLEN)
    }
}
