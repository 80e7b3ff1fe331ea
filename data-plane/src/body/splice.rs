//! Changing a few values of a body and leaving every other byte as it is.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

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
    length: u64,
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

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += u64::try_from(piece.len()).unwrap_or(0);
            self.pieces.push_back(piece);
        }
    }

    /// Bytes in all.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// All pieces in one.
    pub(crate) fn join(self) -> Bytes {
        let pieces: Vec<Bytes> = self.pieces.into();
        Bytes::from(pieces.concat())
    }
}

impl Body for Spliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        if let Some(piece) = &piece {
            self.length -= u64::try_from(piece.len()).unwrap_or(0);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
