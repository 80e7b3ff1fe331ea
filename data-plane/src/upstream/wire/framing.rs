//! Where the body of an answer ends (RFC 9112, part 6), found as its bytes come, however they are cut.
//!
//! What an upstream says of its own answer is believed only if it can be read in one way.

use bytes::BytesMut;
use memchr::memchr;
use thiserror::Error;

/// Bytes of chunk extensions and trailers that are read over, at most.
const UNREAD_BYTES_MAX: usize = 16 << 10;
/// Hexadecimal digits of a chunk's size, at most.
const SIZE_DIGITS_MAX: u8 = 15;

/// What cannot be read, or in two ways.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the framing of the answer is broken")]
pub(crate) struct BadFraming;

/// How the end is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunked),
    /// Closing the connection ends it.
    UntilClose,
}

/// Where in a chunked body the next byte is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    place: Place,
    unread_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataCarriage,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
    Done,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Framing {
    /// Whether the body has ended.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.place == Place::Done,
            Self::UntilClose => false,
        }
    }

    /// Whether closing the connection here is a proper end.
    pub(super) fn may_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Bytes that are still to come, as far as that is known.
    pub(super) fn expected(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(_) | Self::UntilClose => 0,
        }
    }

    /// Adds the body's part of `bytes` to `body`, and tells how many bytes belong to this answer.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        body: &mut BytesMut,
    ) -> Result<usize, BadFraming> {
        match self {
            Self::Length(left) => Ok(take(left, bytes, body)),
            Self::Chunked(chunked) => chunked.decode(bytes, body),
            Self::UntilClose => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

/// As much of the rest as is there.
fn take(left: &mut u64, bytes: &[u8], body: &mut BytesMut) -> usize {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    body.extend_from_slice(bytes.get(..length).unwrap_or_default());
    *left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
    length
}

impl Chunked {
    fn decode(&mut self, bytes: &[u8], body: &mut BytesMut) -> Result<usize, BadFraming> {
        let mut at = 0;
        while self.place != Place::Done {
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { break };
            at += self.step(rest, body)?;
        }
        Ok(at)
    }

    /// One step: a byte of the framing, or a run of what is between it.
    fn step(&mut self, rest: &[u8], body: &mut BytesMut) -> Result<usize, BadFraming> {
        let byte = rest.first().copied().ok_or(BadFraming)?;
        self.place = match self.place {
            Place::Size { value, digits } => return self.size(byte, value, digits),
            Place::Data { mut left } => {
                let length = take(&mut left, rest, body);
                self.place = if left == 0 { Place::DataCarriage } else { Place::Data { left } };
                return Ok(length);
            }
            Place::Extension { value } => return self.skip(rest, Place::SizeEnd { value }),
            Place::Trailer => return self.skip(rest, Place::TrailerEnd),
            Place::SizeEnd { value: 0 } if byte == b'\n' => Place::TrailerStart,
            Place::SizeEnd { value } if byte == b'\n' => Place::Data { left: value },
            Place::DataCarriage if byte == b'\r' => Place::DataEnd,
            Place::DataEnd if byte == b'\n' => Place::default(),
            Place::TrailerEnd if byte == b'\n' => Place::TrailerStart,
            Place::TrailerStart if byte == b'\r' => Place::LastEnd,
            Place::TrailerStart => Place::Trailer,
            Place::LastEnd if byte == b'\n' => Place::Done,
            Place::SizeEnd { .. }
            | Place::DataCarriage
            | Place::DataEnd
            | Place::TrailerEnd
            | Place::LastEnd
            | Place::Done => return Err(BadFraming),
        };
        Ok(1)
    }

    fn size(&mut self, byte: u8, value: u64, digits: u8) -> Result<usize, BadFraming> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        self.place = match (digit, byte) {
            (Some(digit), _) if digits < SIZE_DIGITS_MAX => {
                Place::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (None, b'\r') if digits > 0 => Place::SizeEnd { value },
            (None, b';' | b' ' | b'\t') if digits > 0 => Place::Extension { value },
            _ => return Err(BadFraming),
        };
        Ok(1)
    }

    /// Over what nobody reads, up to the end of its line.
    fn skip(&mut self, rest: &[u8], next: Place) -> Result<usize, BadFraming> {
        let (length, is_over) = match memchr(b'\r', rest) {
            Some(end) => (end + 1, true),
            None => (rest.len(), false),
        };
        self.unread_bytes = self.unread_bytes.saturating_add(length);
        if self.unread_bytes > UNREAD_BYTES_MAX {
            return Err(BadFraming);
        }
        if is_over {
            self.place = next;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
