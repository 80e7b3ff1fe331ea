//! Which minute it is by the control plane's clock, as far as a data plane can know: two where it cannot tell them apart.
//!
//! An answer that tells the control plane's time was written between its question and its arrival, so it bounds how far the
//! two clocks are apart. That may be an hour: nothing but the bounds matters. Whoever counts what it admits in every minute
//! that it may be admits in none of them twice.

use crate::time::{MINUTE_US, Timestamp};
use std::ops::RangeInclusive;

/// How far two clocks may drift apart, in millionths: several times what those of servers do.
pub const DRIFT_PPM: u64 = 200;

/// Answers that contradict each other by more than this say that the control plane's clock was set.
const SET_US: i64 = 1_000_000;

const MILLION: u64 = 1_000_000;

/// A moment by a data plane's own clock, in microseconds: one that counts sleep and that nobody sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local(pub u64);

/// An answer that tells the control plane's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was asked for.
    pub sent: Local,
    /// When it arrived.
    pub received: Local,
    /// The earliest that the control plane's time can have been when it was written.
    pub low: Timestamp,
    /// The latest.
    pub high: Timestamp,
}

/// What is known of the difference between the two clocks, for keeping through a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The least that the control plane's clock can be ahead of the local one.
    pub low_us: i64,
    /// The most.
    pub high_us: i64,
    /// When this was so. Since then the clocks have drifted.
    pub at: Local,
}

/// The minutes that it may be: one, or two around a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How often the control plane's clock was set: minutes of different eras cannot be compared.
    pub era: u64,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Span {
    /// Each of them.
    #[must_use]
    pub const fn minutes(self) -> RangeInclusive<u64> {
        self.from..=self.to
    }
}

/// The control plane's clock as a data plane sees it.
#[derive(Clone, Copy, Debug)]
pub struct MinuteClock {
    drift_ppm: u64,
    known: Option<Known>,
    asked: Local,
    era: u64,
}

impl MinuteClock {
    /// One that knows nothing yet.
    #[must_use]
    pub const fn new(drift_ppm: u64) -> Self {
        Self { drift_ppm, known: None, asked: Local(0), era: 0 }
    }

    /// One that remembers. The local clock must be the one of then: nobody may have started the machine since.
    #[must_use]
    pub const fn restored(drift_ppm: u64, known: Known) -> Self {
        Self { drift_ppm, known: Some(known), asked: Local(0), era: 0 }
    }

    /// What is to be kept.
    #[must_use]
    pub const fn known(&self) -> Option<Known> {
        self.known
    }

    /// Learns from an answer. All that is known must hold at once, so the bounds only come closer but for drift. Answers
    /// that contradict each other a little are both believed; of those that do so by far, the later one.
    pub fn learn(&mut self, sample: &Sample) {
        let is_late = sample.sent < self.asked;
        if is_late || sample.received < sample.sent || sample.high < sample.low {
            return;
        }
        self.asked = sample.sent;
        let fresh = self.bounds(sample);
        let Some(known) = self.known else {
            self.known = Some(fresh);
            return;
        };
        let at = known.at.max(fresh.at);
        let (known, fresh) = (self.aged(known, at), self.aged(fresh, at));
        let (low_us, high_us) = (known.low_us.max(fresh.low_us), known.high_us.min(fresh.high_us));
        self.known = Some(if low_us <= high_us {
            Known { low_us, high_us, at }
        } else if low_us.saturating_sub(high_us) <= SET_US {
            let (low_us, high_us) =
                (known.low_us.min(fresh.low_us), known.high_us.max(fresh.high_us));
            Known { low_us, high_us, at }
        } else {
            self.era = self.era.saturating_add(1);
            fresh
        });
    }

    /// The minutes that it may be. `None`: too little is known to tell even two.
    #[must_use]
    pub fn span(&self, now: Local) -> Option<Span> {
        let known = self.aged(self.known?, now);
        let (from, to) = (ahead(now, known.low_us).minute(), ahead(now, known.high_us).minute());
        (to.saturating_sub(from) <= 1).then_some(Span { era: self.era, from, to })
    }

    /// The likeliest time: for what need not be exact, such as how long the minute still runs.
    #[must_use]
    pub fn now(&self, now: Local) -> Option<Timestamp> {
        let known = self.known?;
        Some(ahead(now, known.low_us.midpoint(known.high_us)))
    }

    fn bounds(&self, sample: &Sample) -> Known {
        let known = Known {
            low_us: difference(sample.low, sample.received),
            high_us: difference(sample.high, sample.sent),
            at: sample.sent,
        };
        self.aged(known, sample.received)
    }

    /// The same at another time, before or after: wider by what the clocks may have drifted in between.
    fn aged(&self, known: Known, at: Local) -> Known {
        let age_us = known.at.0.abs_diff(at.0);
        let drift = age_us.saturating_mul(self.drift_ppm).div_ceil(MILLION);
        let drift = i64::try_from(drift).unwrap_or(i64::MAX);
        let (low_us, high_us) =
            (known.low_us.saturating_sub(drift), known.high_us.saturating_add(drift));
        Known { low_us, high_us, at }
    }
}

/// How much of what was used in a minute is likely to be used in the rest of the one after it.
pub(super) fn likely_from(used: u64, now: Timestamp) -> u64 {
    let rest = u128::from(used).saturating_mul(u128::from(now.until_next_minute_us()));
    u64::try_from(rest.checked_div(u128::from(MINUTE_US)).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn difference(theirs: Timestamp, ours: Local) -> i64 {
    let apart = i128::from(theirs.0).saturating_sub(i128::from(ours.0));
    let most = if apart < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(apart).unwrap_or(most)
}

fn ahead(now: Local, offset_us: i64) -> Timestamp {
    Timestamp(now.0.saturating_add_signed(offset_us))
}
