//! The control plane as its desk will run it: rows, each transaction of which locks them, may take most of a minute, and looks
//! at a fleet that may have changed by the time it commits.

use super::plane::{ToDesk, ToPlane};
use super::step::LIMITS;
use domain::limits::desk::draw::Pool;
use domain::limits::desk::fleet::Fleet;
use domain::limits::desk::shares::{Present, Shares};
use domain::limits::share::{Draw, Need};
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Life = u32;

/// What happened, so that a world in which nothing did proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) raised: u64,
    pub(crate) lowered: u64,
    pub(crate) drawn: u64,
    pub(crate) seated_alone: u64,
    pub(crate) seated_together: u64,
    pub(crate) lapsed: u64,
}

pub(crate) struct Office {
    pub(crate) fleet: Fleet<Life>,
    pub(crate) is_heard: BTreeSet<Life>,
    pub(crate) counts: Counts,
    pub(crate) shares: Vec<Shares<Life>>,
    drawn: BTreeMap<(usize, u64), u64>,
    /// The fleet as it was at times, for transactions that read it before it changed.
    past: Vec<(Timestamp, Fleet<Life>)>,
    /// Who waits for others to be lowered, by limit.
    waiting: BTreeMap<usize, (Life, Need)>,
    /// How much of that had happened when the rows of a limit were last changed.
    changed: Vec<usize>,
    /// For how many minutes a word stands.
    stands_for: u64,
}

/// When a transaction read the clock, and when it commits.
#[derive(Clone, Copy)]
pub(crate) struct Transaction {
    pub(crate) begun: Timestamp,
    pub(crate) now: Timestamp,
}

impl Office {
    pub(crate) fn new(stands_for: u64) -> Self {
        Self {
            fleet: Fleet::default(),
            is_heard: BTreeSet::new(),
            counts: Counts::default(),
            shares: LIMITS.iter().map(|_| Shares::default()).collect(),
            drawn: BTreeMap::new(),
            past: Vec::new(),
            waiting: BTreeMap::new(),
            changed: vec![0; LIMITS.len()],
            stands_for,
        }
    }

    pub(crate) fn settle(&mut self, at: Transaction, is_heard: BTreeSet<Life>) {
        self.is_heard = is_heard;
        let (edition, members) = (self.fleet.seated.edition, self.fleet.members.len());
        self.fleet.settle(at.begun.minute(), &self.is_heard);
        if self.fleet.seated.edition != edition {
            self.counts.seated_alone += u64::from(self.fleet.seated.of == 1);
            self.counts.seated_together += u64::from(self.fleet.seated.of > 1);
        }
        self.counts.lapsed += u64::from(self.fleet.members.len() < members);
        self.remember(at.now);
    }

    /// What is to be said, and to whom.
    pub(crate) fn hear(
        &mut self,
        who: Life,
        word: ToDesk,
        at: Transaction,
    ) -> Vec<(Life, ToPlane)> {
        let minute = at.begun.minute();
        let stands_through = minute + self.stands_for;
        let words = match word {
            ToDesk::AskTime { sent } => vec![(who, ToPlane::Time { sent, at: at.now })],
            ToDesk::Hello { is_new } => {
                if is_new {
                    self.fleet.join(who, stands_through);
                }
                let word = match self.fleet.prolong(&who, minute, stands_through) {
                    Ok(()) => ToPlane::Placed(self.fleet.placed(&who)),
                    Err(_) => ToPlane::Ended,
                };
                vec![(who, word)]
            }
            ToDesk::Agree(acknowledged) => {
                self.fleet.agree(&who, acknowledged);
                Vec::new()
            }
            ToDesk::Declare(declared) => {
                self.fleet.declare(&who, declared);
                Vec::new()
            }
            ToDesk::Left { last_minute } => {
                self.fleet.leave(&who, last_minute);
                Vec::new()
            }
            ToDesk::Need { limit, need } => {
                self.waiting.insert(limit, (who, need));
                let raise = self.raise(who, limit, &need, at);
                raise.into_iter().chain(self.lower(who, limit, &need, at)).collect()
            }
            ToDesk::Holds { limit, holds } => {
                let fleet = self.fleet_at(at, self.changed[limit]);
                let present = Present { fleet: &fleet, now: minute, is_heard: &self.is_heard };
                self.shares[limit].answered(present, &who, holds);
                self.changed[limit] = self.past.len();
                self.counts.lowered += 1;
                let waiting = self.waiting.get(&limit).copied();
                let raise = waiting.and_then(|(who, need)| self.raise(who, limit, &need, at));
                raise.into_iter().collect()
            }
            ToDesk::Draw { limit, draw } => vec![(who, self.draw(who, limit, draw, at))],
        };
        self.remember(at.now);
        words
    }

    fn raise(
        &mut self,
        who: Life,
        limit: usize,
        need: &Need,
        at: Transaction,
    ) -> Option<(Life, ToPlane)> {
        let fleet = self.fleet_at(at, self.changed[limit]);
        let now = at.begun.minute();
        let present = Present { fleet: &fleet, now, is_heard: &self.is_heard };
        let told = self.shares[limit].raise(present, LIMITS[limit], &who, need)?;
        self.changed[limit] = self.past.len();
        self.counts.raised += 1;
        Some((who, ToPlane::Raise { limit, told }))
    }

    fn lower(
        &mut self,
        who: Life,
        limit: usize,
        need: &Need,
        at: Transaction,
    ) -> Vec<(Life, ToPlane)> {
        let fleet = self.fleet_at(at, self.changed[limit]);
        let now = at.begun.minute();
        let present = Present { fleet: &fleet, now, is_heard: &self.is_heard };
        let lower = self.shares[limit].lower(present, LIMITS[limit], &who, need);
        lower.into_iter().map(|(who, lower)| (who, ToPlane::Lower { limit, lower })).collect()
    }

    fn draw(&mut self, who: Life, limit: usize, draw: Draw, at: Transaction) -> ToPlane {
        let Draw { id, minute, need } = draw;
        let fleet = self.fleet_at(at, 0);
        let size = fleet.pool(LIMITS[limit], minute, at.begun.minute(), &who);
        let used = self.drawn.entry((limit, minute)).or_default();
        let of = fleet.layout_in(minute).seat(&who).of;
        let pool = size.map(|size| Pool { limit: LIMITS[limit], size, used: *used, of });
        let amount = pool.and_then(|pool| pool.draw(need));
        *used += amount.unwrap_or(0);
        self.counts.drawn += amount.unwrap_or(0);
        ToPlane::Drew { limit, id, amount }
    }

    fn remember(&mut self, now: Timestamp) {
        if self.past.last().is_none_or(|(_, last)| *last != self.fleet) {
            self.past.push((now, self.fleet.clone()));
        }
    }

    /// The fleet as a transaction reads it half-way between its beginning and its end, or once it has its locks.
    fn fleet_at(&self, at: Transaction, locked: usize) -> Fleet<Life> {
        let read = at.begun.0.midpoint(at.now.0);
        let before = self.past.partition_point(|(at, _)| at.0 <= read).max(locked);
        let last = before.checked_sub(1).and_then(|index| self.past.get(index));
        last.map_or_else(Fleet::default, |(_, fleet)| fleet.clone())
    }
}
