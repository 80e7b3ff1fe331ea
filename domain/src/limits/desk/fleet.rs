//! Who belongs to a cell, and which seats its data planes have: from one edition to the next without a minute in which the
//! seats add up to more than the whole.
//!
//! The next edition is told ahead of its first minute. Who agrees keeps within it from then on; it is certain once all have,
//! and long enough before that minute that nobody still decides by the old one. One that has left or lapsed is gone.

use crate::limits::place::{Acknowledged, Coming, Declared, Placed, slot, slot_mut};
use crate::limits::seat::Seat;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// For so many minutes after its own a draw may be made.
pub const DRAWN_AHEAD: u64 = 1;
/// An edition becomes certain at least so many minutes before its first one: a decision that was begun before may go on for a
/// minute, and be about `DRAWN_AHEAD`.
pub const CERTAIN_AHEAD: u64 = DRAWN_AHEAD + 2;
/// An edition is told so many minutes ahead: one is for agreeing.
pub const TOLD_AHEAD: u64 = CERTAIN_AHEAD + 1;

/// A division of the limits. A seat whose owner is gone stays empty until the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout<L> {
    /// Its number; each is greater than all before.
    pub edition: u64,
    /// How many seats there are.
    pub of: u32,
    /// Who sits where.
    pub seats: BTreeMap<L, u32>,
}

/// The next division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<L> {
    /// The division.
    pub layout: Layout<L>,
    /// Its first minute.
    pub from: u64,
    /// All have agreed.
    pub is_certain: bool,
}

/// One data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The last minute in which it may use anything without another word.
    pub stands_through: u64,
    /// In which minutes it draws.
    pub declared: [Declared; 2],
    /// The latest edition that it has agreed to.
    pub agreed: u64,
    /// It has said that it is gone, or somebody who knows.
    pub has_left: bool,
}

/// A place does not stand any longer: it has lapsed, or was left.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this place has ended: begin a new life")]
pub struct PlaceEnded;

/// All data planes of a cell. `L` names one life of the place of one: what ended never comes back under the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet<L> {
    /// Orders what is said. Grows with each change, and guards the row.
    pub turn: u64,
    /// The last edition that was thought of.
    pub editions: u64,
    /// The division in force.
    pub seated: Layout<L>,
    /// The one that follows.
    pub next: Option<Change<L>>,
    /// Whether anybody else belonged to the cell since the division in force began.
    pub is_shared: bool,
    /// Who belongs to it.
    pub members: BTreeMap<L, Member>,
}

impl<L> Default for Fleet<L> {
    fn default() -> Self {
        Self {
            turn: 0,
            editions: 0,
            seated: Layout::new(0, BTreeMap::new()),
            next: None,
            is_shared: false,
            members: BTreeMap::new(),
        }
    }
}

impl<L> Layout<L> {
    fn new(edition: u64, seats: BTreeMap<L, u32>) -> Self {
        let of = u32::try_from(seats.len()).unwrap_or(u32::MAX).max(1);
        Self { edition, of, seats }
    }
}

impl<L: Ord + Clone> Layout<L> {
    /// The seat of one, if it has any.
    #[must_use]
    pub fn seat(&self, who: &L) -> Seat {
        self.seat_of(self.seats.get(who).copied())
    }

    fn seat_of(&self, rank: Option<u32>) -> Seat {
        Seat { edition: self.edition, of: self.of, rank }
    }
}

impl Member {
    fn has_declared(&self, minute: u64, edition: u64) -> bool {
        *slot(&self.declared, minute) == Declared { minute, edition }
    }
}

impl<L: Ord + Clone> Fleet<L> {
    /// Takes one in. It has nothing yet, but may ask.
    pub fn join(&mut self, who: L, stands_through: u64) {
        let Entry::Vacant(place) = self.members.entry(who) else { return };
        place.insert(Member { stands_through, ..Member::default() });
        self.is_shared |= self.members.len() > 1;
        self.turn = self.turn.saturating_add(1);
    }

    /// Lets what one has stand for longer. To be committed before it is told.
    ///
    /// # Errors
    /// When its place has ended, so that others may have it.
    pub fn prolong(&mut self, who: &L, now: u64, stands_through: u64) -> Result<(), PlaceEnded> {
        let member = self.members.get_mut(who).filter(|member| member.stands_through >= now);
        let member = member.filter(|member| !member.has_left).ok_or(PlaceEnded)?;
        member.stands_through = member.stands_through.max(stands_through);
        Ok(())
    }

    /// Nothing is used by one after a minute: it said so, or somebody who knows that it has ended. Time alone proves nothing
    /// before it has lapsed.
    pub fn leave(&mut self, who: &L, last_minute: u64) {
        if let Some(member) = self.members.get_mut(who) {
            member.stands_through = member.stands_through.min(last_minute);
            member.has_left = true;
        }
    }

    /// One agrees to an edition.
    pub fn agree(&mut self, who: &L, acknowledged: Acknowledged) {
        if let Some(member) = self.members.get_mut(who) {
            member.agreed = member.agreed.max(acknowledged.edition);
        }
    }

    /// One draws in a minute.
    pub fn declare(&mut self, who: &L, declared: Declared) {
        if let Some(member) = self.members.get_mut(who) {
            let slot = slot_mut(&mut member.declared, declared.minute);
            if slot.minute <= declared.minute {
                *slot = declared;
            }
        }
    }

    /// What follows from the time and from who is heard of. To be asked every second, and after each change.
    pub fn settle(&mut self, now: u64, is_heard: &BTreeSet<L>) {
        self.members.retain(|_, member| member.stands_through >= now);
        let Self { seated, next, members, .. } = self;
        for layout in next.iter_mut().map(|next| &mut next.layout).chain([seated]) {
            layout.seats.retain(|who, _| members.contains_key(who));
        }
        if self.seat_one_alone(is_heard) {
            return;
        }
        match self.next.take() {
            Some(next) if next.is_certain && now >= next.from => {
                self.seated = next.layout;
                self.turn = self.turn.saturating_add(1);
            }
            Some(next) if next.is_certain => self.next = Some(next),
            Some(next) => self.agree_on(next, now, is_heard),
            None => self.begin(now, is_heard),
        }
    }

    /// What one is to be told.
    #[must_use]
    pub fn placed(&self, who: &L) -> Placed {
        let coming = self.next.as_ref().map(|next| Coming {
            seat: next.layout.seat(who),
            from: next.from,
            is_certain: next.is_certain,
        });
        Placed {
            turn: self.turn,
            seat: self.seated.seat(who),
            coming,
            is_alone: !self.is_shared,
            stands_through: self.members.get(who).map_or(0, |member| member.stands_through),
        }
    }

    /// The division that counts in a minute.
    #[must_use]
    pub fn layout_in(&self, minute: u64) -> &Layout<L> {
        match &self.next {
            Some(next) if next.is_certain && minute >= next.from => &next.layout,
            Some(_) | None => &self.seated,
        }
    }

    /// Whether one may have anything that is its own.
    #[must_use]
    pub fn has(&self, who: &L, now: u64) -> bool {
        self.members.get(who).is_some_and(|member| member.stands_through >= now)
    }

    /// How much of a drawn limit all may draw in a minute: what is not the part of one who has not said that it draws, be it
    /// cut off or dead. `None`: the limit is not drawn, or the minute is over or too far away, or it is not one of us.
    #[must_use]
    pub fn pool(&self, limit: u64, minute: u64, now: u64, who: &L) -> Option<u64> {
        let layout = self.layout_in(minute);
        let is_near = minute >= now && minute <= now.saturating_add(DRAWN_AHEAD);
        if !is_near || !layout.seat(who).is_drawn(limit) || !self.has(who, minute) {
            return None;
        }
        let falls_back = |(who, _): &(&L, &u32)| {
            let member = self.members.get(who).filter(|member| member.stands_through >= now);
            member.is_some_and(|member| !member.has_declared(minute, layout.edition))
        };
        let kept = layout.seats.iter().filter(falls_back);
        let parts = kept.map(|(_, rank)| layout.seat_of(Some(*rank)).part(limit));
        Some(limit.saturating_sub(parts.fold(0, u64::saturating_add)))
    }

    /// Where nobody else is left, nobody has to agree.
    fn seat_one_alone(&mut self, is_heard: &BTreeSet<L>) -> bool {
        let mut members = self.members.keys();
        let (Some(who), None) = (members.next(), members.next()) else { return false };
        if !self.is_shared && self.seated.seat(who).is_whole() {
            return true;
        }
        if !is_heard.contains(who) {
            return false;
        }
        let seats = BTreeMap::from([(who.clone(), 0)]);
        self.seated = Layout::new(self.new_edition(), seats);
        (self.next, self.is_shared) = (None, false);
        true
    }

    /// Begins a change if the seats are not those of the members. Where one cannot agree, nothing would come of it.
    fn begin(&mut self, now: u64, is_heard: &BTreeSet<L>) {
        let is_full = usize::try_from(self.seated.of).is_ok_and(|of| of == self.members.len());
        let is_due = !is_full || !self.members.keys().eq(self.seated.seats.keys());
        if !is_due || !self.members.keys().all(|who| is_heard.contains(who)) {
            return;
        }
        // Who stays moves up; who is new comes after.
        let rank = |who: &L| self.seated.seats.get(who).copied().unwrap_or(u32::MAX);
        let mut order: Vec<&L> = self.members.keys().collect();
        order.sort_by_key(|who| rank(who));
        let seats = order.into_iter().cloned().zip(0..).collect();
        let layout = Layout::new(self.new_edition(), seats);
        let from = now.saturating_add(TOLD_AHEAD);
        self.next = Some(Change { layout, from, is_certain: false });
    }

    /// Makes a change certain, waits for who has not agreed yet, or gives it up: all go back to what they had.
    fn agree_on(&mut self, next: Change<L>, now: u64, is_heard: &BTreeSet<L>) {
        let has_agreed = |member: &Member| member.agreed >= next.layout.edition;
        let is_certain = self.members.values().all(has_agreed);
        let mut waits_for = self.members.iter().filter(|(_, member)| !has_agreed(member));
        let is_hopeless = waits_for.any(|(who, _)| !is_heard.contains(who));
        if now.saturating_add(CERTAIN_AHEAD) > next.from || is_hopeless {
            self.turn = self.turn.saturating_add(1);
        } else if is_certain {
            self.turn = self.turn.saturating_add(1);
            self.next = Some(Change { is_certain, ..next });
        } else {
            self.next = Some(next);
        }
    }

    fn new_edition(&mut self) -> u64 {
        self.turn = self.turn.saturating_add(1);
        self.editions = self.editions.saturating_add(1);
        self.editions
    }
}
