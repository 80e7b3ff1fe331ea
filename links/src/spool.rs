//! The durable record of requests on a data plane: a log of segments that holds each admitted request until its end is
//! billed (DESIGN part 7).
//!
//! In reading order: what can be set and what is refused, the bytes, the files, what the log adds up to, the writer and
//! its room, the thread that syncs, what may be deleted, how a restart reads it all, and what callers hold. Shipping and
//! billing are not here.

mod settings;
mod error;

mod frame;
mod files;
mod lock;

mod marks;
mod ages;
mod books;
mod shorten;

mod log;
mod room;
mod syncing;
mod trimming;

mod replay;
mod scan;
mod recovery;

mod ticket;
mod reader;

#[cfg(test)]
mod tests;

pub use error::SpoolError;
pub use reader::SpoolReader;
pub use recovery::Damage;
pub use replay::{MissingEvents, UsedKey};
pub use settings::{SpoolSettings, Upkeep};
pub use ticket::Ticket;

use domain::id::Partition;
use lock::DirectoryLock;
use parking_lot::Mutex;
use proto::usage::v1::{Admitted, Progress, SliceMark};
use std::fs::{self, File};
use std::sync::Arc;
use std::thread::JoinHandle;
use syncing::Shared;

/// An open spool. Clones share it; when the last one, its tickets and its readers are gone, it is synced and unlocked.
#[derive(Clone, Debug)]
pub struct Spool {
    core: Arc<Core>,
}

/// What an earlier process left.
#[derive(Debug)]
pub struct Recovered {
    /// The life of this spool. An intact spool continues the one it had.
    pub incarnation: u64,
    /// Requests without an end: to be closed, and charged with their last progress.
    pub open: Vec<OpenRequest>,
    /// What is known of each slice; `spent_nano` counts every event that was ever written in this incarnation.
    pub slices: Vec<SliceMark>,
    /// Files that are damaged. Their later records are lost; where the newest was among them, the incarnation is new, and
    /// requests may be told as open whose end was lost: billing knows them by their `request_id`.
    pub damaged: Vec<Damage>,
    /// Events that billing waits for in vain.
    pub missing: Vec<MissingEvents>,
    /// Idempotency keys of the requests that the newest file tells of, oldest first.
    pub used_keys: Vec<UsedKey>,
}

/// A request that was admitted by an earlier process and has no end.
#[derive(Debug)]
pub struct OpenRequest {
    /// As it was admitted.
    pub admitted: Admitted,
    /// What it had metered when that was last written down.
    pub progress: Option<Progress>,
    /// For writing its end.
    pub ticket: Ticket,
}

/// The place of an event in the order of its partition, within the incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The partition of its org.
    pub partition: Partition,
    /// Gapless from 1.
    pub seq: u64,
}

/// How full the spool is, and how far billing is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// All files, preallocated room included.
    pub bytes: u64,
    /// Requests without an end.
    pub open_requests: u64,
    /// Events that are not billed.
    pub unbilled_events: u64,
    /// When the oldest of them ended, in microseconds since the Unix epoch; it may be told a little early.
    pub oldest_unbilled_us: Option<u64>,
    /// Syncs that failed since the start.
    pub sync_failures: u64,
    /// Progress records that were skipped since the start for want of room.
    pub progress_skipped: u64,
    /// New requests are refused for want of room.
    pub is_full: bool,
    /// New requests are refused since the disk did not sync.
    pub is_failing: bool,
}

/// What clones, tickets and readers share. The thread has only `shared`, so that it never ends itself.
#[derive(Debug)]
struct Core {
    shared: Arc<Shared>,
    data_plane: String,
    incarnation: u64,
    event_bytes_max: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<DirectoryLock>>,
}

impl Spool {
    /// Opens the spool of a data plane, or makes one where there is none. Reads all that is in it, so it may take seconds.
    ///
    /// # Errors
    /// When the directory is another process's or another data plane's, or cannot be read or written.
    pub fn open(
        settings: SpoolSettings,
        data_plane: &str,
    ) -> Result<(Self, Recovered), SpoolError> {
        settings.check()?;
        let path = settings.directory.clone();
        let (event_bytes_max, upkeep) = (settings.event_bytes_max, settings.upkeep);
        fs::create_dir_all(&path).map_err(files::failed("create", &path))?;
        let lock = DirectoryLock::take(&path)?;
        let directory = File::open(&path).map_err(files::failed("open", &path))?;
        let restored = recovery::restore(settings, data_plane, &directory)?;
        let incarnation = restored.log.incarnation;
        let slices = restored.log.books.slice_marks();
        let open: Vec<_> = restored.log.books.open_requests().collect();

        let shared = Arc::new(Shared::new(restored.log, directory));
        let thread = match upkeep {
            Upkeep::Thread => Some(start_thread(&shared)),
            Upkeep::ByHand { .. } => None,
        };
        let thread = thread.transpose().map_err(files::failed("start the thread of", &path))?;
        let core = Arc::new(Core {
            shared,
            data_plane: data_plane.to_owned(),
            incarnation,
            event_bytes_max,
            thread: Mutex::new(thread),
            lock: Mutex::new(Some(lock)),
        });
        let open = open.into_iter().filter_map(|(slot, _, request)| {
            let ticket = Ticket::new(Arc::clone(&core), slot);
            Some(OpenRequest { admitted: request.admitted?, progress: request.progress, ticket })
        });
        let recovered = Recovered {
            incarnation,
            open: open.collect(),
            slices,
            damaged: restored.damaged,
            missing: restored.missing,
            used_keys: restored.used_keys,
        };
        Ok((Self { core }, recovered))
    }

    /// Writes down that a request will be answered. From here on it is owed an end, for which room is kept. `request_id`
    /// is unique among the open requests.
    ///
    /// # Errors
    /// `Full`, `Failing` or `Io`: the request must be refused.
    pub fn admit(&self, admitted: &Admitted) -> Result<Ticket, SpoolError> {
        let slot = self.core.shared.with(|log| log.admit(admitted))?;
        Ok(Ticket::new(Arc::clone(&self.core), slot))
    }

    /// Refuses new requests from now on: once none is open, none will be.
    pub fn admit_no_more(&self) {
        self.core.shared.with(|log| log.is_stopping = true);
    }

    /// Writes down what is known to be granted. Need not be synced: the control plane knows it, too.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    pub fn note_slice(&self, mark: &SliceMark) -> Result<(), SpoolError> {
        self.core.shared.with(|log| log.note_slice(mark)).map(|_| ())
    }

    /// Writes down what is given back, and returns once that is synced: only then may it be told.
    ///
    /// # Errors
    /// When there is no room, or the disk fails: then it must not be told.
    pub async fn note_release(&self, mark: &SliceMark) -> Result<(), SpoolError> {
        let append = self.core.shared.with(|log| log.note_slice(mark))?;
        self.core.shared.synced(append).await
    }

    /// A reader of the events that are not trimmed.
    #[must_use]
    pub fn reader(&self) -> SpoolReader {
        SpoolReader::new(Arc::clone(&self.core))
    }

    /// Takes in up to where each partition is billed, as the next sequence number that is not, and deletes the files that
    /// hold nothing else, and no request that is still open.
    pub fn trim(&self, billed: &[(Partition, u64)]) {
        let removed = self.core.shared.with(|log| log.trim(billed));
        removed.iter().for_each(|path| files::retire(path));
    }

    /// How full it is.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        let sync_failures = self.core.shared.point.borrow().failures;
        SpoolStatus { sync_failures, ..self.core.shared.with(|log| log.status()) }
    }

    /// Whose it is.
    #[must_use]
    pub fn data_plane(&self) -> &str {
        &self.core.data_plane
    }

    /// The life of this spool.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.core.incarnation
    }

    /// Returns when all that was written so far is synced.
    ///
    /// # Errors
    /// When the disk fails to, or the spool was closed.
    pub async fn flush(&self) -> Result<(), SpoolError> {
        let append = self.core.shared.with(|log| log.appended);
        self.core.shared.synced(append).await
    }

    /// Refuses everything from now on, syncs, and lets another process have the directory.
    ///
    /// # Errors
    /// When not all could be synced.
    pub async fn close(&self) -> Result<(), SpoolError> {
        let append = self.core.shared.with(|log| log.appended);
        self.core.shared.stop();
        let outcome = self.core.shared.synced(append).await;
        let core = Arc::clone(&self.core);
        let joined = tokio::task::spawn_blocking(move || core.end()).await;
        joined.map_err(|_| SpoolError::Closed).and(outcome)
    }
}

fn start_thread(shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("spool-sync".to_owned()).spawn(move || shared.run())
}

impl Core {
    fn end(&self) {
        self.shared.stop();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the spool's syncing thread had panicked");
        }
        drop(self.lock.lock().take());
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.end();
    }
}
