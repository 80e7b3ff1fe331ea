//! Bytes that come in pieces and go on as one. A single piece is never copied.

use bytes::{Bytes, BytesMut};

/// The pieces so far.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    first: Bytes,
    rest: BytesMut,
}

impl Joined {
    pub(crate) fn len(&self) -> usize {
        self.first.len().saturating_add(self.rest.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a piece; `expected` is how many bytes there may be in the end.
    pub(crate) fn push(&mut self, piece: Bytes, expected: usize) {
        if self.is_empty() {
            self.first = piece;
            return;
        }
        if self.rest.is_empty() {
            self.rest.reserve(expected.max(self.first.len().saturating_add(piece.len())));
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&piece);
    }

    /// All of it, leaving nothing.
    pub(crate) fn take(&mut self) -> Bytes {
        let (first, rest) = (std::mem::take(&mut self.first), std::mem::take(&mut self.rest));
        if rest.is_empty() { first } else { rest.freeze() }
    }
}
