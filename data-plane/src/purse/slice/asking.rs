//! Waiting for a slice, and asking for more of it: one want at a time, for all who wait.

use super::SliceState;
use crate::purse::HoldRefused;
use crate::purse::decision::{Answer, Decision, Demand, Standing, decide, last_resort};
use crate::purse::settings::PurseSettings;
use domain::money::Nano;
use proto::usage::v1::SliceMark;
use tokio::time::Instant;

/// A want without an answer.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    want_id: u64,
    number: u64,
    is_renewal: bool,
    /// From then on no answer is expected: the control plane could not serve it.
    until: Instant,
    /// What would be granted in all if it got what it wants.
    hoped: Nano,
}

/// A want to be sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::purse) struct Ask {
    pub(in crate::purse) need: Nano,
    pub(in crate::purse) want: Nano,
    pub(in crate::purse) granted_seen: Nano,
}

/// What is asked for, and why.
struct Asked {
    need: Nano,
    want: Nano,
    is_renewal: bool,
}

impl SliceState {
    pub(in crate::purse) const fn is_waited_for(&self) -> bool {
        self.waiting > 0
    }

    /// Joins the queue. Returns the number of the last want sent before: what is answered to it says nothing to a newcomer.
    pub(in crate::purse) fn join(&mut self, wanted: Nano) -> u64 {
        self.waiting = self.waiting.saturating_add(1);
        self.waiting_for = self.waiting_for.saturating_plus(wanted);
        self.stock.missed(wanted);
        self.asked
    }

    pub(in crate::purse) fn leave(&mut self, wanted: Nano) {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_for = self.waiting_for.saturating_minus(wanted).or_zero();
    }

    /// What the request whose turn it is does next. Answers to wants up to number `after` do not count for it.
    pub(in crate::purse) fn decide(&self, demand: Demand<'_>, after: u64) -> Decision {
        let answer = self.answer_since(after);
        let standing = Standing { available: self.available(), inflight: self.inflight() };
        decide(standing, demand, answer)
    }

    fn answer_since(&self, after: u64) -> Option<Answer> {
        self.answer.filter(|(number, _)| *number > after).map(|(_, answer)| answer)
    }

    /// What a request is told that may ask no more: others took what there was, or nobody answers.
    pub(in crate::purse) fn after_all_rounds(&self, after: u64) -> HoldRefused {
        match self.answer_since(after) {
            Some(_) => HoldRefused::InFlight,
            None => HoldRefused::Unreachable,
        }
    }

    pub(in crate::purse) fn last_resort(&self, demand: Demand<'_>) -> Option<Nano> {
        last_resort(self.available(), demand)
    }

    /// Until when an answer may come, if one is under way.
    pub(in crate::purse) fn answer_due(&self) -> Option<Instant> {
        self.asking.map(|asking| asking.until).filter(|until| Instant::now() < *until)
    }

    /// The number of the last want that was sent.
    pub(in crate::purse) const fn asked(&self) -> u64 {
        self.asked
    }

    /// Prepares a want for those who wait.
    pub(in crate::purse) fn ask(
        &mut self,
        want_id: u64,
        need: Nano,
        settings: &PurseSettings,
    ) -> Ask {
        let short = self.short_of_stock(settings);
        self.begin(want_id, Asked { need, want: short.max(need), is_renewal: false }, settings)
    }

    /// Whether to ask ahead of need: nobody waits, nothing is asked for, and too little is left.
    pub(in crate::purse) fn is_renewal_due(&self, settings: &PurseSettings) -> bool {
        self.stock.is_low(self.available(), settings)
            && self.answer_due().is_none()
            && !self.is_waited_for()
            && !self.stock.is_paused()
    }

    /// Prepares a want ahead of need.
    pub(in crate::purse) fn renew(&mut self, want_id: u64, settings: &PurseSettings) -> Ask {
        let want = self.short_of_stock(settings);
        self.begin(want_id, Asked { need: Nano::ZERO, want, is_renewal: true }, settings)
    }

    fn short_of_stock(&self, settings: &PurseSettings) -> Nano {
        let stock = self.stock.wanted(self.inflight(), settings).saturating_plus(self.waiting_for);
        stock.saturating_minus(self.available()).or_zero().min(settings.want_max)
    }

    fn begin(&mut self, want_id: u64, asked: Asked, settings: &PurseSettings) -> Ask {
        let Asked { need, want, is_renewal } = asked;
        self.asked = self.asked.saturating_add(1);
        let granted_seen = self.slice.granted();
        let hoped = granted_seen.saturating_plus(want);
        let until = Instant::now() + settings.answer_within;
        self.asking = Some(Asking { want_id, number: self.asked, is_renewal, until, hoped });
        Ask { need, want, granted_seen }
    }

    /// The want could not be sent, or its connection broke: whoever waits is told so.
    pub(in crate::purse) fn lose(&mut self, settings: &PurseSettings) {
        if let Some(asking) = self.asking.take() {
            self.answer = Some((asking.number, Answer::Lost));
            self.stock.pause(settings);
        }
    }

    /// Takes in the answer to a want; to one of an earlier connection only `learn` listens.
    pub(in crate::purse) fn answer(
        &mut self,
        want_id: u64,
        answer: Answer,
        settings: &PurseSettings,
    ) {
        let Some(asking) = self.asking.filter(|asking| asking.want_id == want_id) else {
            return;
        };
        self.asking = None;
        self.answer = Some((asking.number, answer));
        if asking.is_renewal && self.slice.granted() < asking.hoped {
            self.stock.pause(settings);
        }
    }

    /// What will be written down when this total is learned; `None` if it is no news.
    pub(in crate::purse) fn mark_with(&self, granted_total: Nano) -> Option<SliceMark> {
        let is_news = granted_total > self.slice.granted();
        is_news.then(|| SliceMark { granted_nano: granted_total.get(), ..self.mark() })
    }

    pub(in crate::purse) fn learn(&mut self, granted_total: Nano) {
        if self.slice.learn_granted(granted_total) {
            self.stock.filled(self.slice.available());
        }
    }
}
