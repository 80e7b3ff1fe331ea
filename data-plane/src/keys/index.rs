//! Where the key of a digest is: a table whose places are looked at a line of the processor's cache at a time, since with
//! millions of keys to fetch a line is what a look-up takes long for. It grows by a quarter: twice the room would be wasted.
//!
//! It holds a part of each digest alone. Whether a place is the right one is for whoever asks to say.

use domain::key::KeyDigest;

/// A place, with as much of the digest that leads there as the index needs when it grows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    mark: u32,
    /// The number of the shelf in the high byte, the slot below.
    at: u32,
}

const SLOT_BITS: u32 = 24;
/// No place: nothing was ever there, so that nothing of its line was put further on.
const FREE: Place = Place { mark: 0, at: u32::MAX };
/// No place, but the line was full once.
const LEFT: Place = Place { mark: 0, at: u32::MAX - 1 };

/// As many as fit into a line of the cache.
const PLACES: usize = 8;
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([Place; PLACES]);

#[derive(Default)]
pub(super) struct Index {
    lines: Vec<Line>,
    /// Places that are not free.
    used: usize,
}

impl Place {
    pub(super) fn new(digest: &KeyDigest, shelf: u8, slot: u32) -> Self {
        Self { mark: mark(digest), at: u32::from(shelf) << SLOT_BITS | slot }
    }

    pub(super) fn shelf(self) -> usize {
        let [.., shelf] = self.at.to_le_bytes();
        usize::from(shelf)
    }

    pub(super) fn slot(self) -> u32 {
        self.at & ((1 << SLOT_BITS) - 1)
    }

    fn is_some(self) -> bool {
        self.at < LEFT.at
    }
}

impl Index {
    /// The place of a digest, among those that might be it.
    pub(super) fn find(&self, digest: &KeyDigest, is: impl Fn(Place) -> bool) -> Option<Place> {
        let mark = mark(digest);
        let (line, at) = self.seek(mark, |place| place.mark == mark && is(place))?;
        Some(self.lines[line].0[at])
    }

    /// Puts a place where one is that `is` the same, or where there is room.
    pub(super) fn put(&mut self, place: Place, is: impl Fn(Place) -> bool) {
        if let Some((line, at)) =
            self.seek(place.mark, |there| there.mark == place.mark && is(there))
        {
            self.lines[line].0[at] = place;
            return;
        }
        if self.used >= self.lines.len() * (PLACES - 1) {
            self.grow();
        }
        self.add(place);
    }

    /// Takes a place away.
    pub(super) fn remove(&mut self, place: Place) {
        let Some((line, at)) = self.seek(place.mark, |there| there == place) else { return };
        let line = &mut self.lines[line].0;
        line[at] = if line.contains(&FREE) { FREE } else { LEFT };
        self.used -= usize::from(line[at] == FREE);
    }

    fn seek(&self, mark: u32, is: impl Fn(Place) -> bool) -> Option<(usize, usize)> {
        for line in self.lines_from(mark) {
            let places = &self.lines[line].0;
            if let Some(at) = places.iter().position(|place| place.is_some() && is(*place)) {
                return Some((line, at));
            }
            if places.contains(&FREE) {
                return None;
            }
        }
        None
    }

    fn add(&mut self, place: Place) {
        for line in self.lines_from(place.mark) {
            let places = &mut self.lines[line].0;
            if let Some(at) = places.iter().position(|place| !place.is_some()) {
                self.used += usize::from(places[at] == FREE);
                places[at] = place;
                return;
            }
        }
    }

    /// Also shrinks, where most of what was there has left.
    fn grow(&mut self) {
        let all = self.lines.iter().flat_map(|line| line.0);
        let places: Vec<Place> = all.filter(|place| place.is_some()).collect();
        let room = places.len() + places.len() / 4 + PLACES;
        let lines = vec![Line([FREE; PLACES]); room.div_ceil(PLACES - 1)];
        *self = Self { lines, used: 0 };
        places.into_iter().for_each(|place| self.add(place));
    }

    /// All lines, beginning with the one where a mark belongs.
    fn lines_from(&self, mark: u32) -> impl Iterator<Item = usize> + use<> {
        let lines = self.lines.len();
        // As far into the table as the mark is into all marks.
        let home = usize::try_from((u64::from(mark) * lines as u64) >> u32::BITS).unwrap_or(0);
        (home..lines).chain(0..home)
    }
}

/// A digest is a keyed hash already: nobody can choose its first bytes.
fn mark(digest: &KeyDigest) -> u32 {
    let [a, b, c, d, ..] = digest.0;
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::{Index, KeyDigest, PLACES, Place};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn digest(mark: u32, of: u8) -> KeyDigest {
        let mut digest = [of; 16];
        digest[..4].copy_from_slice(&mark.to_le_bytes());
        KeyDigest(digest)
    }

    proptest! {
        /// Marks are few, or all in one corner, so that lines overflow and places are put far from home.
        #[test]
        fn an_index_says_what_a_plain_map_says(
            steps in proptest::collection::vec((prop_oneof![0..9_u32, u32::MAX - 3..=u32::MAX, any::<u32>()], 0..40_u8, 0..4_u8), 1..600),
        ) {
            let (mut index, mut known, mut digests) = (Index::default(), HashMap::new(), HashMap::new());
            for (step, (mark, of, kind)) in (0_u32..).zip(steps) {
                let digest = digest(mark, of);
                let place = Place::new(&digest, of, step);
                if kind == 0 {
                    if let Some(place) = known.remove(&digest.0) {
                        index.remove(place);
                    }
                } else {
                    digests.insert(step, digest.0);
                    index.put(place, |there| digests[&there.slot()] == digest.0);
                    known.insert(digest.0, place);
                }
            }
            for digest in digests.values() {
                let found = index.find(&KeyDigest(*digest), |there| digests[&there.slot()] == *digest);
                prop_assert!(found == known.get(digest).copied());
            }
        }
    }

    #[test]
    fn it_keeps_little_room_for_more_and_none_for_what_has_left() {
        let mut index = Index::default();
        let digest = |number: u32| {
            KeyDigest(*blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap())
        };
        let place = |number: u32| Place::new(&digest(number), 0, number);
        for number in 0..100_000 {
            index.put(place(number), |there| there.slot() == number);
        }
        assert!((100_000..146_000).contains(&(index.lines.len() * PLACES)));
        for number in 0..100_000_u32 {
            // At most ten are there at once.
            index.put(place(100_000 + number), |_| false);
            (number < 99_990).then(|| index.remove(place(number)));
            index.remove(place(100_000 + number));
        }
        index.grow();
        assert!(index.lines.len() * PLACES < 100);
        let is_there =
            |number| index.find(&digest(number), |there| there.slot() == number).is_some();
        assert!((99_990..100_000).all(is_there) && !is_there(99_989));
    }
}
