//! All slices of a data plane, by account.

use super::slice::SharedSlice;
use domain::escrow::slice::Slice;
use domain::id::Account;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;

/// Enough that cores seldom meet.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<Account, Arc<SharedSlice>>>;

pub(super) struct SliceTable([Shard; SHARDS]);

impl SliceTable {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }

    /// The slice of an account, which begins with nothing. It stays for as long as the process lives: its totals are what
    /// the control plane is told.
    pub(super) fn open(&self, account: Account) -> Arc<SharedSlice> {
        self.open_as(account, Slice::default())
    }

    /// The same, beginning with what a spool says.
    pub(super) fn open_as(&self, account: Account, slice: Slice) -> Arc<SharedSlice> {
        let shard = self.shard(account);
        if let Some(found) = shard.read().get(&account) {
            return found.clone();
        }
        shard.write().entry(account).or_insert_with(|| SharedSlice::new(account, slice)).clone()
    }

    pub(super) fn all(&self) -> Vec<Arc<SharedSlice>> {
        self.0.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, account: Account) -> &Shard {
        let (org, key) = account.uids();
        let [lowest, ..] = (org ^ key).to_le_bytes();
        &self.0[usize::from(lowest) % SHARDS]
    }
}
