//! One slice as the threads of a data plane share it: `domain::escrow::slice` behind a lock, with what is asked for it, who
//! waits for it, and what was told of it.

mod asking;

pub(super) use asking::Ask;

use self::asking::Asking;
use super::decision::Answer;
use super::settings::PurseSettings;
use super::stock::{Stock, UseNow};
use domain::escrow::slice::{Hold, Settled, Slice};
use domain::id::Account;
use domain::money::Nano;
use links::escrow::SliceReport;
use parking_lot::{Mutex, MutexGuard};
use proto::usage::v1::SliceMark;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A slice and the queue for it.
pub(super) struct SharedSlice {
    pub(super) account: Account,
    state: Mutex<SliceState>,
    /// Requests that have not begun pass it one by one before they may wait for a turn, so that of them never more than
    /// one is ahead of a stream that runs and has more to lose.
    pub(super) door: tokio::sync::Mutex<()>,
    /// Whose turn it is to ask: one request at a time, first come, first served.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Something changed for the request whose turn it is.
    pub(super) changed: Notify,
}

/// All that changes about a slice.
pub(super) struct SliceState {
    account: Account,
    slice: Slice,
    /// Of `slice.released()`, what is durable, so that it may be told.
    released_durably: Nano,
    releases_running: u32,
    holds: u64,
    waiting: u32,
    /// What those who wait want, together.
    waiting_for: Nano,
    /// The number of the last want that was sent; the first is 1.
    asked: u64,
    asking: Option<Asking>,
    answer: Option<(u64, Answer)>,
    stock: Stock,
    last_report: Option<SliceReport>,
}

/// What a round of the keeper finds to do for a slice.
#[derive(Default)]
pub(super) struct Due {
    pub(super) release: Option<SliceMark>,
    pub(super) has_news: bool,
}

impl SharedSlice {
    pub(super) fn new(account: Account, slice: Slice) -> Arc<Self> {
        let state = SliceState {
            account,
            slice,
            released_durably: slice.released(),
            releases_running: 0,
            holds: 0,
            waiting: 0,
            waiting_for: Nano::ZERO,
            asked: 0,
            asking: None,
            answer: None,
            stock: Stock::restored(slice.available()),
            last_report: None,
        };
        let (door, turn) = (tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(()));
        Arc::new(Self { account, state: Mutex::new(state), door, turn, changed: Notify::new() })
    }

    /// Never held across an await, and of two slices of one org the wallet's is always locked first.
    pub(super) fn lock(&self) -> MutexGuard<'_, SliceState> {
        self.state.lock()
    }
}

/// Holds.
impl SliceState {
    pub(super) fn available(&self) -> Nano {
        self.slice.available()
    }

    pub(super) const fn inflight(&self) -> Nano {
        self.slice.inflight()
    }

    pub(super) const fn holds(&self) -> u64 {
        self.holds
    }

    /// Whether a newcomer may take money at once: not before those who wait for it.
    pub(super) fn can_take(&self, amount: Nano) -> bool {
        self.waiting == 0 && amount <= self.slice.available()
    }

    pub(super) fn take(&mut self, amount: Nano) -> Option<Hold> {
        let hold = self.slice.hold(amount)?;
        self.holds = self.holds.saturating_add(1);
        self.stock.used();
        Some(hold)
    }

    pub(super) fn top_up(&mut self, hold: &mut Hold, amount: Nano) -> Result<(), Nano> {
        self.stock.used();
        self.slice.top_up(hold, amount)
    }

    pub(super) fn settle(&mut self, hold: Hold, cost: Nano) -> Settled {
        self.holds = self.holds.saturating_sub(1);
        self.slice.settle(hold, cost)
    }
}

/// Giving back and telling.
impl SliceState {
    /// Gives back what no request holds. The mark has to be durable before anyone is told; `release_ended` says so.
    pub(super) fn release(&mut self) -> Option<SliceMark> {
        let given = self.slice.release(self.available());
        self.stock.filled(self.available());
        given.is_positive().then(|| self.begin_release())
    }

    fn begin_release(&mut self) -> SliceMark {
        self.releases_running = self.releases_running.saturating_add(1);
        self.mark()
    }

    /// The release is durable up to that total, or (`None`) failed and is tried again at the next tick.
    pub(super) fn release_ended(&mut self, durably: Option<Nano>) {
        self.releases_running = self.releases_running.saturating_sub(1);
        self.released_durably = self.released_durably.max(durably.unwrap_or(Nano::ZERO));
    }

    /// Looks after the slice every few seconds: how fast it is used, whether it lies idle, whether there is news of it. While the
    /// purse is drained, a slice that no request needs counts as idle at once.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        settings: &PurseSettings,
        is_draining: bool,
    ) -> Due {
        let is_busy = self.is_waited_for() || self.inflight().is_positive();
        let use_now = UseNow { spent: self.slice.spent(), is_busy };
        let is_idle = self.stock.tick(now, use_now, settings);
        let is_owed = self.slice.released() > self.released_durably && self.releases_running == 0;
        let release = if is_owed {
            Some(self.begin_release())
        } else if is_idle || (is_draining && !use_now.is_busy) {
            self.release()
        } else {
            None
        };
        Due { release, has_news: self.last_report != Some(self.report()) }
    }

    /// What is told now.
    pub(super) fn tell(&mut self) -> SliceReport {
        let report = self.report();
        self.last_report = Some(report);
        report
    }

    /// It did not arrive.
    pub(super) const fn not_told(&mut self) {
        self.last_report = None;
    }

    fn report(&self) -> SliceReport {
        SliceReport {
            account: self.account,
            granted_seen: self.slice.granted(),
            released: self.released_durably,
            spent: self.slice.spent(),
            inflight: self.slice.inflight(),
        }
    }

    fn mark(&self) -> SliceMark {
        let (org_uid, key_uid) = self.account.uids();
        SliceMark {
            org_uid,
            key_uid,
            granted_nano: self.slice.granted().get(),
            released_nano: self.slice.released().get(),
            spent_nano: self.slice.spent().get(),
        }
    }
}
