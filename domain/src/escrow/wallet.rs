//! The control plane's side: a wallet (or key budget), the slices granted out of it, and how large the next one is.

use crate::money::Nano;

/// A wallet row. `held ≤ posted + credit_limit` at every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// Credits less charges.
    pub posted: Nano,
    /// Granted to slices and neither released nor settled yet.
    pub held: Nano,
    /// How far below zero `posted` may go.
    pub credit_limit: Nano,
}

impl Wallet {
    /// What can still be granted.
    #[must_use]
    pub fn free(&self) -> Nano {
        self.posted.saturating_plus(self.credit_limit).saturating_minus(self.held)
    }

    /// Holds more. What is free is all that may be asked for, so that this stays within range.
    pub(super) fn hold(&mut self, amount: Nano) {
        self.held = self.held.saturating_plus(amount);
    }

    /// Whether the invariant holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.held >= Nano::ZERO && self.free() >= Nano::ZERO
    }
}

/// The control plane's totals of one slice. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceTotals {
    /// Granted.
    pub granted: Nano,
    /// Given back by the data plane.
    pub released: Nano,
    /// Charged by events that billing has applied.
    pub settled: Nano,
}

impl SliceTotals {
    /// What the slice still holds of its wallet.
    #[must_use]
    pub fn held(&self) -> Nano {
        self.granted.saturating_minus(self.released).saturating_minus(self.settled)
    }

    /// Learns of a release. Returns by how much the wallet's `held` falls: never more than the slice holds.
    pub fn learn_released(&mut self, total: Nano) -> Nano {
        let news = total.saturating_minus(self.released).or_zero().min(self.held().or_zero());
        self.released = self.released.saturating_plus(news);
        news
    }

    /// Counts a charge that billing applied. Returns by how much the wallet's `held` falls; the rest of the charge, if
    /// any, was never granted.
    pub fn settle(&mut self, charge: Nano) -> Nano {
        let covered = charge.min(self.held()).or_zero();
        self.settled = self.settled.saturating_plus(covered);
        covered
    }
}

/// What a data plane asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Below this the request cannot go on.
    pub need: Nano,
    /// What would save the next round trip.
    pub want: Nano,
}

/// How much to grant out of what is free: all that is needed, and of what is wanted beyond it no more than its share of
/// half the free money, so that slices shrink with the balance. `None` when not even the need is there.
#[must_use]
pub fn grant(free: Nano, ask: Ask, data_planes: u32) -> Option<Nano> {
    if free < ask.need || ask.need < Nano::ZERO {
        return None;
    }
    let shares = i64::from(data_planes).saturating_add(1).saturating_mul(2);
    let share = Nano::saturating(i128::from(free.get()).checked_div(i128::from(shares))?);
    let granted = ask.want.min(share).max(ask.need);
    granted.is_positive().then_some(granted)
}
