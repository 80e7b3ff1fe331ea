//! API keys: how one looks, what may be brought from another system, and what is stored of either.
//!
//! Making random ones is the control plane's business.

use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters of a key: 40 of base 62 are 238 bits.
pub const BODY_LENGTH: usize = 40;
const CHECK_LENGTH: usize = 6;
/// Longest prefix an entity may give its keys.
pub const PREFIX_LENGTH_MAX: usize = 24;
/// Longest text that can be a key at all.
pub const KEY_LENGTH_MAX: usize = PREFIX_LENGTH_MAX + BODY_LENGTH + 1 + CHECK_LENGTH;
/// Shortest secret that may be brought from another system.
pub const FOREIGN_LENGTH_MIN: usize = 16;
/// Longest secret that may be brought from another system.
pub const FOREIGN_LENGTH_MAX: usize = 256;

/// The secret that turns keys into digests; 32 bytes, one per zone.
#[derive(Clone)]
pub struct Pepper(pub [u8; 32]);

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// What is stored of a key, and looked up: 128 bits of a keyed BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 16]);

/// What a key was looked up by before its secret was changed, and until when it is good beside the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousDigest {
    /// Of the secret of before.
    pub digest: KeyDigest,
    /// It is good below.
    pub until: Timestamp,
}

/// Whether text has the form and the checksum of a key: `prefix`, 40 random characters, `_`, CRC-32 in base 62.
///
/// The checksum is no security: it lets scanners be sure, and tells a mutilated key from an unknown one. It does not spare the
/// look-up, since keys brought from another system have none.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some((signed, check)) = text.rsplit_once('_') else {
        return false;
    };
    let body_is_base62 = |s: &str| s.bytes().rev().take(BODY_LENGTH).all(|b| BASE62.contains(&b));
    text.len() <= KEY_LENGTH_MAX
        && signed.len() >= BODY_LENGTH
        && body_is_base62(signed)
        && check.as_bytes() == checksum(signed)
}

/// Whether text can be a secret of another system that is used as a key here: neither guessable nor unbounded, and fit for a
/// header.
#[must_use]
pub fn is_importable(text: &str) -> bool {
    (FOREIGN_LENGTH_MIN..=FOREIGN_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Joins an entity's prefix and 40 random bytes, each below 62, into a key.
#[must_use]
pub fn assemble(prefix: &str, random: &[u8; BODY_LENGTH]) -> String {
    let mut key = String::with_capacity(KEY_LENGTH_MAX);
    key.push_str(prefix);
    key.extend(random.iter().map(|n| digit(u32::from(*n))));
    let check = checksum(&key);
    key.push('_');
    key.extend(check.iter().map(|b| char::from(*b)));
    key
}

/// The digest of a key under a zone's pepper.
#[must_use]
pub fn digest(pepper: &Pepper, key: &str) -> KeyDigest {
    shortened(&blake3::keyed_hash(&pepper.0, key.as_bytes()))
}

/// The SHA-256 of a secret: what other systems store of it.
#[must_use]
pub fn sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The digest, under a zone's pepper, of a key whose secret is known by its SHA-256 alone. It is never that of a secret in
/// clear, which has no blank.
#[must_use]
pub fn digest_of_sha256(pepper: &Pepper, sha256: &[u8; 32]) -> KeyDigest {
    let mut hasher = blake3::Hasher::new_keyed(&pepper.0);
    hasher.update(b"sha256 ").update(sha256);
    shortened(&hasher.finalize())
}

fn shortened(hash: &blake3::Hash) -> KeyDigest {
    let mut short = [0; 16];
    short.copy_from_slice(hash.as_bytes().split_at(16).0);
    KeyDigest(short)
}

fn checksum(signed: &str) -> [u8; CHECK_LENGTH] {
    let mut rest = crc32fast::hash(signed.as_bytes());
    let mut check = [b'0'; CHECK_LENGTH];
    for slot in check.iter_mut().rev() {
        *slot = u8::try_from(digit(rest.wrapping_rem(62))).unwrap_or(b'0');
        rest = rest.wrapping_div(62);
    }
    check
}

fn digit(n: u32) -> char {
    let index = usize::try_from(n.wrapping_rem(62)).unwrap_or(0);
    BASE62.get(index).map_or('0', |b| char::from(*b))
}
