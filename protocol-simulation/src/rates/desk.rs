//! The desk of the world of rates: what it hears takes its time, and may be looked at with a clock that was read before.

use super::office::{Life, Transaction};
use super::plan::MINUTE;
use super::plane::{ToDesk, ToPlane};
use super::{Event, HEARD, START, World};
use crate::mutant::Mutant;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::limits::share::{Holds, Told};
use domain::time::Timestamp;
use std::collections::BTreeSet;

impl World {
    pub(super) fn hear(&mut self, life: Life, word: ToDesk) {
        let begun = self.schedule.now();
        self.heard.insert(life, begun);
        let is_slow = self.chance.percent(4);
        let most = if is_slow { 50 * SECOND } else { 20 * MILLISECOND };
        let delay = self.chance.between(MILLISECOND, most);
        self.schedule.after(delay, Event::Served(life, word, begun));
    }

    pub(super) fn serve(&mut self, life: Life, word: ToDesk, begun: Time) {
        let now = self.schedule.now();
        // A transaction that takes a minute is ended by the database.
        if now - begun >= MINUTE {
            return;
        }
        let at = Transaction { begun: Timestamp(START + begun), now: self.now() };
        let words = self.office.hear(life, word, at);
        for (to, word) in words {
            if let ToPlane::Lower { limit, lower } = word
                && self.is(Mutant::RaisedBeforeLowered)
            {
                let share = lower.least;
                let (edition, turn) = (lower.edition, lower.turn);
                let holds = Holds { edition, turn, share, demand: 0 };
                let taken = self.office.hear(to, ToDesk::Holds { limit, holds }, at);
                taken.into_iter().for_each(|(to, word)| self.send_down(to, word));
            }
            let bent = self.bent(to, word);
            self.send_down(to, bent);
        }
    }

    /// What a mutant makes of what is told.
    fn bent(&self, life: Life, word: ToPlane) -> ToPlane {
        match word {
            ToPlane::Time { sent, at } if self.is(Mutant::ClocksOfTheirOwn) => {
                let ahead = u64::from(life % 2) * 40 * SECOND;
                ToPlane::Time { sent, at: Timestamp(at.0 + ahead) }
            }
            ToPlane::Raise { limit, told } if self.is(Mutant::RaisedToAll) => {
                ToPlane::Raise { limit, told: Told { share: told.of, ..told } }
            }
            word => word,
        }
    }

    fn send_down(&mut self, life: Life, word: ToPlane) {
        let Some(number) = self.number(life) else { return };
        let now = self.schedule.now();
        let (from, to) = (Node::Office(0), Node::DataPlane(number));
        for delay in self.network.carry(from, to, now, &mut self.seen) {
            self.schedule.after(delay, Event::Told(life, word));
        }
    }

    pub(super) fn settle(&mut self) {
        let now = self.schedule.now();
        let is_heard = |at: &Time| now.saturating_sub(*at) < HEARD;
        let heard: BTreeSet<Life> =
            self.heard.iter().filter(|(_, at)| is_heard(at)).map(|(life, _)| *life).collect();
        let minute = self.now().minute();
        if self.is(Mutant::SilentAreGone) {
            let silent: Vec<Life> = self
                .office
                .fleet
                .members
                .keys()
                .filter(|of| !heard.contains(of))
                .copied()
                .collect();
            silent.iter().for_each(|life| self.office.fleet.leave(life, minute - 1));
        }
        let at = Transaction { begun: self.now(), now: self.now() };
        self.office.settle(at, heard);
    }
}
