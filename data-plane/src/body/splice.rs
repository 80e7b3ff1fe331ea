//! Changing a few values of a body and leaving every other byte as it is.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

/// A replacement of one place; an empty place is an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) at: Range<usize>,
    pub(crate) text: String,
}

/// A body in pieces: slices of the original and what was put between them. Nothing large is copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spliced {
    pieces: VecDeque<Bytes>,
    /// Bytes in all, sent or not.
    length: usize,
    /// Bytes that are gone.
    sent: usize,
}

impl Spliced {
    /// Applies edits, which must not overlap.
    pub(crate) fn new(original: &Bytes, mut edits: Vec<Edit>) -> Self {
        edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
        let mut spliced = Self::default();
        let mut from = 0;
        for edit in edits {
            spliced.push(original.slice(from..edit.at.start.max(from)));
            from = edit.at.end.max(from);
            spliced.push(Bytes::from(edit.text));
        }
        spliced.push(original.slice(from..));
        spliced
    }

    /// One that is whole already.
    pub(crate) fn of(whole: Bytes) -> Self {
        let mut spliced = Self::default();
        spliced.push(whole);
        spliced
    }

    /// Copies all of it.
    pub(crate) fn append_to(&self, bytes: &mut BytesMut) {
        self.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Bytes in all.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Puts something before all of it.
    pub(crate) fn put_before(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push_front(piece);
    }

    /// Whether nothing was sent yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.sent == 0
    }

    /// Whether all was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The first pieces that are to be sent, and how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let both = slices.iter_mut().zip(&self.pieces);
        both.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    /// Forgets so many bytes, which were sent.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        self.sent += bytes;
        while let Some(piece) = self.pieces.front_mut() {
            if bytes < piece.len() {
                piece.advance(bytes);
                return;
            }
            bytes -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// All pieces in one.
    pub(crate) fn join(self) -> Bytes {
        let pieces: Vec<Bytes> = self.pieces.into();
        Bytes::from(pieces.concat())
    }
}
