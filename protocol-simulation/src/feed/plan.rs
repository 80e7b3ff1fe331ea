//! What a seed has in store for the feed world.

use super::config::Order;
use crate::chance::Chance;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::id::KeyUid;

pub(super) const DATA_PLANES: usize = 3;
pub(super) const OFFICES: usize = 2;
/// Until then things happen, and faults.
pub(super) const HEALED: Time = 6 * SECOND;
/// By then every data plane has everything.
pub(super) const QUIET: Time = 11 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An operator asks a replica.
    Order(usize, Order),
    /// A request comes, and is sent to upstreams one after the other.
    Request(usize, KeyUid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Loss(Time),
    Cut(Node, Option<Node>, Time),
    Pause(Node, Time),
    Kill(Node, Time),
    DiskLost(usize, Time),
    /// A data plane loses an object, and nobody notices.
    Corrupted(usize),
    CommitsLost(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<(Time, Step)>,
    pub(super) faults: Vec<(Time, Fault)>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "steps");
        let steps = (0..chance.between(20, 60)).map(|_| (chance.below(HEALED), step(&mut chance)));
        let steps = steps.collect();
        let mut chance = Chance::new(seed, "faults");
        let count = if seed.is_multiple_of(10) { 0 } else { chance.between(1, 9) };
        let faults = (0..count).map(|_| (chance.below(HEALED), fault(&mut chance))).collect();
        Self { steps, faults }
    }
}

fn step(chance: &mut Chance) -> Step {
    if chance.percent(60) {
        return Step::Order(chance.index(OFFICES), Order::draw(chance));
    }
    let key = KeyUid(10 + i64::try_from(chance.below(5)).unwrap_or(0));
    Step::Request(chance.index(DATA_PLANES), key)
}

fn fault(chance: &mut Chance) -> Fault {
    let long = chance.between(50 * MILLISECOND, 3 * SECOND);
    let (data_plane, office) = (chance.index(DATA_PLANES), chance.index(OFFICES));
    let node = chance.pick(&[Node::DataPlane(data_plane), Node::Office(office)]);
    match chance.below(10) {
        0 => Fault::Loss(long),
        1 => Fault::Cut(node, None, long),
        2 => Fault::Cut(Node::DataPlane(data_plane), Some(Node::Office(office)), long),
        3 => Fault::Cut(Node::Office(office), Some(Node::Database), long),
        4 => Fault::Pause(node, long),
        5 => Fault::Kill(node, long),
        6 => Fault::DiskLost(data_plane, long),
        7 => Fault::Corrupted(data_plane),
        _ => Fault::CommitsLost(chance.between(1, 6)),
    }
}
