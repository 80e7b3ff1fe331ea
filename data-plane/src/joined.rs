//! Bytes that come in pieces and go on as one. A single piece is never copied.

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;
use std::io;

/// What is as large as this gets pages of its own, which go back to the machine as soon as nobody needs them: of the heap's free
/// memory much would stay, after many large bodies at once, for as long as the process rests.
const PAGES_MIN: usize = 128 << 10;

/// The pieces so far.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    first: Bytes,
    rest: Option<Room>,
}

impl Joined {
    pub(crate) fn len(&self) -> usize {
        self.first.len().saturating_add(self.rest.as_ref().map_or(0, Room::len))
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
        let needed = self.len().saturating_add(piece.len());
        let first = std::mem::take(&mut self.first);
        let room = self.rest.get_or_insert_with(|| Room::of(expected.max(needed)));
        room.put(&first);
        room.put(&piece);
    }

    /// All of it, leaving nothing.
    pub(crate) fn take(&mut self) -> Bytes {
        let first = std::mem::take(&mut self.first);
        self.rest.take().map_or(first, Room::freeze)
    }
}

/// Where pieces are joined.
#[derive(Debug)]
enum Room {
    Heap(BytesMut),
    Pages(Pages),
}

impl Room {
    fn of(bytes: usize) -> Self {
        let pages = (bytes >= PAGES_MIN).then(|| Pages::of(bytes).ok()).flatten();
        pages.map_or_else(|| Self::Heap(BytesMut::with_capacity(bytes)), Self::Pages)
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(heap) => heap,
            Self::Pages(pages) => pages.as_ref(),
        }
    }

    fn put(&mut self, piece: &[u8]) {
        let is_put = match self {
            Self::Heap(heap) if heap.capacity() - heap.len() < piece.len() => false,
            Self::Heap(heap) => {
                heap.extend_from_slice(piece);
                true
            }
            Self::Pages(pages) => pages.put(piece),
        };
        if !is_put {
            let needed = self.len().saturating_add(piece.len());
            let small = std::mem::replace(self, Self::of(needed.saturating_mul(2)));
            self.put(small.bytes());
            self.put(piece);
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Heap(heap) => heap.freeze(),
            Self::Pages(pages) => Bytes::from_owner(pages),
        }
    }
}

/// Memory of no file, of which so much is used.
#[derive(Debug)]
struct Pages {
    memory: MmapMut,
    used: usize,
}

impl Pages {
    fn of(bytes: usize) -> io::Result<Self> {
        Ok(Self { memory: MmapMut::map_anon(bytes)?, used: 0 })
    }

    /// Whether there was room.
    fn put(&mut self, piece: &[u8]) -> bool {
        let end = self.used.saturating_add(piece.len());
        let Some(place) = self.memory.get_mut(self.used..end) else { return false };
        place.copy_from_slice(piece);
        self.used = end;
        true
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Joined, PAGES_MIN};
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_joined_in_their_order_however_wrong_the_expectation(
            lengths in proptest::collection::vec(prop_oneof![0..10_usize, 0..PAGES_MIN], 0..12),
            expected in prop_oneof![Just(0), 0..10 * PAGES_MIN],
        ) {
            let mut joined = Joined::default();
            let mut whole = Vec::new();
            for (count, length) in lengths.into_iter().enumerate() {
                let piece = vec![u8::try_from(count).unwrap(); length];
                whole.extend_from_slice(&piece);
                joined.push(Bytes::from(piece), expected);
                prop_assert_eq!(joined.len(), whole.len());
            }
            prop_assert!(joined.take() == whole);
            prop_assert!(joined.is_empty());
        }
    }
}
