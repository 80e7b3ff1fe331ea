//! Client addresses: what is kept of them is a keyed hash that changes every UTC day.
//!
//! Who sends is found in the headers and sockets of the data plane; why it is done so is `docs/decisions/0013`.

use crate::key::Pepper;
use crate::time::Timestamp;
use std::fmt;
use std::net::IpAddr;

/// Sets this key apart from the one that digests API keys, which comes from the same secret.
const CONTEXT: &str = "turnpike 2026-11 client addresses";
/// Bytes of an IPv6 address that name a network: one household or office has a /64, and roams within it.
const NETWORK_BYTES: usize = 8;

/// What addresses are hashed with.
#[derive(Clone)]
pub struct AddressKey([u8; 32]);

/// What is kept of a client's address: the same for all its requests of one UTC day, and never again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientDigest(pub [u8; 16]);

impl AddressKey {
    /// The zone's key.
    #[must_use]
    pub fn derive(pepper: &Pepper) -> Self {
        Self(blake3::derive_key(CONTEXT, &pepper.0))
    }

    /// What is kept of an address that asks at this moment.
    #[must_use]
    pub fn digest(&self, address: IpAddr, at: Timestamp) -> ClientDigest {
        let today = blake3::keyed_hash(&self.0, &at.day().to_le_bytes());
        let hash = match address.to_canonical() {
            IpAddr::V4(address) => blake3::keyed_hash(today.as_bytes(), &address.octets()),
            IpAddr::V6(address) => {
                let octets = address.octets();
                blake3::keyed_hash(today.as_bytes(), octets.split_at(NETWORK_BYTES).0)
            }
        };
        let mut short = [0; 16];
        short.copy_from_slice(hash.as_bytes().split_at(16).0);
        ClientDigest(short)
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

impl fmt::Debug for ClientDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
