//! What a seed has in store for the world of rates.

use crate::chance::Chance;
use crate::network::Weather;
use crate::schedule::{SECOND, Time};

pub(crate) const DATA_PLANES: usize = 3;
/// Drawn among two or three; a share among two and drawn among three; always a share.
pub(crate) const LIMITS: [u64; 3] = [12, 130, 600];
pub(super) const MINUTE: Time = 60 * SECOND;
pub(super) const END: Time = 9 * MINUTE;

/// Requests one after the other at one data plane, until one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burst {
    pub(super) data_plane: usize,
    pub(super) limit: usize,
    pub(super) requests: u64,
    pub(super) amount: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Weather(Weather, Time),
    /// A data plane and the control plane do not hear each other.
    Cut(usize, Time),
    Pause(usize, Time),
    /// The control plane stands still.
    DeskPaused(Time),
    Kill(usize, Time),
    DiskLost(usize, Time),
    /// A data plane is taken away in order, and another comes in its stead.
    Leaves(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<(Time, Burst)>,
    pub(super) faults: Vec<(Time, Fault)>,
    /// For how many minutes a word of the control plane stands.
    pub(super) stands_for: u64,
    /// By how much each data plane's clock is ahead, in µs, and runs fast, in millionths.
    pub(super) clocks: Vec<(u64, i64)>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "steps");
        let steps = (0..chance.between(60, 160)).map(|_| (moment(&mut chance), burst(&mut chance)));
        let steps = steps.collect();
        let mut chance = Chance::new(seed, "clocks");
        let stands_for = chance.between(3, 8);
        let rate = |chance: &mut Chance| i64::try_from(chance.below(20_000)).unwrap_or(0) - 10_000;
        let hours = 7_200 * SECOND;
        let clocks = (0..DATA_PLANES).map(|_| (chance.below(hours), rate(&mut chance))).collect();
        let mut chance = Chance::new(seed, "faults");
        let count = if seed.is_multiple_of(10) { 0 } else { chance.between(1, 10) };
        let faults = (0..count).map(|_| (chance.below(END), fault(&mut chance))).collect();
        Self { steps, faults, stands_for, clocks }
    }
}

/// A third of all requests come within half a second of a minute's end.
fn moment(chance: &mut Chance) -> Time {
    let at = chance.below(END);
    if !chance.percent(33) {
        return at;
    }
    let boundary = (at / MINUTE + 1) * MINUTE;
    boundary - SECOND / 2 + chance.below(SECOND)
}

fn burst(chance: &mut Chance) -> Burst {
    let amount = if chance.percent(70) { 1 } else { chance.between(1, 10) };
    Burst {
        data_plane: chance.index(DATA_PLANES),
        limit: chance.index(LIMITS.len()),
        requests: chance.between(1, 300),
        amount,
    }
}

fn fault(chance: &mut Chance) -> Fault {
    let long = chance.between(SECOND / 2, 90 * SECOND);
    let data_plane = chance.index(DATA_PLANES);
    match chance.below(10) {
        0 => Fault::Weather(Weather::Loss, long),
        1 => Fault::Weather(Weather::Duplication, long),
        2 => Fault::Weather(Weather::Reordering, long),
        // So long that what it has may lapse.
        3 => Fault::Cut(data_plane, chance.between(SECOND, END)),
        4 => Fault::Pause(data_plane, long),
        5 => Fault::DeskPaused(long / 2),
        6 | 7 => Fault::Kill(data_plane, long),
        8 => Fault::DiskLost(data_plane, long),
        _ => Fault::Leaves(data_plane),
    }
}
