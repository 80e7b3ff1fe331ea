//! One part of all keys, folded up: some fifty bytes for a key, its name in one long text, and what few keys have beside it.
//!
//! How a digest leads here is the table's business.

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
use std::collections::VecDeque;
use std::sync::Arc;

/// Where on its shelf a key is, as long as it is there.
pub(super) type Slot = u32;

/// Unfolded keys that are kept without asking whether any of them rests.
const UNFOLDED_MIN: usize = 64;
/// How many are asked for each that is unfolded: more than one, so that those that rest become fewer.
const ASKED: usize = 2;
/// No expiry.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
pub(super) struct Shelf {
    slots: Vec<Folded>,
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
    name: Name,
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

/// All names, one after the other. None is longer than a few hundred bytes: whoever configures them sees to it.
#[derive(Default)]
struct Names {
    text: String,
    unused: usize,
}

/// Where a name stands.
#[derive(Clone, Copy, Default)]
struct Name {
    at: u32,
    length: u16,
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
        let folded = Folded {
            digest: key.digest.0,
            uid: number(key.uid),
            org: key.org.0.cast_unsigned(),
            expires: key.expires.map_or(NEVER, |expires| expires.0),
            name: self.names.add(&key.name),
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
        let is = |slot: &Slot| self.slots.get(index(*slot)).is_some_and(|it| it.uid == number(uid));
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
        if !self.unfolded.contains_key(&slot) {
            let key = self.key(slot)?;
            self.fold_some_that_rest();
            self.queue.push_back(slot);
            self.unfolded.insert(slot, Arc::new(KeyEntry { key, limits: KeyLimits::default() }));
        }
        self.unfolded(slot, digest)
    }

    #[cfg(test)]
    pub(super) fn unfolded_count(&self) -> usize {
        self.unfolded.len()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.by_uid.iter().filter_map(|slot| self.key(*slot)).collect()
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
        let slot = self.free.pop().unwrap_or_else(|| {
            grow_gently(&mut self.slots);
            self.slots.push(Folded::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        });
        // The index looks at what is there when it grows.
        self.set(slot, Folded { uid: number(uid), ..Folded::default() });
        let slots = &self.slots;
        let uid_of = |slot: &Slot| slots.get(index(*slot)).map_or(0, |folded| folded.uid);
        self.by_uid.insert_unique(hash(number(uid)), slot, |slot| hash(uid_of(slot)));
        slot
    }

    fn key(&self, slot: Slot) -> Option<Key> {
        let Folded { digest, uid, org, expires, name, flags } = *self.at(slot)?;
        let rare = self.rare.get(&slot).filter(|_| flags & RARE != 0);
        Some(Key {
            uid: KeyUid(uid.cast_signed()),
            digest: KeyDigest(digest),
            previous: rare.and_then(|rare| rare.previous.clone()),
            org: OrgUid(org.cast_signed()),
            name: self.names.get(name).to_owned(),
            models: rare.map(|rare| rare.models.clone()).unwrap_or_default(),
            budgeted: flags & BUDGETED != 0,
            expires: (expires != NEVER).then_some(Timestamp(expires)),
            disabled: flags & DISABLED != 0,
            allowed: rare.map(|rare| rare.allowed.clone()).unwrap_or_default(),
        })
    }

    fn at(&self, slot: Slot) -> Option<&Folded> {
        self.slots.get(index(slot))
    }

    fn set(&mut self, slot: Slot, folded: Folded) {
        if let Some(there) = self.slots.get_mut(index(slot)) {
            *there = folded;
        }
    }

    fn forget_words(&mut self, slot: Slot) {
        let name = self.at(slot).map(|folded| folded.name).unwrap_or_default();
        self.names.unused = self.names.unused.saturating_add(usize::from(name.length));
        self.rare.remove(&slot);
    }

    /// Writes the names anew once half of the text is names that are gone.
    fn tidy_names(&mut self) {
        if self.names.unused <= self.names.text.len() / 2 {
            return;
        }
        let before = std::mem::take(&mut self.names);
        for slot in &self.by_uid {
            if let Some(folded) = self.slots.get_mut(index(*slot)) {
                folded.name = self.names.add(before.get(folded.name));
            }
        }
    }
}

impl Rare {
    fn is_usual(&self) -> bool {
        let Self { models, allowed, previous } = self;
        models.is_empty() && *allowed == Allowed::default() && previous.is_none()
    }
}

impl Names {
    fn add(&mut self, name: &str) -> Name {
        let (at, length) = (u32::try_from(self.text.len()), u16::try_from(name.len()));
        let room = self.text.capacity() - self.text.len();
        if room < name.len() {
            self.text.reserve_exact(name.len().max(self.text.len() / GROWTH));
        }
        self.text.push_str(name);
        Name { at: at.unwrap_or_default(), length: length.unwrap_or_default() }
    }

    fn get(&self, name: Name) -> &str {
        let at = index(name.at);
        self.text.get(at..at + usize::from(name.length)).unwrap_or_default()
    }
}

/// What is full grows by an eighth: twice the room would be wasted on millions.
const GROWTH: usize = 8;

fn grow_gently(slots: &mut Vec<Folded>) {
    if slots.len() == slots.capacity() {
        slots.reserve_exact((slots.len() / GROWTH).max(8));
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn number(uid: KeyUid) -> u64 {
    uid.0.cast_unsigned()
}

fn hash(uid: u64) -> u64 {
    uid.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
