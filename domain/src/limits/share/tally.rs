//! What was used in two neighbouring minutes. Threads that read their clock early may come late: nothing they do wipes out
//! what was counted later.

use crate::limits::minute::Span;
use crate::limits::place::{slot, slot_mut};

/// What was counted in one minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    minute: u64,
    pub(super) used: u64,
    /// What was asked for and was not there.
    pub(super) refused: u64,
    /// What was drawn for it.
    pub(super) drawn: u64,
    /// Nothing is left to be drawn.
    pub(super) is_dry: bool,
}

/// Those of the last minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tallies {
    slots: [Tally; 2],
    /// It is known not to be any earlier.
    sure: u64,
    era: u64,
}

impl Tallies {
    /// The minutes to count in, for who read its clock at `span`: those, and what time it is known to be since. `None`: that
    /// is too long ago.
    pub(super) fn count(&mut self, span: Span) -> Option<Span> {
        if span.era < self.era {
            return None;
        }
        if span.era > self.era {
            *self = Self { era: span.era, ..Self::default() };
        }
        let span = Span { to: span.to.max(self.sure), ..span };
        if span.to.saturating_sub(span.from) > 1 {
            return None;
        }
        self.sure = self.sure.max(span.from);
        let is_kept = |minute: u64| slot(&self.slots, minute).minute <= minute;
        span.minutes().all(is_kept).then_some(span)
    }

    pub(super) const fn era(&self) -> u64 {
        self.era
    }

    pub(super) fn of(&self, minute: u64) -> Tally {
        let tally = slot(&self.slots, minute);
        if tally.minute == minute { *tally } else { Tally { minute, ..Tally::default() } }
    }

    pub(super) fn add(&mut self, span: Span, amount: u64) {
        for minute in span.minutes() {
            let tally = self.open(minute);
            tally.used = tally.used.saturating_add(amount);
        }
    }

    pub(super) fn refuse(&mut self, minute: u64, amount: u64) {
        let tally = self.open(minute);
        tally.refused = tally.refused.saturating_add(amount);
    }

    /// Takes back what was taken too much, in the minutes that still run.
    pub(super) fn give_back(&mut self, now: Span, taken: Span, amount: u64) {
        for minute in now.minutes().filter(|minute| taken.minutes().contains(minute)) {
            let tally = self.open(minute);
            tally.used = tally.used.saturating_sub(amount);
        }
    }

    /// Counts what was drawn, unless its minute is long over.
    pub(super) fn draw(&mut self, minute: u64, amount: Option<u64>) {
        if slot(&self.slots, minute).minute > minute {
            return;
        }
        let tally = self.open(minute);
        tally.drawn = tally.drawn.saturating_add(amount.unwrap_or(0));
        tally.is_dry = amount.is_none();
    }

    fn open(&mut self, minute: u64) -> &mut Tally {
        let tally = slot_mut(&mut self.slots, minute);
        if tally.minute < minute {
            *tally = Tally { minute, ..Tally::default() };
        }
        tally
    }
}
