//! The purse's other side: takes in what the control plane says, and every few seconds tells what changed and gives back
//! what lies idle. A release is durable before it is told.

use super::Purse;
use super::decision::Answer;
use super::slice::{Due, SharedSlice};
use domain::id::Account;
use domain::money::Nano;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use links::escrow::{Denial, EscrowLink, FromDataPlane, Grant, SliceReport, ToDataPlane};
use proto::usage::v1::SliceMark;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Releases on their way to the disk.
type Releases = FuturesUnordered<BoxFuture<'static, ()>>;

impl Purse {
    /// Keeps the slices until told to stop; then gives back what no request holds, if anyone listens, and returns once that was
    /// heard.
    pub async fn run(
        self,
        link: EscrowLink,
        mut messages: mpsc::Receiver<ToDataPlane>,
        token: CancellationToken,
    ) {
        if self.0.link.set(link).is_err() {
            tracing::error!("the purse is kept already");
            return;
        }
        let every = self.settings().report_every;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut releases = Releases::new();
        let mut is_draining = false;
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                () = self.0.draining.cancelled(), if !is_draining => {
                    is_draining = true;
                    releases.extend(self.tick(Instant::now()));
                }
                message = messages.recv() => match message {
                    Some(message) => releases.extend(self.take_in(message)),
                    None => break,
                },
                now = ticks.tick() => releases.extend(self.tick(now)),
                Some(()) = releases.next() => {}
            }
        }
        if self.is_connected() {
            releases
                .extend(self.0.slices.all().into_iter().filter_map(|slice| self.release(slice)));
        }
        while releases.next().await.is_some() {}
        self.say_farewell(messages).await;
    }

    /// Whether wants are heard at the moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.link.get().is_some_and(EscrowLink::is_connected)
    }

    fn take_in(&self, message: ToDataPlane) -> Option<BoxFuture<'static, ()>> {
        match message {
            ToDataPlane::Welcome(totals) => {
                totals.into_iter().for_each(|total| drop(self.learn(total)));
                self.0.was_welcomed.send_replace(true);
            }
            ToDataPlane::Grant(grant) => {
                let slice = self.learn(grant);
                self.answer(&slice, grant.want_id, Answer::Granted { free: grant.free });
            }
            ToDataPlane::Denial(Denial { want_id, account, reason, free }) => {
                let slice = self.0.slices.open(account);
                self.answer(&slice, want_id, Answer::Denied { reason, free });
            }
            ToDataPlane::Recall(account) => return self.recall(account),
            ToDataPlane::Billed(marks) => self.0.spool.trim(&marks),
            ToDataPlane::Resend(from) => {
                if let Some(resend) = self.0.resend.get() {
                    resend.ask(from);
                }
            }
            ToDataPlane::Disconnected => self.lose_all(),
        }
        None
    }

    /// Written down first, so that a restart finds no more spent than it knows was granted.
    fn learn(&self, grant: Grant) -> Arc<SharedSlice> {
        let slice = self.0.slices.open(grant.account);
        let mark = slice.lock().mark_with(grant.granted_total);
        if let Some(mark) = mark {
            if let Err(error) = self.0.spool.note_slice(&mark) {
                tracing::warn!(%error, "a grant was not written down; a restart learns it from the control plane");
            }
            slice.lock().learn(grant.granted_total);
        }
        slice
    }

    fn answer(&self, slice: &SharedSlice, want_id: u64, answer: Answer) {
        slice.lock().answer(want_id, answer, self.settings());
        slice.changed.notify_one();
    }

    fn lose_all(&self) {
        for slice in self.0.slices.all() {
            slice.lock().lose(self.settings());
            slice.changed.notify_one();
        }
    }

    /// Answered at once also when there is nothing to give: someone waits for the answer.
    fn recall(&self, account: Account) -> Option<BoxFuture<'static, ()>> {
        let slice = self.0.slices.open(account);
        let release = self.release(slice.clone());
        if release.is_none() {
            self.report(&[slice]);
        }
        release
    }

    fn tick(&self, now: Instant) -> Vec<BoxFuture<'static, ()>> {
        let mut releases = Vec::new();
        let mut changed = Vec::new();
        // While nobody listens the money stays: the next life may have to serve by it.
        let is_draining = self.0.draining.is_cancelled() && self.is_connected();
        for slice in self.0.slices.all() {
            let Due { release, has_news } = slice.lock().tick(now, self.settings(), is_draining);
            match release {
                Some(mark) => releases.push(self.clone().make_durable(slice, mark)),
                None if has_news => changed.push(slice),
                None => {}
            }
        }
        for slices in changed.chunks(self.settings().report_slices.max(1)) {
            self.report(slices);
        }
        releases
    }

    fn release(&self, slice: Arc<SharedSlice>) -> Option<BoxFuture<'static, ()>> {
        let mark = slice.lock().release()?;
        Some(self.clone().make_durable(slice, mark))
    }

    /// Syncs a release, and only then tells it.
    fn make_durable(self, slice: Arc<SharedSlice>, mark: SliceMark) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let durably = match self.0.spool.note_release(&mark).await {
                Ok(()) => Some(Nano::saturating(mark.released_nano.into())),
                Err(error) => {
                    tracing::warn!(%error, "a release was not written down; it is tried again");
                    None
                }
            };
            slice.lock().release_ended(durably);
            if durably.is_some() {
                self.report(&[slice]);
            }
        })
    }

    /// What does not arrive is told again at a later tick, or by the next Hello.
    fn report(&self, slices: &[Arc<SharedSlice>]) {
        let reports: Vec<SliceReport> = slices.iter().map(|slice| slice.lock().tell()).collect();
        let sent = self.0.link.get().map(|link| link.send(FromDataPlane::Report(reports)));
        if !matches!(sent, Some(Ok(()))) {
            slices.iter().for_each(|slice| slice.lock().not_told());
        }
    }
}
