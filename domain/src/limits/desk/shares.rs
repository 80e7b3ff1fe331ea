//! The shares of one limit that differ from the seats' parts: who is raised, who is lowered, and by how much.
//!
//! At every commit, what the data planes may hold adds up to no more than the limit: one is raised into what is free, and a
//! lowering frees something only once it is answered. What a silent data plane holds stays with it until it lapses. The
//! shares of one edition end with it.

use crate::limits::desk::fleet::Fleet;
use crate::limits::share::{Holds, Lower, Need, Told, scaled_up};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// So many data planes are asked at once to give something up.
const LOWERED_AT_ONCE: usize = 8;
/// One part in so many of its seat's part stays with each, so that a first request need not ask.
const LEAST_PARTS: u64 = 40;

/// What one data plane has of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The most that it may hold.
    pub share: u64,
    /// What it last said that it would use in a minute.
    pub demand: u64,
    /// The turn in which it was last told how much it has. What it answered to anything before says nothing any more.
    pub raised: u64,
}

/// The rows of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares<L> {
    /// The edition that they are of.
    pub edition: u64,
    /// What they are parts of.
    pub of: u64,
    /// Orders what is said. Grows from edition to edition.
    pub turn: u64,
    /// Who has no row has its seat's part.
    pub rows: BTreeMap<L, Row>,
}

/// Who is there.
#[derive(Debug)]
pub struct Present<'a, L> {
    /// Who belongs to the cell; read after the rows were locked.
    pub fleet: &'a Fleet<L>,
    /// The minute; read before.
    pub now: u64,
    /// Who was heard of lately.
    pub is_heard: &'a BTreeSet<L>,
}

impl<L> Clone for Present<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Present<'_, L> {}

impl<L> Default for Shares<L> {
    fn default() -> Self {
        Self { edition: 0, of: 0, turn: 0, rows: BTreeMap::new() }
    }
}

impl<L: Ord + Clone> Shares<L> {
    /// One needs more of a limit: it gets what is free, and is told what it has in any case. `None`: it asks about an edition
    /// that is not in force, or about what is drawn; it is to be told its place.
    pub fn raise(
        &mut self,
        present: Present<'_, L>,
        limit: u64,
        who: &L,
        need: &Need,
    ) -> Option<Told> {
        self.renew(present, limit, who, need)?;
        let (held, want) = (self.held(present, who), self.want(need));
        let share = held.saturating_add(self.free(present).min(want.all.saturating_sub(held)));
        let raised = self.next_turn();
        self.rows.insert(who.clone(), Row { share, demand: want.demand, raised });
        Some(Told { edition: self.edition, turn: raised, share, of: self.of })
    }

    /// Where one was raised and what was free is too little, others are asked for what they do not need; those with the most to
    /// give. Nobody has to give up what it needs up to a fair share, but for a single request that is larger than that. With
    /// each answer, who asked is raised again.
    pub fn lower(
        &mut self,
        present: Present<'_, L>,
        limit: u64,
        who: &L,
        need: &Need,
    ) -> Vec<(L, Lower)> {
        if self.renew(present, limit, who, need).is_none() || !self.rows.contains_key(who) {
            return Vec::new();
        }
        let lack = self.lack(present, who, self.want(need));
        let mut others: Vec<(Reverse<u64>, L, Keep)> = present
            .members()
            .filter(|other| *other != who && present.is_heard.contains(*other))
            .filter_map(|other| {
                let (held, row) = (self.held(present, other), self.rows.get(other));
                let keep = lack.keep(held);
                let demand = row.map_or(0, |row| row.demand).min(keep.fair).max(keep.least);
                let gives = Reverse(held.saturating_sub(demand));
                (held > keep.least).then(|| (gives, other.clone(), keep))
            })
            .collect();
        others.sort();
        others.truncate(LOWERED_AT_ONCE);
        let lower = |(_, other, Keep { least, fair })| {
            let turn = self.next_turn();
            (other, Lower { edition: self.edition, turn, of: self.of, least, fair })
        };
        others.into_iter().map(lower).collect()
    }

    /// One has answered a lowering. What it has said since it was last raised, it keeps to: the least counts.
    pub fn answered(&mut self, present: Present<'_, L>, who: &L, holds: Holds) {
        let is_in_force = present.fleet.layout_in(present.now).edition == self.edition;
        let held = self.held(present, who);
        let raised = self.rows.get(who).map_or(0, |row| row.raised);
        if is_in_force && holds.edition == self.edition && holds.turn > raised {
            let share = held.min(holds.share);
            self.rows.insert(who.clone(), Row { share, demand: holds.demand, raised });
        }
    }

    /// What silent data planes hold. It is theirs until they are heard of again, or lapse.
    #[must_use]
    pub fn parked(&self, present: Present<'_, L>) -> u64 {
        let silent = present.members().filter(|who| !present.is_heard.contains(*who));
        silent.map(|who| self.held(present, who)).fold(0, u64::saturating_add)
    }

    /// What may be added to somebody's share.
    fn free(&self, present: Present<'_, L>) -> u64 {
        let held = present.members().map(|who| self.held(present, who));
        self.of.saturating_sub(held.fold(0, u64::saturating_add))
    }

    /// Begins anew with a new edition. In shares that divide evenly: so they come to the same in any unit, also where a data
    /// plane does not know of a changed limit yet.
    fn renew(&mut self, present: Present<'_, L>, limit: u64, who: &L, need: &Need) -> Option<()> {
        let seat = present.fleet.layout_in(present.now).seat(who);
        if seat.is_drawn(limit) || !present.fleet.has(who, present.now) {
            return None;
        }
        if seat.edition > self.edition {
            self.rows.clear();
            self.edition = seat.edition;
        }
        if self.rows.is_empty() {
            let odd = limit.checked_rem(u64::from(seat.of)).unwrap_or(0);
            self.of = limit.saturating_sub(odd);
        }
        (seat.edition == self.edition && need.edition == self.edition).then_some(())
    }

    /// In shares. Twice what is likely to be used, so that who uses more and more need not ask for each bit of it.
    fn want(&self, need: &Need) -> Want {
        let in_shares = |amount: u64| scaled_up(amount, self.of, need.limit).min(self.of);
        let demand = in_shares(need.demand);
        let needed = in_shares(need.used.saturating_add(need.amount));
        let all = demand.saturating_mul(2).min(self.of).max(needed);
        Want { demand, needed, all, amount: in_shares(need.amount) }
    }

    fn lack(&self, present: Present<'_, L>, who: &L, want: Want) -> Lack {
        let (held, fair) = (self.held(present, who), self.fair(present));
        let short = if want.amount > fair { want.needed.saturating_sub(held) } else { 0 };
        let members = u64::try_from(present.fleet.members.len()).unwrap_or(u64::MAX);
        let parts = members.saturating_mul(LEAST_PARTS);
        let least = self.of.checked_div(parts).unwrap_or(0);
        Lack { all: want.all.saturating_sub(held), short, fair, least }
    }

    fn held(&self, present: Present<'_, L>, who: &L) -> u64 {
        let seat = || present.fleet.layout_in(present.now).seat(who);
        self.rows.get(who).map_or_else(|| seat().part(self.of), |row| row.share)
    }

    /// As much as each may use if those who need less leave the rest to the others.
    fn fair(&self, present: Present<'_, L>) -> u64 {
        let heard = present.members().filter(|who| present.is_heard.contains(*who));
        let mut demands: Vec<u64> =
            heard.map(|who| self.rows.get(who).map_or(0, |row| row.demand)).collect();
        demands.sort_unstable();
        let mut left = self.of.saturating_sub(self.parked(present));
        for (index, demand) in demands.iter().enumerate() {
            let others = u64::try_from(demands.len().saturating_sub(index)).unwrap_or(u64::MAX);
            let even = left.checked_div(others).unwrap_or(0);
            if *demand > even {
                return even;
            }
            left = left.saturating_sub(*demand);
        }
        self.of
    }

    fn next_turn(&mut self) -> u64 {
        self.turn = self.turn.saturating_add(1);
        self.turn
    }
}

/// What one wants.
#[derive(Clone, Copy)]
struct Want {
    demand: u64,
    /// With less, the request that waits cannot be served.
    needed: u64,
    all: u64,
    /// What that request is for.
    amount: u64,
}

/// What one still lacks.
#[derive(Clone, Copy)]
struct Lack {
    all: u64,
    /// For one large request, which others have to make room for.
    short: u64,
    fair: u64,
    least: u64,
}

/// What another may keep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Keep {
    least: u64,
    fair: u64,
}

impl Lack {
    fn keep(self, held: u64) -> Keep {
        let most = held.saturating_sub(self.short);
        let least = held.saturating_sub(self.all).max(self.least).min(most);
        Keep { least, fair: self.fair.min(most) }
    }
}

impl<'a, L: Ord> Present<'a, L> {
    fn members(self) -> impl Iterator<Item = &'a L> {
        let stands = move |member: u64| member >= self.now;
        let members = self.fleet.members.iter();
        members.filter(move |(_, member)| stands(member.stands_through)).map(|(who, _)| who)
    }
}
