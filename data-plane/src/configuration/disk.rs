//! The configuration on this data plane's own disk, so that it starts and serves without a control plane.
//!
//! A snapshot is replaced whole; what comes after it is appended to a journal and synced before it is acknowledged. One
//! thread writes both; nothing of it runs where requests are served. The last two good snapshots are kept.

mod files;
mod frames;
mod load;
mod writer;

pub(super) use load::Loaded;

use super::Configuration;
use domain::id::Revision;
use domain::snapshot::Delta;
use frames::TagKey;
use load::load;
use proto::feed::v1::AgeNote;
use std::io;
use std::path::PathBuf;
use std::thread;
use tokio::sync::{mpsc, watch};
use writer::Writer;

/// Entries that may wait to be written before the feed is made to wait.
const WAITING: usize = 1_024;

/// Where and how it is kept.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// A directory of its own.
    pub directory: PathBuf,
    /// Bytes of a journal, beyond which a new snapshot is written.
    pub journal_bytes: u64,
}

/// What is to be written.
pub(super) enum Entry {
    /// It is applied.
    Delta { delta: Box<Delta>, is_incomplete: bool },
    /// Everything was replaced, by a state of that revision. The note goes with it: a state whose age nobody knows cannot
    /// be served by the next process.
    Whole { at: Revision, is_incomplete: bool, note: Option<AgeNote> },
    /// How old the control plane's last word is.
    Note(AgeNote),
}

/// How far the disk has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// All up to this is on the disk, or could not be written.
    pub(super) upto: Revision,
    /// Why it could not.
    pub(super) failure: Option<String>,
}

/// The writing end. Dropping it ends the thread once all is written.
pub(super) struct Disk {
    entries: mpsc::Sender<Entry>,
    written: watch::Receiver<Written>,
}

/// Reads what there is and starts the thread.
pub(super) fn open(
    settings: &DiskSettings,
    cell: &str,
    seal_key: &[u8; 32],
) -> io::Result<(Opening, Option<Loaded>)> {
    files::create(&settings.directory)?;
    let key = TagKey::new(seal_key);
    let loaded = load(&settings.directory, &key, cell)?;
    let opening = Opening { settings: settings.clone(), cell: cell.to_owned(), key };
    Ok((opening, loaded))
}

/// What was read is not applied yet.
pub(super) struct Opening {
    settings: DiskSettings,
    cell: String,
    key: TagKey,
}

impl Opening {
    /// Starts writing what changes from here on.
    pub(super) fn start(
        self,
        configuration: Configuration,
        loaded: Option<&Loaded>,
    ) -> io::Result<Disk> {
        let (entries, waiting) = mpsc::channel(WAITING);
        let (told, written) = watch::channel(Written::default());
        let writer = Writer::new(self, configuration, loaded, waiting, told)?;
        thread::Builder::new().name("configuration".to_owned()).spawn(move || writer.run())?;
        Ok(Disk { entries, written })
    }
}

impl Disk {
    /// Waits while too much is to be written.
    pub(super) async fn write(&self, entry: Entry) {
        if self.entries.send(entry).await.is_err() {
            tracing::error!("nobody writes the configuration to the disk any more");
        }
    }

    /// To be watched.
    pub(super) fn written(&self) -> watch::Receiver<Written> {
        self.written.clone()
    }
}
