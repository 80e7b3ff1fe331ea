//! One part of all keys, folded up: some fifty bytes for a key, its name in one long text, and what few keys have beside it.
//!
//! How a digest leads here is the table's business.

mod names;
mod slots;

use super::{KeyEntry, digests};
use crate::clock::now;
use crate::limits::KeyLimits;
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::Allowed;
use domain::key::{KeyDigest, PreviousDigest};
use domain::name::Glob;
use domain::snapshot::Key;
use domain::time::Timestamp;
use hashbrown::{HashMap, HashTable};
use names::{Name, Names};
use slots::Slots;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) use slots::Slot;

/// Unfolded keys that are kept without asking whether any of them rests.
const UNFOLDED_MIN: usize = 4;
/// How many are asked for each that is unfolded: more than one, so that those that rest become fewer.
const ASKED: usize = 2;
/// No expiry.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
pub(super) struct Shelf {
    slots: Slots,
    free: Vec<Slot>,
    by_uid: HashTable<Slot>,
    names: Names,
    rare: HashMap<Slot, Box<Rare>>,
    /// Those that were used lately.
    unfolded: HashMap<Slot, Arc<KeyEntry>>,
    /// The same, in the order in which they are asked whether they rest.
    queue: VecDeque<Slot>,
}

/// A key, but for its name and what few keys have. Free slots have uid 0.
#[derive(Clone, Copy, Default)]
struct Folded {
    digest: [u8; 16],
    uid: u64,
    org: u64,
    expires: u64,
    // A name's parts one by one: together with its padding it would make each key eight bytes longer.
    name_at: u32,
    name_length: u16,
    flags: u8,
}

const BUDGETED: u8 = 1;
const DISABLED: u8 = 2;
const RARE: u8 = 4;

/// What most keys lack.
struct Rare {
    models: Vec<Glob>,
    allowed: Allowed,
    previous: Option<Box<PreviousDigest>>,
}

impl Shelf {
    pub(super) fn slot_of(&self, uid: KeyUid) -> Option<Slot> {
        let is = |slot: &Slot| self.at(*slot).is_some_and(|folded| folded.uid == number(uid));
        self.by_uid.find(hash(number(uid)), is).copied()
    }

    pub(super) fn by_uid(&self, uid: KeyUid) -> Option<Key> {
        self.slot_and_key(uid).map(|(_, key)| key)
    }

    pub(super) fn slot_and_key(&self, uid: KeyUid) -> Option<(Slot, Key)> {
        let slot = self.slot_of(uid)?;
        Some((slot, self.key(slot)?))
    }
}

impl Shelf {
    /// Puts a key where it was, or where there is room. Also returns what it was before.
    pub(super) fn put(&mut self, key: &Key) -> (Slot, Option<Key>) {
        let known = self.slot_and_key(key.uid);
        let slot = match &known {
            Some((slot, _)) => *slot,
            None => self.make_slot(key.uid),
        };
        self.forget_words(slot);
        let rare = Rare {
            models: key.models.clone(),
            allowed: key.allowed.clone(),
            previous: key.previous.clone(),
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let name = self.names.add(&key.name);
        let folded = Folded {
            digest: key.digest.0,
            uid: number(key.uid),
            org: key.org.0.cast_unsigned(),
            expires: key.expires.map_or(NEVER, |expires| expires.0),
            name_at: name.at,
            name_length: name.length,
            flags: flag(key.budgeted, BUDGETED)
                | flag(key.disabled, DISABLED)
                | flag(!rare.is_usual(), RARE),
        };
        if !rare.is_usual() {
            self.rare.insert(slot, Box::new(rare));
        }
        self.set(slot, folded);
        if let Some(entry) = self.unfolded.get_mut(&slot) {
            *entry = Arc::new(KeyEntry { key: key.clone(), limits: entry.limits.clone() });
        }
        self.tidy_names();
        (slot, known.map(|(_, key)| key))
    }

    pub(super) fn remove(&mut self, uid: KeyUid) {
        let is = |slot: &Slot| self.slots.get(*slot).is_some_and(|it| it.uid == number(uid));
        let Ok(there) = self.by_uid.find_entry(hash(number(uid)), is) else { return };
        let (slot, _) = there.remove();
        self.forget_words(slot);
        self.unfolded.remove(&slot);
        self.set(slot, Folded::default());
        self.free.push(slot);
        self.tidy_names();
    }

    /// Whether a digest stands for the key that is there, or stood for it before its secret was changed.
    pub(super) fn has(&self, slot: Slot, digest: &KeyDigest) -> bool {
        let Some(folded) = self.at(slot).filter(|folded| folded.uid != 0) else { return false };
        folded.digest == digest.0 || folded.flags & RARE != 0 && self.had(slot, digest)
    }

    fn had(&self, slot: Slot, digest: &KeyDigest) -> bool {
        let previous = self.rare.get(&slot).and_then(|rare| rare.previous.as_deref());
        previous.is_some_and(|previous| previous.digest == *digest)
    }

    /// The key of a digest, if it is unfolded.
    pub(super) fn unfolded(&self, slot: Slot, digest: &KeyDigest) -> Option<Arc<KeyEntry>> {
        let entry = self.unfolded.get(&slot)?;
        digests(&entry.key).any(|own| own == *digest).then(|| entry.clone())
    }

    /// The same, unfolding it first.
    pub(super) fn unfold(&mut self, slot: Slot, digest: &KeyDigest) -> Option<Arc<KeyEntry>> {
        if self.unfolded.contains_key(&slot) {
            return self.unfolded(slot, digest);
        }
        if !self.has(slot, digest) {
            return None;
        }
        let entry = Arc::new(KeyEntry { key: self.key(slot)?, limits: KeyLimits::default() });
        self.fold_some_that_rest();
        self.queue.push_back(slot);
        self.unfolded.insert(slot, entry.clone());
        Some(entry)
    }

    #[cfg(test)]
    pub(super) fn unfolded_count(&self) -> usize {
        self.unfolded.len()
    }

    /// The keys of a block; `None` where there is none.
    pub(super) fn keys(&self, block: usize) -> Option<Vec<Key>> {
        let is_taken = |slot: &Slot| self.at(*slot).is_some_and(|folded| folded.uid != 0);
        let slots = self.slots.of_block(block)?;
        Some(slots.filter(is_taken).filter_map(|slot| self.key(slot)).collect())
    }

    pub(super) fn uids(&self) -> Vec<KeyUid> {
        let uid = |slot: &Slot| Some(KeyUid(self.at(*slot)?.uid.cast_signed()));
        self.by_uid.iter().filter_map(uid).collect()
    }

    /// As long as nothing of a key runs or counts, it loses nothing by being folded up. Never many at once: somebody waits.
    fn fold_some_that_rest(&mut self) {
        if self.queue.len() < UNFOLDED_MIN {
            return;
        }
        let now = now();
        for _ in 0..ASKED {
            let Some(slot) = self.queue.pop_front() else { return };
            let Some(entry) = self.unfolded.get(&slot) else { continue };
            if Arc::strong_count(entry) > 1 || !entry.limits.is_at_rest(now) {
                self.queue.push_back(slot);
            } else {
                self.unfolded.remove(&slot);
            }
        }
    }

    fn make_slot(&mut self, uid: KeyUid) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| self.slots.add());
        // The index looks at what is there when it grows.
        self.set(slot, Folded { uid: number(uid), ..Folded::default() });
        let slots = &self.slots;
        let uid_of = |slot: &Slot| slots.get(*slot).map_or(0, |folded| folded.uid);
        self.by_uid.insert_unique(hash(number(uid)), slot, |slot| hash(uid_of(slot)));
        slot
    }

    fn key(&self, slot: Slot) -> Option<Key> {
        let folded = *self.at(slot)?;
        let Folded { digest, uid, org, expires, flags, .. } = folded;
        let rare = self.rare.get(&slot).filter(|_| flags & RARE != 0);
        Some(Key {
            uid: KeyUid(uid.cast_signed()),
            digest: KeyDigest(digest),
            previous: rare.and_then(|rare| rare.previous.clone()),
            org: OrgUid(org.cast_signed()),
            name: self.names.get(folded.name()).to_owned(),
            models: rare.map(|rare| rare.models.clone()).unwrap_or_default(),
            budgeted: flags & BUDGETED != 0,
            expires: (expires != NEVER).then_some(Timestamp(expires)),
            disabled: flags & DISABLED != 0,
            allowed: rare.map(|rare| rare.allowed.clone()).unwrap_or_default(),
        })
    }

    fn at(&self, slot: Slot) -> Option<&Folded> {
        self.slots.get(slot)
    }

    fn set(&mut self, slot: Slot, folded: Folded) {
        if let Some(there) = self.slots.get_mut(slot) {
            *there = folded;
        }
    }

    fn forget_words(&mut self, slot: Slot) {
        let name = self.at(slot).map(|folded| folded.name()).unwrap_or_default();
        self.names.forget(name);
        self.rare.remove(&slot);
    }

    /// Writes the names anew once half of the text is names that are gone.
    fn tidy_names(&mut self) {
        if !self.names.is_untidy() {
            return;
        }
        let before = std::mem::take(&mut self.names);
        for slot in &self.by_uid {
            if let Some(folded) = self.slots.get_mut(*slot) {
                let name = self.names.add(before.get(folded.name()));
                (folded.name_at, folded.name_length) = (name.at, name.length);
            }
        }
    }
}

impl Folded {
    fn name(self) -> Name {
        Name { at: self.name_at, length: self.name_length }
    }
}

impl Rare {
    fn is_usual(&self) -> bool {
        let Self { models, allowed, previous } = self;
        models.is_empty() && *allowed == Allowed::default() && previous.is_none()
    }
}

fn number(uid: KeyUid) -> u64 {
    uid.0.cast_unsigned()
}

fn hash(uid: u64) -> u64 {
    uid.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
