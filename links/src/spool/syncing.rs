//! The thread that syncs what was appended, in groups, and preallocates ahead of need.
//!
//! A failed sync is never tried again on that file, because the kernel may have dropped what it could not write: what
//! was not synced is written again to a new file, and nothing is admitted until that one has been synced.

use super::files::{self, failed};
use super::frame;
use super::log::Log;
use super::{SpoolError, Upkeep};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the thread looks for appends of itself after it had something to do, so that under load nobody has to wake it.
const LINGER: Duration = Duration::from_secs(1);

/// What waiters and readers are woken by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyncPoint {
    /// How many appends are synced.
    pub(super) synced: u64,
    /// How many syncs have failed.
    pub(super) failures: u64,
    /// Nothing more will be synced.
    pub(super) is_closed: bool,
}

/// The log, and what its threads tell each other.
#[derive(Debug)]
pub(super) struct Shared {
    log: Mutex<Guarded>,
    wake: Condvar,
    directory: File,
    pub(super) point: watch::Sender<SyncPoint>,
}

#[derive(Debug)]
struct Guarded {
    log: Log,
    /// Somebody waits for the next sync.
    is_urgent: bool,
    is_stopping: bool,
    /// The thread looks at nothing until it is woken.
    is_resting: bool,
}

impl Guarded {
    fn is_called(&self) -> bool {
        self.is_urgent || self.is_stopping
    }
}

/// What one round of the thread has to do.
#[derive(Debug)]
struct Round {
    files: Vec<Unsynced>,
    is_directory_dirty: bool,
    appended: u64,
    ends_bytes: usize,
    spare_bytes: Option<u64>,
    is_last: bool,
}

#[derive(Debug)]
struct Unsynced {
    number: u64,
    path: PathBuf,
    file: Arc<File>,
    end: u64,
}

impl Shared {
    pub(super) fn new(log: Log, directory: File) -> Self {
        let synced = log.appended;
        let point = SyncPoint { synced, ..SyncPoint::default() };
        Self {
            log: Mutex::new(Guarded {
                log,
                is_urgent: false,
                is_stopping: false,
                is_resting: false,
            }),
            wake: Condvar::new(),
            directory,
            point: watch::Sender::new(point),
        }
    }

    /// Does something under the lock, and wakes the thread if that gave it something to do.
    pub(super) fn with<T>(&self, action: impl FnOnce(&mut Log) -> T) -> T {
        let mut guarded = self.log.lock();
        let before = guarded.log.patience();
        let outcome = action(&mut guarded.log);
        let after = guarded.log.patience();
        let is_soon = after.is_some_and(|after| after < guarded.log.settings.sync_interval);
        let wakes = after != before && (guarded.is_resting || is_soon);
        drop(guarded);
        if wakes {
            self.wake.notify_one();
        }
        outcome
    }

    /// Returns when the append of that number is synced.
    pub(super) async fn synced(&self, append: u64) -> Result<(), SpoolError> {
        let mut point = self.point.subscribe();
        let failures = point.borrow().failures;
        self.call();
        let reached = point
            .wait_for(|now| now.synced >= append || now.failures > failures || now.is_closed)
            .await
            .map_err(|_| SpoolError::Closed)?;
        if reached.synced >= append {
            return Ok(());
        }
        Err(if reached.failures > failures { SpoolError::Failing } else { SpoolError::Closed })
    }

    /// Asks the thread to sync now; where there is none, syncs in place.
    fn call(&self) {
        let mut guarded = self.log.lock();
        match guarded.log.settings.upkeep {
            Upkeep::Thread => {
                guarded.is_urgent = true;
                drop(guarded);
                self.wake.notify_one();
            }
            Upkeep::ByHand { .. } => {
                let is_last = guarded.is_stopping;
                let round = guarded.log.round(is_last);
                drop(guarded);
                self.take_round(&round);
            }
        }
    }

    /// Refuses everything from now on, and lets the thread sync once more and end.
    pub(super) fn stop(&self) {
        let mut guarded = self.log.lock();
        guarded.is_stopping = true;
        guarded.log.is_closed = true;
        drop(guarded);
        self.wake.notify_one();
    }

    /// What the thread runs.
    pub(super) fn run(&self) {
        loop {
            let round = self.next_round();
            self.take_round(&round);
            if round.is_last {
                return;
            }
        }
    }

    fn take_round(&self, round: &Round) {
        if let Err(error) = self.sync(round) {
            self.replace_unsynced(&error);
        }
        if let Some(length) = round.spare_bytes {
            self.add_spare(length);
        }
        if round.is_last {
            self.point.send_modify(|point| point.is_closed = true);
        }
    }

    /// Waits until something was appended, and then a little for others to join.
    fn next_round(&self) -> Round {
        let mut guarded = self.log.lock();
        let mut due = self.linger(&mut guarded);
        while !guarded.is_called() {
            let patience = guarded.log.patience();
            let Some(latest) = patience.and_then(|of| Instant::now().checked_add(of)) else {
                due = None;
                guarded.is_resting = true;
                self.wake.wait(&mut guarded);
                guarded.is_resting = false;
                continue;
            };
            let until = due.map_or(latest, |due| due.min(latest));
            due = Some(until);
            if self.wake.wait_until(&mut guarded, until).timed_out() {
                break;
            }
        }
        guarded.is_urgent = false;
        let is_last = guarded.is_stopping;
        guarded.log.round(is_last)
    }

    /// Looks for something to do every now and then. When that is due: it may have waited for as long as it may already.
    fn linger(&self, guarded: &mut MutexGuard<'_, Guarded>) -> Option<Instant> {
        let interval = guarded.log.settings.sync_interval;
        let began = Instant::now();
        while !guarded.is_called() && guarded.log.patience().is_none() && began.elapsed() < LINGER {
            let looked = Instant::now();
            self.wake.wait_for(guarded, interval);
            if guarded.log.patience().is_some() {
                return looked.checked_add(interval);
            }
        }
        None
    }

    fn sync(&self, round: &Round) -> Result<(), SpoolError> {
        if round.is_directory_dirty {
            let path = || self.with(|log| log.settings.directory.clone());
            self.directory.sync_all().map_err(|source| failed("sync", &path())(source))?;
        }
        for unsynced in &round.files {
            unsynced.file.sync_data().map_err(failed("sync", &unsynced.path))?;
        }
        self.with(|log| log.note_synced(round));
        round.files.iter().for_each(Unsynced::mark);
        self.point.send_modify(|point| point.synced = point.synced.max(round.appended));
        Ok(())
    }

    /// Goes on in new files until one can be synced.
    fn replace_unsynced(&self, error: &SpoolError) {
        self.note_failure(error);
        loop {
            let outcome = self
                .with(|log| log.replace_unsynced().map(|()| log.round(false)))
                .and_then(|round| self.sync(&round));
            let Err(error) = outcome else {
                tracing::warn!("the spool goes on in a new file, which has been synced");
                return;
            };
            self.note_failure(&error);
            let mut guarded = self.log.lock();
            let interval = guarded.log.settings.retry_interval;
            if guarded.is_stopping || self.wait_out(&mut guarded, interval) {
                return;
            }
        }
    }

    /// Returns whether the thread is to stop.
    fn wait_out(&self, guarded: &mut MutexGuard<'_, Guarded>, interval: Duration) -> bool {
        let due = Instant::now().checked_add(interval);
        while let Some(due) = due {
            if guarded.is_stopping || self.wake.wait_until(guarded, due).timed_out() {
                break;
            }
        }
        guarded.is_stopping
    }

    fn note_failure(&self, error: &SpoolError) {
        let source = std::error::Error::source(error);
        let was_failing = self.with(|log| std::mem::replace(&mut log.is_failing, true));
        if was_failing {
            tracing::debug!(%error, source, "the spool still cannot be synced");
        } else {
            tracing::error!(%error, source, "the spool cannot be synced: new requests are refused");
        }
        self.point.send_modify(|point| point.failures = point.failures.saturating_add(1));
    }

    fn add_spare(&self, length: u64) {
        let directory = self.with(|log| log.settings.directory.clone());
        let spare = files::preallocate(&directory, length);
        if let Err(error) = self.with(|log| log.add_spare_ahead(spare)) {
            tracing::debug!(%error, "the spool could not preallocate ahead of need");
        }
    }
}

impl Unsynced {
    /// Notes in the file up to where it is synced, so that a restart can tell a torn tail from damage.
    fn mark(&self) {
        let mark = frame::synced_mark(self.end);
        if let Err(error) = self.file.write_all_at(&mark, frame::SYNCED_MARK_OFFSET) {
            tracing::warn!(path = %self.path.display(), %error, "cannot mark a spool file as synced");
        }
    }
}

impl Log {
    /// How soon the thread has something to do, if anything.
    fn patience(&self) -> Option<Duration> {
        let sync = self.is_dirty.then_some(self.settings.sync_interval);
        let retry = self.is_full.then_some(self.settings.retry_interval);
        sync.into_iter().chain(retry).min()
    }

    fn round(&mut self, is_last: bool) -> Round {
        self.is_dirty = false;
        let unsynced = self.segments.iter().filter(|segment| segment.synced < segment.end);
        Round {
            files: unsynced
                .map(|segment| Unsynced {
                    number: segment.number,
                    path: segment.path.clone(),
                    file: Arc::clone(&segment.file),
                    end: segment.end,
                })
                .collect(),
            is_directory_dirty: std::mem::take(&mut self.is_directory_dirty),
            appended: self.appended,
            ends_bytes: self.unsynced_ends.len(),
            spare_bytes: self.spare_due().filter(|_| !is_last),
            is_last,
        }
    }

    fn note_synced(&mut self, round: &Round) {
        for file in &round.files {
            let segment = self.segments.iter_mut().find(|segment| segment.number == file.number);
            if let Some(segment) = segment {
                segment.synced = file.end;
            }
        }
        self.unsynced_ends.drain(..round.ends_bytes);
        self.is_failing = false;
    }

    /// Goes on in a new segment that holds all that no sync has covered: its checkpoint has the books, and the ends
    /// follow once more for the readers.
    fn replace_unsynced(&mut self) -> Result<(), SpoolError> {
        self.is_directory_dirty = true;
        let ends_bytes = frame::bytes(self.unsynced_ends.len());
        let suspects = self.segments.len();
        self.rotate(ends_bytes)?;
        if let Some(active) = self.segments.back_mut() {
            let written = active.file.write_all_at(&self.unsynced_ends, active.end);
            written.map_err(failed("write", &active.path))?;
            active.end = active.end.saturating_add(ends_bytes);
        }
        self.leave_suspects(suspects);
        Ok(())
    }

    /// Ends the first so many segments where they were last synced; those that never were are not needed.
    fn leave_suspects(&mut self, count: usize) {
        let replacements = self.segments.split_off(count.min(self.segments.len()));
        for mut suspect in std::mem::take(&mut self.segments) {
            if suspect.synced == 0 {
                self.bytes = self.bytes.saturating_sub(suspect.length);
                files::remove(&suspect.path);
            } else {
                suspect.end = suspect.synced;
                self.segments.push_back(suspect);
            }
        }
        self.segments.extend(replacements);
    }
}
