//! Typed identifiers. A name is what people write; a uid is what rows and wires carry.

/// Number of an org. Its wallet has the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgUid(pub i64);

/// Number of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyUid(pub i64);

/// Where money is held: an org's wallet, or the budget of one of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// The org's wallet.
    Wallet(OrgUid),
    /// What one key may ever spend, out of the same wallet.
    Budget(OrgUid, KeyUid),
}

impl Account {
    /// The org whose money it is.
    #[must_use]
    pub const fn org(self) -> OrgUid {
        match self {
            Self::Wallet(org) | Self::Budget(org, _) => org,
        }
    }

    /// The key, when it is a key's budget.
    #[must_use]
    pub const fn key(self) -> Option<KeyUid> {
        match self {
            Self::Wallet(_) => None,
            Self::Budget(_, key) => Some(key),
        }
    }

    /// Reads the pair that wires and rows carry; a key of 0 means the wallet.
    #[must_use]
    pub const fn from_uids(org: i64, key: i64) -> Self {
        if key == 0 { Self::Wallet(OrgUid(org)) } else { Self::Budget(OrgUid(org), KeyUid(key)) }
    }

    /// The pair that wires and rows carry.
    #[must_use]
    pub fn uids(self) -> (i64, i64) {
        (self.org().0, self.key().map_or(0, |key| key.0))
    }
}

/// A state of the configuration. Comparable only within one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Raised when commits may have been lost.
    pub generation: u64,
    /// Gapless within the generation.
    pub rev: u64,
}

/// The partition of usage that an org's events go to; their order holds only within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

/// How many partitions there are. Changing it needs a new topic and new incarnations.
pub const PARTITIONS: u32 = 64;

impl Partition {
    /// The partition of an org.
    #[must_use]
    pub fn of(org: OrgUid) -> Self {
        let hash = blake3::hash(&org.0.to_le_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self(u32::from_le_bytes([a, b, c, d]).wrapping_rem(PARTITIONS))
    }
}
