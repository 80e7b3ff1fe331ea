//! API keys as a data plane keeps them: found by digest, updated in place, one shard at a time.
//!
//! What a key may do is the snapshot's and the pipeline's business; which keys there are is told by `configuration`.

use crate::limits::KeyLimits;
use domain::id::KeyUid;
use domain::key::KeyDigest;
use domain::snapshot::{Key, KeyChange};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

const SHARDS: usize = 256;

/// A key with what is counted for it.
#[derive(Debug)]
pub struct KeyEntry {
    /// As configured.
    pub key: Key,
    /// An update of the key keeps them.
    pub limits: KeyLimits,
}

type Shard = RwLock<HashMap<KeyDigest, Arc<KeyEntry>, BuildHasherDefault<DigestHasher>>>;

/// All keys. Many look up, one writes.
pub(crate) struct KeyTable {
    shards: Box<[Shard; SHARDS]>,
    by_uid: Mutex<HashMap<KeyUid, Arc<KeyEntry>>>,
}

impl KeyTable {
    pub(crate) fn new() -> Self {
        let shards = std::array::from_fn(|_| Shard::default());
        Self { shards: Box::new(shards), by_uid: Mutex::default() }
    }

    pub(crate) fn get(&self, digest: &KeyDigest) -> Option<Arc<KeyEntry>> {
        self.shard(digest).read().get(digest).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_uid.lock().len()
    }

    /// How many parts there are, to be gone through one at a time.
    pub(crate) const fn shelves() -> usize {
        SHARDS
    }

    /// The keys of one part.
    pub(crate) fn shelf(&self, shelf: usize) -> Vec<Arc<KeyEntry>> {
        self.shards
            .get(shelf)
            .map_or_else(Vec::new, |shard| shard.read().values().cloned().collect())
    }

    pub(crate) fn by_uid(&self, uid: KeyUid) -> Option<Arc<KeyEntry>> {
        self.by_uid.lock().get(&uid).cloned()
    }

    /// Applies changes one by one.
    pub(crate) fn apply(&self, changes: Vec<KeyChange>) {
        let mut by_uid = self.by_uid.lock();
        for change in changes {
            match change {
                KeyChange::Put(key) => self.put(&mut by_uid, key),
                KeyChange::Gone(uid) => self.forget(by_uid.remove(&uid)),
            }
        }
    }

    /// Puts a whole state in the place of all there is: a key that is not in it is gone.
    pub(crate) fn replace(&self, state: Vec<KeyChange>) {
        let named = |change: &KeyChange| match change {
            KeyChange::Put(key) => Some(key.uid),
            KeyChange::Gone(_) => None,
        };
        let kept: HashSet<KeyUid> = state.iter().filter_map(named).collect();
        let gone = |uid: &KeyUid| !kept.contains(uid);
        let gone: Vec<KeyUid> = self.by_uid.lock().keys().copied().filter(gone).collect();
        self.apply(gone.into_iter().map(KeyChange::Gone).chain(state).collect());
    }

    fn put(&self, by_uid: &mut HashMap<KeyUid, Arc<KeyEntry>>, key: Key) {
        let (uid, digest) = (key.uid, key.digest);
        let before = by_uid.get(&uid).cloned();
        let limits = before.as_ref().map(|entry| entry.limits.clone()).unwrap_or_default();
        let entry = Arc::new(KeyEntry { key, limits });
        by_uid.insert(uid, entry.clone());
        self.shard(&digest).write().insert(digest, entry);
        if before.as_ref().is_some_and(|before| before.key.digest != digest) {
            self.forget(before);
        }
    }

    /// Takes an entry out of its shard, unless another key has taken its place there.
    fn forget(&self, entry: Option<Arc<KeyEntry>>) {
        let Some(entry) = entry else {
            return;
        };
        let mut shard = self.shard(&entry.key.digest).write();
        if shard.get(&entry.key.digest).is_some_and(|found| found.key.uid == entry.key.uid) {
            shard.remove(&entry.key.digest);
        }
    }

    /// By the last byte; inside a shard the first ones count.
    fn shard(&self, digest: &KeyDigest) -> &Shard {
        let [.., last] = digest.0;
        &self.shards[usize::from(last) % SHARDS]
    }
}

/// A digest is a keyed hash already: its first bytes are as good as any hash of it, and nobody can choose them.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length, which is the same for all.
    fn write_usize(&mut self, _length: usize) {}
}
