//! Requests: each holds money before it begins, more before it goes on, and ends in one event.

use super::records::{admitted, ended, event, progress};
use super::{Running, nano};
use crate::invariant::Invariant::M4;
use crate::money::common::Common;
use crate::money::message::{Alarm, Message, Script, Want};
use crate::money::written::Record;
use crate::mutant::Mutant;
use crate::schedule::MILLISECOND;
use domain::escrow::slice::Hold;
use domain::escrow::wallet::Ask;
use domain::id::Account;
use domain::money::Nano;
use links::spool::Ticket;

pub(super) struct Request {
    script: Script,
    /// The next part.
    part: usize,
    metered: i64,
    /// `None` as long as it waits for money.
    admission: Option<(Hold, Ticket)>,
}

impl Request {
    pub(super) fn held(&self, account: Account) -> Option<Nano> {
        let (hold, _) = self.admission.as_ref()?;
        (wallet(&self.script) == account).then(|| hold.amount())
    }
}

fn wallet(script: &Script) -> Account {
    Account::from_uids(script.org, 0)
}

impl Running {
    pub(crate) fn begin(&mut self, number: usize, script: Script, common: &mut Common) {
        let (account, hold) = (wallet(&script), nano(script.hold));
        let request = Request { script, part: 0, metered: 0, admission: None };
        self.requests.insert(number, request);
        if !self.start(number, common) {
            self.want(account, hold, common);
            common.alarm(self.node, 400 * MILLISECOND, Alarm::GiveUp(number));
        }
    }

    /// Asks for what lacks of an amount.
    fn want(&mut self, account: Account, amount: Nano, common: &mut Common) {
        let slice = self.purse(account).slice;
        let need = amount.saturating_minus(slice.available());
        let ask = Ask { need, want: need.saturating_plus(need) };
        let granted_seen = slice.granted();
        self.say(Message::Want(Want { holder: self.holder, account, ask, granted_seen }), common);
    }

    /// Begins it if the money is there.
    fn start(&mut self, number: usize, common: &mut Common) -> bool {
        let Some(request) = self.requests.get(&number) else { return false };
        let (script, account) = (request.script.clone(), wallet(&request.script));
        let now = common.now();
        let purse = self.purse(account);
        purse.used = now;
        let missing = nano(script.hold).saturating_minus(purse.slice.available());
        if missing.is_positive() && common.is(Mutant::HoldBeyondSlice) {
            purse.slice.learn_granted(purse.slice.granted().saturating_plus(missing));
        }
        let Some(hold) = purse.slice.hold(nano(script.hold)) else { return false };
        let admitted = admitted(number, &script);
        let Ok(ticket) = self.spool.admit(&admitted) else {
            self.purse(account).slice.settle(hold, Nano::ZERO);
            return false;
        };
        self.append(Record::Admitted(admitted.request_id), common);
        if let Some(request) = self.requests.get_mut(&number) {
            request.admission = Some((hold, ticket));
        }
        common.truth.served.insert(number);
        common.alarm(self.node, script.pace, Alarm::Meter(number));
        true
    }

    /// Money has come: those who wait for it begin, in their order.
    pub(super) fn start_waiting(&mut self, account: Account, common: &mut Common) {
        for number in self.waiting(account) {
            self.start(number, common);
        }
    }

    fn waiting(&self, account: Account) -> Vec<usize> {
        let waits = |of: &Request| of.admission.is_none() && wallet(&of.script) == account;
        self.requests.iter().filter(|(_, of)| waits(of)).map(|(number, _)| *number).collect()
    }

    pub(super) fn is_used(&self, account: Account) -> bool {
        self.requests.values().any(|of| wallet(&of.script) == account)
    }

    pub(super) fn refuse_waiting(&mut self, account: Account, common: &mut Common) {
        for number in self.waiting(account) {
            self.give_up(number, common);
        }
    }

    pub(super) fn give_up(&mut self, number: usize, common: &mut Common) {
        if self.requests.get(&number).is_some_and(|of| of.admission.is_none()) {
            self.requests.remove(&number);
            common.truth.refused.insert(number);
            common.seen.note("refused");
        }
    }

    /// One part further, if it is covered; else it ends where it is.
    pub(super) fn meter(&mut self, number: usize, common: &mut Common) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        let Some(next) = request.script.parts.get(request.part).copied() else {
            return self.end(number, common);
        };
        let Some((hold, ticket)) = &mut request.admission else { return };
        let account = wallet(&request.script);
        let missing = nano(request.metered + next).saturating_minus(hold.amount());
        if missing.is_positive() {
            let Some(purse) = self.purses.get_mut(&account) else { return };
            if purse.slice.top_up(hold, missing).is_err() {
                common.seen.note("ended for want of money");
                self.want(account, missing, common);
                return self.end(number, common);
            }
            let record = progress(number, hold.amount().get(), request.metered);
            if ticket.progress(&record).is_ok() {
                let (request_id, metered) = (record.request_id, request.metered);
                self.written.append(Record::Progress { request_id, metered });
            }
        }
        request.metered += next;
        request.part += 1;
        let pace = request.script.pace;
        self.sync_soon(common);
        common.alarm(self.node, pace, Alarm::Meter(number));
    }

    /// Settles the hold, and writes the one event.
    fn end(&mut self, number: usize, common: &mut Common) {
        let Some(Request { script, metered, admission, .. }) = self.requests.remove(&number) else {
            return;
        };
        let Some((hold, ticket)) = admission else { return };
        let now = common.now();
        let purse = self.purse(wallet(&script));
        purse.used = now;
        let within = hold.amount().saturating_plus(purse.slice.available());
        let cost = metered + script.overrun;
        let settled = purse.slice.settle(hold, nano(cost));
        let charge = match common.is(Mutant::ChargeBeyondHold) {
            true => nano(cost),
            false => settled.charged,
        };
        if settled.uncollected.is_positive() {
            common.seen.note("cost beyond the hold");
        }
        common.claim(M4, charge <= within, || {
            format!("request {number} is charged {charge}, and had {within}")
        });
        let event = event(number, &script, charge.get(), settled.uncollected.get());
        if let Ok(id) = ticket.finish(event.clone()) {
            let at = (id.partition, id.seq);
            self.append(Record::Ended { at, ended: ended(&event) }, common);
        }
        common.tell(|| format!("request {number} ends on {:?}, charged {charge}", self.holder));
    }
}
