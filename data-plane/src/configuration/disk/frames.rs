//! The bytes of both files on the disk: after a magic, frames of `{length u32, tag 16 bytes, record}`, little-endian.
//!
//! A tag is a keyed hash of the record and of the tag before it, so that nothing can be changed, left out, reordered or
//! added by damage or by hand without being noticed; only an end that is missing must be noticed by the reader.

use prost::Message;
use proto::feed::v1::{StoredRecord, stored_record::Record};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use thiserror::Error;

const MAGIC: [u8; 8] = *b"TURNCFG\n";
const TAG_BYTES: usize = 16;
const PURPOSE: &str = "turnpike 2026 configuration on the disk of a data plane";

type Tag = [u8; TAG_BYTES];

/// Makes and checks tags. Derived from the cell's seal key: a file of another cell's key does not open.
#[derive(Clone)]
pub(super) struct TagKey([u8; 32]);

impl TagKey {
    pub(super) fn new(seal_key: &[u8; 32]) -> Self {
        Self(blake3::derive_key(PURPOSE, seal_key))
    }

    fn tag(&self, before: &Tag, record: &[u8]) -> Tag {
        let hash = blake3::Hasher::new_keyed(&self.0).update(before).update(record).finalize();
        hash.as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

/// Why the rest of a file cannot be used.
#[derive(Debug, Error)]
pub(super) enum Damage {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it does not begin as such a file does")]
    NotOurs,
    #[error("it ends in the middle of a record at byte {0}")]
    Truncated(u64),
    #[error("the record at byte {0} is damaged, or was written with another seal key")]
    BadTag(u64),
    #[error("the record at byte {0} is of a kind that this version does not know")]
    Unknown(u64),
}

/// Writes a file from its beginning.
pub(super) struct FrameWriter {
    file: BufWriter<File>,
    key: TagKey,
    last: Tag,
    bytes: u64,
}

impl FrameWriter {
    pub(super) fn create(path: &Path, key: &TagKey) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut file = BufWriter::new(file);
        file.write_all(&MAGIC)?;
        Ok(Self { file, key: key.clone(), last: key.tag(&[0; TAG_BYTES], &MAGIC), bytes: 0 })
    }

    pub(super) fn put(&mut self, record: Record) -> io::Result<()> {
        let record = StoredRecord { record: Some(record) }.encode_to_vec();
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        self.last = self.key.tag(&self.last, &record);
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&self.last)?;
        self.file.write_all(&record)?;
        self.bytes = self.bytes.saturating_add(u64::from(length));
        Ok(())
    }

    /// Returns once all of it is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// Bytes of records so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reads a file from its beginning.
pub(super) struct FrameReader {
    file: BufReader<File>,
    key: TagKey,
    last: Tag,
    at: u64,
    left: u64,
}

impl FrameReader {
    pub(super) fn open(path: &Path, key: &TagKey) -> Result<Self, Damage> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut magic = MAGIC;
        let left = length.checked_sub(8).ok_or(Damage::NotOurs)?;
        file.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(Damage::NotOurs);
        }
        let last = key.tag(&[0; TAG_BYTES], &MAGIC);
        Ok(Self { file, key: key.clone(), last, at: 8, left })
    }

    /// The next record; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Damage> {
        let at = self.at;
        self.next_whole()?.map(|record| read(&record, at)).transpose()
    }

    /// Goes on to the end without reading what the records say. Returns the last one.
    pub(super) fn last(&mut self) -> Result<Option<Record>, Damage> {
        let (mut at, mut last) = (self.at, None);
        loop {
            let next = self.at;
            let Some(record) = self.next_whole()? else { break };
            (at, last) = (next, Some(record));
        }
        last.map(|record| read(&record, at)).transpose()
    }

    /// The bytes of the next record, which are what was written.
    fn next_whole(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        if self.left == 0 {
            return Ok(None);
        }
        let truncated = Damage::Truncated(self.at);
        let (mut length, mut tag) = ([0; 4], Tag::default());
        let head = 4 + 16;
        let Some(behind_head) = self.left.checked_sub(head) else { return Err(truncated) };
        self.file.read_exact(&mut length)?;
        self.file.read_exact(&mut tag)?;
        let length = u64::from(u32::from_le_bytes(length));
        // Also the guard against a damaged length: nothing longer than the file is ever allocated.
        let Some(left) = behind_head.checked_sub(length) else { return Err(truncated) };
        let mut record = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact(&mut record)?;
        if self.key.tag(&self.last, &record) != tag {
            return Err(Damage::BadTag(self.at));
        }
        (self.last, self.left) = (tag, left);
        self.at = self.at.saturating_add(head).saturating_add(length);
        Ok(Some(record))
    }
}

fn read(record: &[u8], at: u64) -> Result<Record, Damage> {
    let record = StoredRecord::decode(record).ok().and_then(|it| it.record);
    record.ok_or(Damage::Unknown(at))
}
