//! The thread that writes. Entries that wait together are synced together; a snapshot is written of the live state, a part
//! at a time, while what changes meanwhile goes into the journal that follows it.
//!
//! So a snapshot may hold an object that is newer than its revision: its journal, which is synced first, says the same.

use super::frames::{FrameWriter, TagKey};
use super::{DiskSettings, Entry, Loaded, Opening, Written, files};
use crate::configuration::Configuration;
use crate::metric;
use domain::id::Revision;
use domain::snapshot::Change;
use proto::feed::v1::stored_record::Record;
use proto::feed::v1::{self, AgeNote, SnapshotChunk, StoredDelta, StoredEnd, StoredHeader};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How long a disk that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Objects of one record of a snapshot.
const CHUNK_OBJECTS: usize = 512;

pub(super) struct Writer {
    settings: DiskSettings,
    cell: String,
    key: TagKey,
    configuration: Configuration,
    entries: mpsc::Receiver<Entry>,
    told: watch::Sender<Written>,
    /// `None`: what is on the disk does not lead to what is applied, and only a snapshot mends that.
    journal: Option<FrameWriter>,
    /// The last entry taken.
    head: Revision,
    is_incomplete: bool,
    note: Option<AgeNote>,
    next_number: u64,
    /// The last snapshot that is known to be good.
    good: Option<u64>,
    /// Something on the disk was refused.
    has_damage: bool,
    failure: Option<Failure>,
}

/// What went wrong last, until it went right.
struct Failure {
    at: Instant,
    reason: String,
}

/// How writing a snapshot ended.
enum Walk {
    Done,
    /// The state was replaced meanwhile.
    Replaced,
    /// The process stops.
    Closed,
}

/// A snapshot that is being written.
struct Draft {
    file: FrameWriter,
    objects: u64,
}

impl Writer {
    pub(super) fn new(
        opening: Opening,
        configuration: Configuration,
        loaded: Option<&Loaded>,
        entries: mpsc::Receiver<Entry>,
        told: watch::Sender<Written>,
    ) -> io::Result<Self> {
        let Opening { settings, cell, key } = opening;
        let listed = files::list(&settings.directory)?;
        let last = listed.last().map_or(0, |file| file.number);
        // What was refused may be somebody else's: it stays until there are two of our own.
        let refused = listed.iter().rev().find(|file| file.is_snapshot).map(|file| file.number);
        let mut writer = Self {
            head: configuration.revision(),
            settings,
            cell,
            key,
            configuration,
            entries,
            told,
            journal: None,
            is_incomplete: loaded.is_some_and(|loaded| loaded.is_incomplete),
            note: loaded.and_then(|loaded| loaded.note.clone()),
            next_number: last.saturating_add(1),
            good: loaded.map(|loaded| loaded.number).or(refused),
            has_damage: loaded.is_some_and(|loaded| loaded.has_damage),
            failure: None,
        };
        if loaded.is_some() {
            let number = writer.take_number();
            writer.begin_journal(number)?;
            writer.tell(Ok(()));
        }
        Ok(writer)
    }

    /// Until nobody sends any more.
    pub(super) fn run(mut self) {
        while let Some(entry) = self.entries.blocking_recv() {
            let written = self.take(entry).and_then(|()| self.drain());
            let written = written.and_then(|()| self.snapshot_if_due());
            self.tell(written);
        }
    }

    fn tell(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            let directory = self.settings.directory.display();
            tracing::error!(%error, %directory, "the configuration cannot be written to the disk: a restart would begin with an older one");
            metric::configuration_not_written();
            let reason = format!("the configuration cannot be written to the disk: {error}");
            self.failure = Some(Failure { at: Instant::now(), reason });
            self.journal = None;
        }
        let failure = self.failure.as_ref().map(|failure| failure.reason.clone());
        self.told.send_replace(Written { upto: self.head, failure });
    }

    fn take(&mut self, entry: Entry) -> io::Result<()> {
        match entry {
            Entry::Delta { delta, is_incomplete } => {
                (self.head, self.is_incomplete) = (delta.to, is_incomplete);
                let delta = Some(v1::Delta::from(&*delta));
                self.append(Record::Delta(StoredDelta { delta, incomplete: is_incomplete }))
            }
            Entry::Whole { at, is_incomplete, note } => {
                (self.head, self.is_incomplete, self.note) = (at, is_incomplete, note);
                self.journal = None;
                Ok(())
            }
            Entry::Note(note) => {
                self.note = Some(note.clone());
                self.append(Record::Note(note))
            }
        }
    }

    fn append(&mut self, record: Record) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.put(record))
    }

    /// Takes what waits, and syncs it all at once.
    fn drain(&mut self) -> io::Result<()> {
        while let Ok(entry) = self.entries.try_recv() {
            self.take(entry)?;
        }
        self.journal.as_mut().map_or(Ok(()), FrameWriter::sync)
    }

    fn snapshot_if_due(&mut self) -> io::Result<()> {
        let is_full = |journal: &FrameWriter| journal.bytes() > self.settings.journal_bytes;
        let is_due = self.has_damage || self.journal.as_ref().is_none_or(is_full);
        let is_resting = self.failure.as_ref().is_some_and(|it| it.at.elapsed() < RETRY_AFTER);
        if !is_due || is_resting {
            return Ok(());
        }
        // While there is a journal, what is on the disk leads to what is applied without the new snapshot, too.
        let is_chained = self.journal.is_some();
        loop {
            let number = self.take_number();
            self.begin_journal(number)?;
            let path = files::draft(&self.settings.directory, number);
            match self.write_draft(&path, is_chained)? {
                Walk::Done => return self.publish(&path, number),
                Walk::Replaced => fs::remove_file(&path)?,
                Walk::Closed => return fs::remove_file(&path),
            }
        }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        number
    }

    fn begin_journal(&mut self, number: u64) -> io::Result<()> {
        let directory = &self.settings.directory;
        let mut journal = FrameWriter::create(&files::journal(directory, number), &self.key)?;
        let header = StoredHeader { note: None, ..self.header() };
        journal.put(Record::Header(header))?;
        journal.sync()?;
        files::sync(directory)?;
        self.journal = Some(journal);
        Ok(())
    }

    fn header(&self) -> StoredHeader {
        StoredHeader {
            cell: self.cell.clone(),
            at: Some(self.head.into()),
            note: self.note.clone(),
            incomplete: self.is_incomplete,
        }
    }

    fn write_draft(&mut self, path: &Path, is_chained: bool) -> io::Result<Walk> {
        let mut draft = Draft { file: FrameWriter::create(path, &self.key)?, objects: 0 };
        draft.file.put(Record::Header(self.header()))?;
        for shelf in 0..self.configuration.shelves() {
            draft.put(&self.configuration, shelf)?;
            self.drain()?;
            if self.journal.is_none() {
                return Ok(Walk::Replaced);
            }
            // Those who wait for a change must not wait for the snapshot.
            if is_chained {
                self.told.send_replace(Written { upto: self.head, failure: None });
            }
        }
        let newest = self.configuration.revision();
        while self.head < newest {
            let Some(entry) = self.entries.blocking_recv() else { return Ok(Walk::Closed) };
            self.take(entry)?;
            self.drain()?;
            if self.journal.is_none() {
                return Ok(Walk::Replaced);
            }
        }
        draft.file.put(Record::End(StoredEnd { objects: draft.objects }))?;
        draft.file.sync()?;
        Ok(Walk::Done)
    }

    fn publish(&mut self, draft: &Path, number: u64) -> io::Result<()> {
        let directory = &self.settings.directory;
        fs::rename(draft, files::snapshot(directory, number))?;
        files::sync(directory)?;
        files::prune(directory, self.good.unwrap_or(number), number)?;
        (self.good, self.has_damage, self.failure) = (Some(number), false, None);
        tracing::debug!(number, at = ?self.head, "the configuration was written to the disk");
        Ok(())
    }
}

impl Draft {
    fn put(&mut self, configuration: &Configuration, shelf: usize) -> io::Result<()> {
        for objects in configuration.shelf(shelf) {
            objects.chunks(CHUNK_OBJECTS).try_for_each(|chunk| self.put_chunk(chunk))?;
        }
        Ok(())
    }

    fn put_chunk(&mut self, objects: &[Change]) -> io::Result<()> {
        let changes: Vec<v1::Change> = objects.iter().map(v1::Change::from).collect();
        let count = u64::try_from(changes.len()).map_err(io::Error::other)?;
        self.objects = self.objects.saturating_add(count);
        self.file.put(Record::Chunk(SnapshotChunk { changes, ..SnapshotChunk::default() }))
    }
}
