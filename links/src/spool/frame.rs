//! The bytes of a segment: its header, and frames of `{length u32, crc32 u32, record}`, little-endian.
//!
//! A record is an encoded `SpoolRecord`, whose first byte tells its kind. Zeros where a frame would begin are the end.
//! Knows nothing of files.

use prost::Message;
use std::ops::Range;

/// Length and checksum before each record.
pub(super) const FRAME_HEADER_BYTES: usize = 8;
/// What comes before the first frame of a segment.
pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
/// Where the segment header keeps up to where the segment is known to be synced.
pub(super) const SYNCED_MARK_OFFSET: u64 = 16;

const MAGIC: [u8; 8] = *b"TURNSPL\n";
const VERSION: u32 = 1;
/// Most events fit into so much.
const FIELD_BYTES: usize = 512;
/// A field of a protobuf message that is a message or a string itself.
const LENGTH_DELIMITED: u8 = 2;

/// Which field of `SpoolRecord` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint = 1,
    Admitted = 2,
    Progress = 3,
    Ended = 4,
    Slice = 5,
}

impl Kind {
    /// The first byte of such a record.
    pub(super) const fn key(self) -> u8 {
        field_key(self as u8)
    }
}

const fn field_key(number: u8) -> u8 {
    (number << 3) | LENGTH_DELIMITED
}

/// Lengths in memory are shorter than 2^64 on every machine.
pub(super) const fn bytes(length: usize) -> u64 {
    length as u64
}

/// Appends a frame and returns where in `buffer` the bare message lies.
pub(super) fn put(buffer: &mut Vec<u8>, kind: Kind, message: &impl Message) -> Range<usize> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    buffer.push(kind.key());
    let told = buffer.len();
    message.encode_length_delimited(buffer).expect("a Vec grows as needed");
    let length = prost::decode_length_delimiter(buffer.get(told..).unwrap_or_default());
    seal(buffer, start);
    let end = buffer.len();
    end.saturating_sub(length.unwrap_or_default())..end
}

/// One field that is a message, to be put after a message without it.
pub(super) fn field(number: u8, message: &impl Message) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(FIELD_BYTES);
    buffer.push(field_key(number));
    message.encode_length_delimited(&mut buffer).expect("a Vec grows as needed");
    buffer
}

/// Appends a frame with more bytes of the same message after what `message` encodes.
pub(super) fn put_parts(buffer: &mut Vec<u8>, kind: Kind, message: &impl Message, more: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    buffer.push(kind.key());
    put_length(buffer, message.encoded_len().saturating_add(more.len()));
    message.encode(buffer).expect("a Vec grows as needed");
    buffer.extend_from_slice(more);
    seal(buffer, start);
}

/// Appends one field that is a message, already encoded, for building a message piecewise.
pub(super) fn put_field(buffer: &mut Vec<u8>, number: u8, encoded: &[u8]) {
    buffer.push(field_key(number));
    put_length(buffer, encoded.len());
    buffer.extend_from_slice(encoded);
}

fn put_length(buffer: &mut Vec<u8>, length: usize) {
    prost::encode_length_delimiter(length, buffer).expect("a Vec grows as needed");
}

/// Fills in length and checksum of the frame that begins at `start`.
fn seal(buffer: &mut [u8], start: usize) {
    let (header, record) = buffer.split_at_mut(start.saturating_add(FRAME_HEADER_BYTES));
    let length = u32::try_from(record.len()).expect("records are shorter than a segment");
    let crc = crc32fast::hash(record);
    if let Some(header) = header.get_mut(start..) {
        header.copy_from_slice(&pair(length, crc));
    }
}

fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_le_bytes());
    bytes[4..].copy_from_slice(&second.to_le_bytes());
    bytes
}

/// What lies at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole frame.
    Frame {
        /// Its record.
        record: &'a [u8],
        /// Where the next frame begins.
        next: usize,
    },
    /// No frame was written here.
    End,
    /// A frame of this length, header included, does not fit into what was given.
    Cut {
        /// How long it claims to be.
        length: usize,
    },
    /// Its checksum is wrong.
    Bad,
}

/// Reads the frame at `offset`.
pub(super) fn read(bytes: &[u8], offset: usize) -> Found<'_> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let Some((header, rest)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        let is_end = rest.iter().all(|byte| *byte == 0);
        return if is_end { Found::End } else { Found::Cut { length: FRAME_HEADER_BYTES } };
    };
    let (length, crc) = unpair(*header);
    if length == 0 {
        return if crc == 0 { Found::End } else { Found::Bad };
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let Some(record) = rest.get(..length) else {
        return Found::Cut { length: length.saturating_add(FRAME_HEADER_BYTES) };
    };
    if crc32fast::hash(record) != crc {
        return Found::Bad;
    }
    let next = offset.saturating_add(FRAME_HEADER_BYTES).saturating_add(length);
    Found::Frame { record, next }
}

fn unpair(bytes: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// What the head of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    /// Nothing: preallocated and never used, or never synced.
    Blank,
    /// A segment of ours, of which at least this much was synced.
    Ours {
        /// An offset in the file.
        synced: u64,
    },
    /// Written by a newer program.
    Newer {
        /// Its version.
        version: u32,
    },
    /// Damaged, or no segment.
    Unreadable,
}

/// The head of a new segment, of which nothing is synced.
pub(super) fn segment_header() -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    let version = VERSION.to_le_bytes();
    header[8..16].copy_from_slice(&pair(VERSION, crc32fast::hash(&version)));
    header
}

/// What is written at `SYNCED_MARK_OFFSET` once a sync is done. Only ever too low, since it is not synced itself.
pub(super) fn synced_mark(synced: u64) -> [u8; 16] {
    let mut mark = [0; 16];
    mark[..8].copy_from_slice(&synced.to_le_bytes());
    let crc = crc32fast::hash(&synced.to_le_bytes());
    mark[8..12].copy_from_slice(&crc.to_le_bytes());
    mark
}

/// Reads the head of a file.
pub(super) fn read_segment_header(bytes: &[u8]) -> SegmentHeader {
    let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        return if is_blank { SegmentHeader::Blank } else { SegmentHeader::Unreadable };
    };
    if *header == [0; SEGMENT_HEADER_BYTES] {
        return SegmentHeader::Blank;
    }
    let [magic, version, synced, check] = eights(header);
    let (version, version_crc) = unpair(version);
    if magic != MAGIC || crc32fast::hash(&version.to_le_bytes()) != version_crc {
        return SegmentHeader::Unreadable;
    }
    if version != VERSION {
        return SegmentHeader::Newer { version };
    }
    let synced = u64::from_le_bytes(synced);
    let is_unmarked = synced == 0 && check == [0; 8];
    if is_unmarked || synced_mark(synced).last_chunk() == Some(&check) {
        SegmentHeader::Ours { synced }
    } else {
        SegmentHeader::Unreadable
    }
}

fn eights(header: &[u8; SEGMENT_HEADER_BYTES]) -> [[u8; 8]; 4] {
    let mut parts = [[0; 8]; 4];
    for (part, chunk) in parts.iter_mut().zip(header.chunks_exact(8)) {
        part.copy_from_slice(chunk);
    }
    parts
}
