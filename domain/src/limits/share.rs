//! What one data plane has of one limit, and what it has used of it in the minutes that it may be.
//!
//! Every step is `&mut`: a share that is lowered while another thread takes of it would be lowered wrongly. What is to be
//! said to whom and kept where is the caller's business; `told` must be synced before an answer to a lowering is sent.

mod tally;
mod terms;

pub use terms::{Clock, Terms};

use crate::limits::RateWindow;
use crate::limits::minute::{Span, likely_from};
use crate::time::{MINUTE_US, Timestamp};
use tally::Tallies;
use thiserror::Error;

/// A draw that is not answered within this is given up: another may be made.
pub const ANSWERED_WITHIN_US: u64 = 300_000;
/// Who asked for more and got none waits for so long before it asks again.
pub const ASKED_EVERY_US: u64 = 3_000_000;

/// A share that differs from the seat's part: so many of so many, whatever the limit is by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The edition that it is of, and ends with.
    pub edition: u64,
    /// Orders what is said of the limit within the edition.
    pub turn: u64,
    /// How much.
    pub share: u64,
    /// The limit that it is part of.
    pub of: u64,
}

/// Asks for all that is not needed. Answered by what is kept: what is used already, and of the rest no more than `fair`, unless
/// that is less than `least`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lower {
    /// As in `Told`.
    pub edition: u64,
    /// As in `Told`.
    pub turn: u64,
    /// The limit that shares are part of.
    pub of: u64,
    /// Nobody asks for less to be kept.
    pub least: u64,
    /// As much each may keep that needs it.
    pub fair: u64,
}

/// Answers a lowering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// The lowering's.
    pub edition: u64,
    /// The lowering's.
    pub turn: u64,
    /// What is held from now on, in the lowering's unit.
    pub share: u64,
    /// What is likely to be used of it in this minute.
    pub demand: u64,
}

/// Asks for a larger share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The edition in which it is asked.
    pub edition: u64,
    /// The limit as the data plane knows it.
    pub limit: u64,
    /// Used in this minute.
    pub used: u64,
    /// What one request wants beyond it; 0 if none waits.
    pub amount: u64,
    /// What is likely to be used in this minute.
    pub demand: u64,
}

/// Asks for some of a drawn limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Names the draw. Its answer counts once.
    pub id: u64,
    /// For which minute.
    pub minute: u64,
    /// Less does not help.
    pub need: u64,
}

/// What to ask the control plane for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A larger share.
    Share(Need),
    /// Some of what is drawn.
    Draw(Draw),
}

/// What a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The minutes that it counts in.
    pub span: Span,
    /// How much.
    pub amount: u64,
    /// What is left here.
    pub remaining: u64,
}

/// Nothing was taken: in one of the minutes that it may be, too little is left here. There may be more elsewhere.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too little of the limit is left here: ask for more")]
pub struct Short;

/// The share of one limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    told: Option<Told>,
    tallies: Tallies,
    asked: Option<Asked>,
    draws: u64,
}

/// What was asked for last.
#[derive(Clone, Copy, Debug)]
struct Asked {
    clock: Clock,
    era: u64,
    draw: Option<Draw>,
}

impl Share {
    /// As a restarted data plane remembers it.
    #[must_use]
    pub fn restored(told: Told) -> Self {
        Self { told: Some(told), ..Self::default() }
    }

    /// Takes over from the window that was sealed. What that counted may be of any of the minutes that it may be; and of one
    /// that it has left behind too early, nothing is known.
    pub fn carry(&mut self, span: Span, window: RateWindow) {
        let Some(span) = self.tallies.count(span) else { return };
        for minute in span.minutes() {
            let at = Timestamp(minute.saturating_mul(MINUTE_US));
            let used = if window.is_ahead_of(at) { u64::MAX } else { window.used(at) };
            self.tallies.add(Span { from: minute, to: minute, ..span }, used);
        }
    }

    /// What is to be kept; `None` if it is the seat's part.
    #[must_use]
    pub const fn told(&self) -> Option<Told> {
        self.told
    }

    /// The most that may be used in a minute.
    #[must_use]
    pub fn cap(&self, terms: &Terms<'_>, minute: u64) -> u64 {
        let Terms { place, limit, .. } = *terms;
        if !place.stands_in(minute) {
            return 0;
        }
        let seat = place.seat_in(minute);
        if seat.is_drawn(limit) {
            let part = if place.falls_back_in(minute) { seat.part(limit) } else { 0 };
            let drawn = self.tallies.of(minute).drawn;
            return part.min(place.bound(limit, minute)).saturating_add(drawn).min(limit);
        }
        let share = match self.told {
            _ if !place.remembers(minute) => 0,
            Some(told) if told.edition == seat.edition => scaled(told.share, limit, told.of),
            // It replaced what was told for the edition of this minute, which by then is over.
            Some(told) if told.edition > seat.edition => 0,
            Some(_) | None => seat.part(limit),
        };
        share.min(place.bound(limit, minute)).min(limit)
    }

    /// Takes an amount in each minute that it may be, or nothing. What is above the whole limit passes once in a minute, for
    /// who has the whole of it, else it could never be served.
    ///
    /// # Errors
    /// When it is not there.
    pub fn take(&mut self, terms: &Terms<'_>, amount: u64) -> Result<Taken, Short> {
        let span = self.tallies.count(terms.span).ok_or(Short)?;
        if let Some(minute) = self.short_in(terms, span, amount) {
            self.tallies.refuse(minute, amount);
            return Err(Short);
        }
        self.tallies.add(span, amount);
        let left = |minute| self.cap(terms, minute).saturating_sub(self.tallies.of(minute).used);
        let remaining = span.minutes().map(left).min().unwrap_or(0);
        Ok(Taken { span, amount, remaining })
    }

    /// Corrects what was taken once the real amount is known, as `RateWindow::correct` does.
    pub fn correct(&mut self, span: Span, taken: &Taken, actual: u64) {
        let Some(span) = self.tallies.count(span) else { return };
        self.tallies.add(span, actual.saturating_sub(taken.amount));
        if taken.span.era == span.era {
            let back = taken.amount.saturating_sub(actual);
            self.tallies.give_back(span, taken.span, back);
        }
    }

    /// What to ask for, so that `amount` more could be taken; or, with none, so that what is likely to come can be. `None`: it
    /// is there, or was asked for just now, or nothing is left of it anywhere.
    pub fn ask(&mut self, terms: &Terms<'_>, clock: Clock, amount: u64) -> Option<Ask> {
        let span = self.tallies.count(terms.span)?;
        let seat = terms.place.seat_in(span.to);
        let ask = if seat.is_drawn(terms.limit) {
            let minute = self.short_in(terms, span, amount)?;
            Ask::Draw(self.draw(terms, minute, clock, amount)?)
        } else {
            let demand = self.demand(span.to, clock).max(amount);
            let used = self.tallies.of(span.to).used;
            let is_enough = self.cap(terms, span.to) >= demand.max(used.saturating_add(amount));
            let is_early = self.asked.is_some_and(|asked| asked.is_within(clock, ASKED_EVERY_US));
            if is_enough || is_early || !terms.place.remembers(span.to) {
                return None;
            }
            Ask::Share(Need { edition: seat.edition, limit: terms.limit, used, amount, demand })
        };
        let draw = match ask {
            Ask::Share(_) => None,
            Ask::Draw(draw) => Some(draw),
        };
        self.asked = Some(Asked { clock, era: span.era, draw });
        Some(ask)
    }

    /// Learns of a share that is larger, or as large. Returns whether it counts.
    pub fn raise(&mut self, terms: &Terms<'_>, told: Told) -> bool {
        let edition = terms.place.seat_in(terms.span.to).edition;
        let is_news = self.told.is_none_or(|known| known.order() < told.order());
        if told.edition != edition || !is_news || told.of == 0 {
            return false;
        }
        // Who got something may ask for more at once.
        if told.share > self.held(terms, told.of) {
            self.asked = None;
        }
        self.told = Some(told);
        true
    }

    /// Lowers the share as far as it may fall, and says how far. It never falls below what is used in a minute that it may
    /// be, nor at all where that was counted elsewhere. Said again, it may fall further; an old word changes nothing. Who has
    /// forgotten what it used may have forgotten what it held, too: it says nothing before the next minute.
    pub fn lower(&mut self, terms: &Terms<'_>, clock: Clock, lower: Lower) -> Option<Holds> {
        let Terms { place, span, limit } = *terms;
        let Lower { edition, turn, of, least, fair } = lower;
        let is_old = self.told.is_some_and(|known| known.order() > (edition, turn));
        if edition != place.seat_in(span.to).edition || is_old {
            return None;
        }
        let span = self.tallies.count(span).filter(|span| place.remembers(span.from))?;
        let (held, demand) = (self.held(terms, of), self.demand(span.to, clock));
        let demand = scaled_up(demand, of, limit);
        let used = span.minutes().map(|minute| self.tallies.of(minute).used).max().unwrap_or(0);
        let kept = least.max(fair.min(demand)).max(scaled_up(used, of, limit));
        let share = if place.is_sure_of(span.from) { kept.min(held) } else { held };
        self.told = Some(Told { edition, turn, share, of });
        Some(Holds { edition, turn, share, demand })
    }

    /// Takes the answer to a draw; `None`: nothing is left in that minute. Answers to other draws than the last do not count,
    /// so none counts twice.
    pub fn drew(&mut self, id: u64, amount: Option<u64>) {
        let asked = self.asked.filter(|asked| asked.era == self.tallies.era());
        let draw = asked.and_then(|asked| asked.draw).filter(|draw| draw.id == id);
        let Some(draw) = draw else { return };
        self.asked = None;
        self.tallies.draw(draw.minute, amount);
    }

    fn short_in(&self, terms: &Terms<'_>, span: Span, amount: u64) -> Option<u64> {
        let fits = |minute: u64| {
            let (used, cap) = (self.tallies.of(minute).used, self.cap(terms, minute));
            let is_whole = used == 0 && cap >= terms.limit && terms.limit > 0;
            is_whole || used.saturating_add(amount) <= cap
        };
        span.minutes().find(|minute| !fits(*minute))
    }

    fn draw(&mut self, terms: &Terms<'_>, minute: u64, clock: Clock, amount: u64) -> Option<Draw> {
        let tally = self.tallies.of(minute);
        let is_early = self.asked.is_some_and(|asked| {
            asked.draw.is_some_and(|draw| draw.minute == minute)
                && asked.is_within(clock, ANSWERED_WITHIN_US)
        });
        if tally.is_dry || is_early {
            return None;
        }
        // Also after a restart, no draw has the name of one before.
        self.draws = self.draws.saturating_add(1).max(clock.local.0);
        let lack = tally.used.saturating_add(amount).saturating_sub(self.cap(terms, minute));
        Some(Draw { id: self.draws, minute, need: lack })
    }

    /// What is likely to be used in this minute: what was, what would have been, and of what was used in the one before as
    /// much as is left of this one.
    fn demand(&self, minute: u64, clock: Clock) -> u64 {
        let (tally, before) = (self.tallies.of(minute), self.tallies.of(minute.saturating_sub(1)));
        let asked = tally.used.saturating_add(tally.refused);
        asked.saturating_add(likely_from(before.used, clock.now))
    }

    /// What is held, as part of `of`.
    fn held(&self, terms: &Terms<'_>, of: u64) -> u64 {
        let seat = terms.place.seat_in(terms.span.to);
        match self.told {
            Some(told) if told.edition == seat.edition => scaled(told.share, of, told.of),
            Some(_) | None => seat.part(of),
        }
    }
}

impl Told {
    const fn order(&self) -> (u64, u64) {
        (self.edition, self.turn)
    }
}

impl Asked {
    const fn is_within(&self, clock: Clock, span_us: u64) -> bool {
        clock.local.0.saturating_sub(self.clock.local.0) < span_us
    }
}

/// So many of `from` as part of `to`, rounded down: shares do not add up to more than the whole in any unit.
fn scaled(share: u64, to: u64, from: u64) -> u64 {
    let product = u128::from(share).saturating_mul(u128::from(to));
    u64::try_from(product.checked_div(u128::from(from)).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// The same, rounded up: the least share that covers it.
pub(super) fn scaled_up(amount: u64, to: u64, from: u64) -> u64 {
    let product = u128::from(amount).saturating_mul(u128::from(to));
    u64::try_from(product.div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}
