//! What a seed has in store: what customers and operators do, and which faults happen when.

use super::message::Script;
use crate::chance::Chance;
use crate::network::{Node, Weather};
use crate::schedule::{MILLISECOND, SECOND, Time};

pub(super) const DATA_PLANES: usize = 3;
pub(super) const OFFICES: usize = 2;
pub(super) const CONSUMERS: usize = 2;
/// Each in a partition of its own; the second one may owe a little.
pub(super) const ORGS: [i64; 2] = [1, 2];
pub(super) const CREDIT_LIMITS: [i64; 2] = [0, 300];

/// Until then things happen, and faults.
pub(super) const HEALED: Time = 6 * SECOND;
/// By then all is quiet again.
pub(super) const QUIET: Time = 12 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Credit { org: i64, amount: i64 },
    Request(Script),
}

/// Something breaks, for as long as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Weather(Weather, Time),
    Cut(Node, Option<Node>, Time),
    Pause(Node, Time),
    Kill(Node, Time),
    PowerCut(usize, Time),
    DiskLost(usize, Time),
    CommitsLost(usize),
    OutcomesUnknown(Time),
    DatabaseDown(Time),
    ClockJump(Node, i64),
    TopicForgets(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<(Time, Step)>,
    pub(super) faults: Vec<(Time, Fault)>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "steps");
        let mut steps: Vec<_> = ORGS.map(|org| (0, credit(org, &mut chance))).into();
        for _ in 0..chance.between(15, 45) {
            let at = chance.below(HEALED);
            let org = chance.pick(&ORGS);
            let is_credit = chance.percent(8);
            steps.push((
                at,
                if is_credit { credit(org, &mut chance) } else { request(org, &mut chance) },
            ));
        }
        Self { steps, faults: faults(seed) }
    }
}

fn credit(org: i64, chance: &mut Chance) -> Step {
    Step::Credit { org, amount: i64_between(chance, 100, 1_200) }
}

fn request(org: i64, chance: &mut Chance) -> Step {
    let hold = i64_between(chance, 5, 250);
    let parts = (0..chance.between(1, 4)).map(|_| i64_between(chance, 1, hold)).collect();
    let overrun = if chance.percent(15) { i64_between(chance, 1, 900) } else { 0 };
    Step::Request(Script {
        data_plane: chance.index(DATA_PLANES),
        org,
        hold,
        parts,
        overrun,
        pace: chance.between(MILLISECOND, 700 * MILLISECOND),
        is_readable: !chance.percent(6),
    })
}

/// A tenth of all seeds is calm. Of the others each loses either commits or what the topic had: what both have lost is lost.
fn faults(seed: u64) -> Vec<(Time, Fault)> {
    let mut chance = Chance::new(seed, "faults");
    if seed.is_multiple_of(10) {
        return Vec::new();
    }
    let loses_commits = chance.percent(50);
    (0..chance.between(1, 9))
        .map(|_| (chance.below(HEALED), fault(&mut chance, loses_commits)))
        .collect()
}

fn fault(chance: &mut Chance, loses_commits: bool) -> Fault {
    let long = chance.between(50 * MILLISECOND, 3 * SECOND);
    let data_plane = chance.index(DATA_PLANES);
    let process = process(chance);
    match chance.below(15) {
        0 => Fault::Weather(Weather::Loss, long),
        1 => Fault::Weather(Weather::Duplication, long),
        2 => Fault::Weather(Weather::Reordering, long),
        3 => Fault::Cut(Node::DataPlane(data_plane), None, long),
        4 => {
            let other = chance.pick(&[Node::Office(0), Node::Office(1), Node::Topic]);
            Fault::Cut(Node::DataPlane(data_plane), Some(other), long)
        }
        5 => Fault::Pause(process, long),
        6 => Fault::Kill(process, long),
        7 => Fault::PowerCut(data_plane, long),
        8 => Fault::DiskLost(data_plane, long),
        9 | 10 if loses_commits => Fault::CommitsLost(1 + chance.index(12)),
        9 | 10 => Fault::TopicForgets(1 + chance.index(6)),
        11 => Fault::OutcomesUnknown(long),
        12 => Fault::DatabaseDown(long / 2),
        _ => {
            let node = chance.pick(&[Node::Office(0), Node::Office(1), Node::Database]);
            let hour = 3_600 * i64::try_from(SECOND).unwrap_or(0);
            Fault::ClockJump(node, if chance.percent(50) { hour } else { -hour })
        }
    }
}

fn process(chance: &mut Chance) -> Node {
    match chance.below(3) {
        0 => Node::DataPlane(chance.index(DATA_PLANES)),
        1 => Node::Office(chance.index(OFFICES)),
        _ => Node::Consumer(chance.index(CONSUMERS)),
    }
}

fn i64_between(chance: &mut Chance, least: i64, most: i64) -> i64 {
    let range = (most - least).unsigned_abs();
    least + i64::try_from(chance.below(range + 1)).unwrap_or(0)
}
