//! API keys as a data plane keeps them: found by digest, updated in place, one shelf at a time.
//!
//! There may be millions that rest, so each takes as few bytes as it can (`keys/shelf.rs`); one that is used is kept unfolded, with
//! what is counted for it. What a key may do is the snapshot's and the pipeline's business; which keys there are is told by
//! `configuration`.

mod index;
mod shelf;

use crate::limits::KeyLimits;
use domain::id::KeyUid;
use domain::key::KeyDigest;
use domain::snapshot::{Key, KeyChange};
use index::{Index, Place};
use parking_lot::{Mutex, RwLock};
use shelf::Shelf;
use std::collections::HashSet;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const SHELVES: usize = 256;

/// A key with what is counted for it.
#[derive(Debug)]
pub struct KeyEntry {
    /// As configured.
    pub key: Key,
    /// An update of the key keeps them.
    pub limits: KeyLimits,
}

/// All keys. Many look up, one writes.
pub(crate) struct KeyTable {
    /// Where the key of a digest is.
    places: Box<[RwLock<Index>; SHELVES]>,
    /// The keys themselves, by their uid. Taken after `places` where both are held.
    shelves: Box<[RwLock<Shelf>; SHELVES]>,
    writer: Mutex<()>,
    count: AtomicUsize,
    /// How many changes were made.
    changes: AtomicU64,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self {
            places: Box::new(std::array::from_fn(|_| RwLock::default())),
            shelves: Box::new(std::array::from_fn(|_| RwLock::default())),
            writer: Mutex::new(()),
            count: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
        }
    }
}

impl KeyTable {
    /// The key that a digest stands for, or stood for before its secret was changed.
    pub(crate) fn get(&self, digest: &KeyDigest) -> Option<Arc<KeyEntry>> {
        let place = {
            let places = self.places(digest).read();
            let leads_here = |place: Place| self.shelf_at(place).read().has(place.slot(), digest);
            places.find(digest, leads_here)?
        };
        let shelf = self.shelf_at(place);
        if let Some(entry) = shelf.read().unfolded(place.slot(), digest) {
            return Some(entry);
        }
        shelf.write().unfold(place.slot(), digest)
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Another number after each change, which can be seen by then.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// How many shelves there are, to be gone through one at a time.
    pub(crate) const fn shelves() -> usize {
        SHELVES
    }

    /// The keys of one shelf, some at a time. Whoever wants one of them meanwhile does not wait for all.
    pub(crate) fn shelf(&self, shelf: usize) -> impl Iterator<Item = Vec<Key>> {
        let shelf = self.shelves.get(shelf);
        (0..).map_while(move |block| shelf?.read().keys(block))
    }

    pub(crate) fn by_uid(&self, uid: KeyUid) -> Option<Key> {
        self.shelf_of(uid).1.read().by_uid(uid)
    }

    pub(crate) fn has(&self, uid: KeyUid) -> bool {
        self.shelf_of(uid).1.read().slot_of(uid).is_some()
    }

    /// Applies changes one by one.
    pub(crate) fn apply(&self, changes: Vec<KeyChange>) {
        let _one_at_a_time = self.writer.lock();
        for change in changes {
            match change {
                KeyChange::Put(key) => self.put(&key),
                KeyChange::Gone(uid) => self.remove(uid),
            }
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Puts a whole state in the place of all there is: a key that is not in it is gone.
    pub(crate) fn replace(&self, state: Vec<KeyChange>) {
        if self.len() > 0 {
            let named = |change: &KeyChange| match change {
                KeyChange::Put(key) => Some(key.uid),
                KeyChange::Gone(_) => None,
            };
            let kept: HashSet<KeyUid> = state.iter().filter_map(named).collect();
            let all = self.shelves.iter().flat_map(|shelf| shelf.read().uids());
            let gone: Vec<_> = all.filter(|uid| !kept.contains(uid)).map(KeyChange::Gone).collect();
            self.apply(gone);
        }
        self.apply(state);
    }

    fn put(&self, key: &Key) {
        let (number, shelf) = self.shelf_of(key.uid);
        let (slot, before) = shelf.write().put(key);
        let place = |digest: &KeyDigest| Place::new(digest, number, slot);
        match before {
            Some(before) => {
                let stays = |digest: &KeyDigest| digests(key).any(|new| new == *digest);
                digests(&before)
                    .filter(|old| !stays(old))
                    .for_each(|old| self.unlink(&old, place(&old)));
            }
            None => drop(self.count.fetch_add(1, Ordering::Relaxed)),
        }
        digests(key).for_each(|digest| self.link(&digest, place(&digest)));
    }

    fn remove(&self, uid: KeyUid) {
        let (number, shelf) = self.shelf_of(uid);
        let Some((slot, key)) = shelf.read().slot_and_key(uid) else { return };
        for digest in digests(&key) {
            self.unlink(&digest, Place::new(&digest, number, slot));
        }
        shelf.write().remove(uid);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// A digest leads to one key: whoever had it before is not found by it any more.
    fn link(&self, digest: &KeyDigest, to: Place) {
        let is_here =
            |place: Place| place == to || self.shelf_at(place).read().has(place.slot(), digest);
        self.places(digest).write().put(to, is_here);
    }

    fn unlink(&self, digest: &KeyDigest, from: Place) {
        self.places(digest).write().remove(from);
    }

    /// By the last byte; the first ones are the mark.
    fn places(&self, digest: &KeyDigest) -> &RwLock<Index> {
        let [.., last] = digest.0;
        &self.places[usize::from(last)]
    }

    fn shelf_at(&self, place: Place) -> &RwLock<Shelf> {
        &self.shelves[place.shelf()]
    }

    fn shelf_of(&self, uid: KeyUid) -> (u8, &RwLock<Shelf>) {
        let [number, ..] = uid.0.to_le_bytes();
        (number, &self.shelves[usize::from(number)])
    }
}

/// All that a key is found by.
fn digests(key: &Key) -> impl Iterator<Item = KeyDigest> {
    let previous = key.previous.as_deref().map(|previous| previous.digest);
    iter::once(key.digest).chain(previous)
}

#[cfg(test)]
mod tests;
