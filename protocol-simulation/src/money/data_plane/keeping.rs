//! What a data plane does beside its requests: learns, gives back, syncs, tells, ships, and forgets what is billed.

use super::records::mark;
use super::{Purse, Running};
use crate::invariant::Invariant::X5;
use crate::money::common::Common;
use crate::money::database::EventKey;
use crate::money::message::{Alarm, Message};
use crate::money::plan::OFFICES;
use crate::money::written::Record;
use crate::mutant::Mutant;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::id::{Account, Partition};
use domain::money::Nano;
use futures::FutureExt;

/// What nobody used for so long is given back.
const IDLE: Time = 700 * MILLISECOND;
/// Who hears nothing for so long looks for another control plane.
const SILENCE: Time = 1_200 * MILLISECOND;

impl Running {
    /// Written down first, so that a restart finds no more spent than it knows was granted.
    pub(super) fn learn(&mut self, account: Account, total: Nano, common: &mut Common) {
        let released = self.purse(account).slice.released();
        if total > self.purse(account).slice.granted() {
            self.note(account, total, released, common);
            self.purse(account).slice.learn_granted(total);
        }
    }

    fn note(&mut self, account: Account, granted: Nano, released: Nano, common: &mut Common) {
        let (granted, released) = (granted.get(), released.get());
        if self.spool.note_slice(&mark(account, granted, released)).is_ok() {
            self.append(Record::Slice { account, granted, released }, common);
        }
    }

    /// Gives back what no request holds. It is told once it is synced. Returns whether there was anything.
    pub(super) fn release(&mut self, account: Account, common: &mut Common) -> bool {
        let Purse { slice, .. } = self.purse(account);
        let available = slice.available();
        if !slice.release(available).is_positive() {
            return false;
        }
        let (granted, released) = (slice.granted(), slice.released());
        self.note(account, granted, released, common);
        self.releasing.push((account, released));
        if common.is(Mutant::ToldBeforeSynced) {
            self.purse(account).released_durably = released;
            self.say(Message::Report(self.holder, self.told()), common);
        }
        true
    }

    pub(super) fn sync(&mut self, common: &mut Common) {
        self.is_sync_due = false;
        if !matches!(self.spool.flush().now_or_never(), Some(Ok(()))) {
            return self.sync_soon(common);
        }
        self.written.sync();
        self.note_durable(common);
        let releasing = std::mem::take(&mut self.releasing);
        let has_news = !releasing.is_empty();
        for (account, released) in releasing {
            let purse = self.purse(account);
            purse.released_durably = purse.released_durably.max(released);
        }
        if has_news {
            self.say(Message::Report(self.holder, self.told()), common);
        }
        self.ship(common);
    }

    /// What was given back and no crash takes back.
    pub(super) fn note_durable(&self, common: &mut Common) {
        for (account, (_, released, _)) in &self.written.synced.slices {
            common.truth.released.insert((*account, self.holder), super::nano(*released));
        }
    }

    pub(super) fn report(&mut self, common: &mut Common) {
        common.alarm(self.node, 400 * MILLISECOND, Alarm::Report);
        let accounts: Vec<Account> = self.purses.keys().copied().collect();
        for account in accounts {
            let is_idle = self.purse(account).used + IDLE < common.now() && !self.is_used(account);
            if is_idle {
                self.release(account, common);
            }
        }
        if self.heard + SILENCE < common.now() {
            common.seen.note("another control plane");
            return self.connect((self.office + 1) % OFFICES, common);
        }
        self.say(Message::Report(self.holder, self.told()), common);
    }

    fn ship(&mut self, common: &mut Common) {
        while let Some(Ok(batch)) = self.reader.next_batch(4).now_or_never() {
            common.send(self.node, Node::Topic, Message::Produce(batch));
        }
    }

    /// What is not billed although it was shipped long ago may be lost, whoever says what.
    pub(super) fn resend(&mut self, common: &mut Common) {
        common.alarm(self.node, SECOND, Alarm::Resend);
        let unbilled = self.spool.status().unbilled_events;
        if unbilled > 0 && unbilled >= self.unbilled_before {
            common.seen.note("sent again");
            self.reader.rewind();
            self.ship(common);
        }
        self.unbilled_before = unbilled;
    }

    pub(super) fn trim(&mut self, marks: &[(Partition, u64)], common: &mut Common) {
        for (partition, next) in marks {
            let from = self.billed.get(partition).copied().unwrap_or(1);
            for seq in from..*next {
                let key = EventKey { holder: self.holder, partition: *partition, seq };
                let is_counted = common.truth.counted.contains(&key);
                common.claim(X5, is_counted, || format!("{key:?} is forgotten"));
            }
            let billed = self.billed.entry(*partition).or_insert(1);
            *billed = (*next).max(*billed);
        }
        let before = self.spool.status().bytes;
        self.spool.trim(marks);
        if self.spool.status().bytes < before {
            common.seen.note("spool file removed");
        }
    }
}
