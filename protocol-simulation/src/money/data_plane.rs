//! A data plane: the real spool and the real slices, and round them what their owner does: requests, releases, reports.

mod keeping;
mod records;
mod requests;

use self::records::{close_interrupted, image, settings};
use self::requests::Request;
use super::common::Common;
use super::database::{Holder, name};
use super::disk::{self, Cut};
use super::message::{Alarm, Message};
use super::written::{Image, Record, Written};
use crate::chance::Chance;
use crate::invariant::Invariant::{M3, X6};
use crate::mutant::Mutant;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::escrow::office::Told;
use domain::escrow::slice::Slice;
use domain::id::{Account, Partition};
use domain::money::Nano;
use links::spool::{Spool, SpoolReader};
use std::collections::BTreeMap;
use std::io;
use tempfile::TempDir;

pub(super) struct DataPlane {
    number: usize,
    home: TempDir,
    /// How many lives its spools had.
    lives: u64,
    left: Left,
    running: Option<Running>,
    chance: Chance,
    /// Lives whose disk was lost, with what was written.
    pub(super) lost: Vec<(Holder, Image)>,
}

/// What a process that ended has left.
#[derive(Default)]
struct Left {
    written: Written,
    billed: BTreeMap<Partition, u64>,
    /// So many records that were not synced must be there all the same: nothing but a power cut takes them.
    surviving: usize,
}

/// How long appends wait for their sync: longer than in the product, so that a power cut finds some that do.
const SYNC: Time = 40 * MILLISECOND;

/// A process.
pub(super) struct Running {
    node: Node,
    pub(super) holder: Holder,
    pub(super) written: Written,
    billed: BTreeMap<Partition, u64>,
    spool: Spool,
    reader: SpoolReader,
    purses: BTreeMap<Account, Purse>,
    requests: BTreeMap<usize, Request>,
    office: usize,
    heard: Time,
    is_sync_due: bool,
    releasing: Vec<(Account, Nano)>,
    unbilled_before: u64,
}

struct Purse {
    slice: Slice,
    released_durably: Nano,
    used: Time,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Kill,
    PowerCut,
    DiskLost,
}

impl DataPlane {
    pub(super) fn new(number: usize, seed: u64) -> io::Result<Self> {
        Ok(Self {
            number,
            home: disk::fresh()?,
            lives: 0,
            left: Left::default(),
            running: None,
            chance: Chance::new(seed, &format!("disk of {number}")),
            lost: Vec::new(),
        })
    }

    pub(super) const fn running(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    pub(super) fn holder(&self) -> Option<Holder> {
        self.running.as_ref().map(|running| running.holder)
    }

    /// Whether there is anything that a power cut could take.
    pub(super) fn has_unsynced(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.written.unsynced() > 0)
    }

    /// What its spool has, or had when it ended.
    pub(super) fn written(&self) -> &Written {
        self.running.as_ref().map_or(&self.left.written, |running| &running.written)
    }

    pub(super) fn crash(&mut self, how: Crash, common: &mut Common) -> io::Result<()> {
        let Some(Running { holder, written, billed, spool, reader, requests, .. }) =
            self.running.take()
        else {
            return Ok(());
        };
        drop((spool, reader, requests));
        let surviving = if how == Crash::Kill { written.unsynced() } else { 0 };
        self.left = Left { written, billed, surviving };
        match how {
            Crash::Kill => common.seen.note("kill"),
            Crash::PowerCut => {
                let is_lying = common.is(Mutant::SyncedLost);
                let cut = disk::cut_power(self.home.path(), &mut self.chance, is_lying)?;
                common.tell(|| format!("the power cut of {holder:?} leaves {cut:?}"));
                if cut != Cut::Nothing {
                    common.seen.note("power cut");
                }
                if cut == Cut::Torn {
                    common.seen.note("torn write");
                }
                if common.is(Mutant::TornFrameAccepted) {
                    disk::forge(self.home.path())?;
                }
            }
            Crash::DiskLost => {
                common.seen.note("disk lost");
                self.home = disk::fresh()?;
                let mut left = std::mem::take(&mut self.left);
                left.written.sync();
                self.lost.push((holder, left.written.synced));
            }
        }
        Ok(())
    }

    /// Starts a process over what the one before has left.
    pub(super) fn boot(&mut self, common: &mut Common) {
        let Left { mut written, billed, surviving } = std::mem::take(&mut self.left);
        let incarnation = self.number as u64 * 1_000 + self.lives + 1;
        let opened = Spool::open(settings(self.home.path(), incarnation), &name(self.number));
        let (spool, mut recovered) = match opened {
            Ok(opened) => opened,
            Err(error) => return common.violated(X6, error.to_string()),
        };
        self.lives += u64::from(recovered.incarnation == incarnation);
        let holder = Holder { data_plane: self.number, incarnation: recovered.incarnation };
        let damaged: Vec<_> = recovered.damaged.iter().map(|of| (of.offset, of.reason)).collect();
        let missing = &recovered.missing;
        common.claim(X6, damaged.is_empty() && missing.is_empty(), || {
            format!("{damaged:?} {missing:?}")
        });
        let found = image(&spool, &recovered);
        let survived = written.survived(&found, &billed).filter(|of| *of >= surviving);
        common.claim(X6, survived.is_some(), || {
            format!("{holder:?} has written {written:?}, and found is {found:?}")
        });
        written.keep(survived.unwrap_or_default());
        common.tell(|| format!("{holder:?} starts with {found:?}"));
        let open = std::mem::take(&mut recovered.open);
        close_interrupted(open, &mut written, common);
        let mut running = Running::new(holder, spool, written, billed);
        running.restore(common);
        self.running = Some(running);
    }
}

impl Running {
    fn new(
        holder: Holder,
        spool: Spool,
        written: Written,
        billed: BTreeMap<Partition, u64>,
    ) -> Self {
        Self {
            node: Node::DataPlane(holder.data_plane),
            holder,
            written,
            billed,
            reader: spool.reader(),
            spool,
            purses: BTreeMap::new(),
            requests: BTreeMap::new(),
            office: 0,
            heard: 0,
            is_sync_due: false,
            releasing: Vec::new(),
            unbilled_before: 0,
        }
    }

    /// The slices as the spool tells them, and the first things to do.
    fn restore(&mut self, common: &mut Common) {
        self.note_durable(common);
        let mut written = self.written.clone();
        written.sync();
        for (account, (granted, released, spent)) in written.synced.slices {
            let slice = Slice::restored(nano(granted), nano(released), nano(spent));
            let purse = Purse { slice, released_durably: slice.released(), used: common.now() };
            self.purses.insert(account, purse);
        }
        self.sync_soon(common);
        common.alarm(self.node, 400 * MILLISECOND, Alarm::Report);
        common.alarm(self.node, SECOND, Alarm::Resend);
        self.connect(self.holder.data_plane % super::plan::OFFICES, common);
    }

    /// Says Hello to a control plane.
    pub(super) fn connect(&mut self, office: usize, common: &mut Common) {
        self.office = office;
        self.heard = common.now();
        self.say(Message::Hello(self.holder, self.told()), common);
    }

    fn say(&self, message: Message, common: &mut Common) {
        common.send(self.node, Node::Office(self.office), message);
    }

    fn told(&self) -> Vec<(Account, Told)> {
        let told = |(account, purse): (&Account, &Purse)| {
            let granted_seen = purse.slice.granted();
            (*account, Told { granted_seen, released: purse.released_durably })
        };
        self.purses.iter().map(told).collect()
    }

    pub(super) fn take(&mut self, message: Message, common: &mut Common) {
        match message {
            Message::Welcome(holder, totals) if holder == self.holder => {
                self.heard = common.now();
                if common.is(Mutant::WelcomeIgnored) {
                    return;
                }
                for (account, total) in totals {
                    self.learn(account, total, common);
                    self.start_waiting(account, common);
                }
            }
            Message::Grant(holder, account, total) if holder == self.holder => {
                self.heard = common.now();
                self.learn(account, total, common);
                self.start_waiting(account, common);
            }
            Message::Denial(holder, account) if holder == self.holder => {
                self.refuse_waiting(account, common);
            }
            Message::Recall(holder, account) if holder == self.holder => {
                common.seen.note("recalled");
                if !self.release(account, common) {
                    self.say(Message::Report(self.holder, self.told()), common);
                }
            }
            Message::Billed(holder, marks) if holder == self.holder => {
                self.heard = common.now();
                self.trim(&marks, common);
            }
            Message::Acknowledged(events) if common.is(Mutant::TrimOnTopicAck) => {
                let own = events.iter().filter(|of| of.incarnation == self.holder.incarnation);
                let marks: Vec<_> = own.map(|of| (Partition(of.partition), of.seq + 1)).collect();
                self.trim(&marks, common);
            }
            _ => {}
        }
    }

    pub(super) fn wake(&mut self, alarm: Alarm, common: &mut Common) {
        match alarm {
            Alarm::Sync => self.sync(common),
            Alarm::Report => self.report(common),
            Alarm::Resend => self.resend(common),
            Alarm::Meter(number) => self.meter(number, common),
            Alarm::GiveUp(number) => self.give_up(number, common),
            Alarm::Round | Alarm::Poll => {}
        }
    }

    fn purse(&mut self, account: Account) -> &mut Purse {
        let empty =
            Purse { slice: Slice::default(), released_durably: Nano::ZERO, used: Time::default() };
        self.purses.entry(account).or_insert(empty)
    }

    /// Writes down and notes beside it.
    fn append(&mut self, record: Record, common: &mut Common) {
        self.written.append(record);
        self.sync_soon(common);
    }

    fn sync_soon(&mut self, common: &mut Common) {
        if !std::mem::replace(&mut self.is_sync_due, true) {
            common.alarm(self.node, SYNC, Alarm::Sync);
        }
    }

    pub(super) fn check(&self, common: &mut Common) {
        for (account, Purse { slice, .. }) in &self.purses {
            let held = self.requests.values().filter_map(|request| request.held(*account));
            let held = held.fold(Nano::ZERO, Nano::saturating_plus);
            let used = [slice.released(), slice.spent(), slice.inflight()];
            let used = used.into_iter().fold(Nano::ZERO, Nano::saturating_plus);
            let granted = common.truth.granted.get(&(*account, self.holder)).copied();
            let is_sound = used <= slice.granted()
                && held == slice.inflight()
                && slice.granted() <= granted.unwrap_or_default();
            common.claim(M3, is_sound, || {
                format!(
                    "{:?} {account:?}: {slice:?}, holds {held}, granted {granted:?}",
                    self.holder
                )
            });
        }
    }
}

pub(super) fn nano(amount: i64) -> Nano {
    Nano::saturating(amount.into())
}
