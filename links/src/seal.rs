//! Sealing of upstream credentials: encrypted at rest, in the feed and in snapshots; opened only where they are used.
//!
//! AES-256-GCM, a random nonce first, the owner's name as associated data, so that a sealed value works nowhere else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use thiserror::Error;

/// Sealed bytes that do not open: another key, another name, or damage. Which of them cannot be told.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the sealed value does not open: wrong seal key, sealed for another name, or damaged")]
pub struct BadSeal;

/// Seals `plain` for `name`.
///
/// # Panics
/// Never for less than 64 GiB.
#[must_use]
pub fn seal(key: &[u8; 32], name: &str, plain: &[u8]) -> Vec<u8> {
    let mut body = plain.to_vec();
    let nonce = cipher(key)
        .seal_in_place_append_tag(Aad::from(name), &mut body)
        .expect("AES-GCM seals all that is shorter than 64 GiB");
    let mut sealed = nonce.as_ref().to_vec();
    sealed.append(&mut body);
    sealed
}

/// Opens what `seal` made with the same key and name.
///
/// # Errors
/// When it does not open.
pub fn unseal(key: &[u8; 32], name: &str, sealed: &[u8]) -> Result<Vec<u8>, BadSeal> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(BadSeal)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| BadSeal)?;
    let mut plain = body.to_vec();
    let length =
        cipher(key).open_in_place(nonce, Aad::from(name), &mut plain).map_err(|_| BadSeal)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// Another key for another purpose: who has it does not have the one that it was made of.
#[must_use]
pub fn derive(key: &[u8; 32], purpose: &str) -> [u8; 32] {
    let made_of = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut derived = [0; 32];
    derived.copy_from_slice(hmac::sign(&made_of, purpose.as_bytes()).as_ref());
    derived
}

fn cipher(key: &[u8; 32]) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, key).expect("AES-256 takes every key of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn what_is_sealed_for_one_name_opens_for_no_other() {
        let sealed = seal(&KEY, "openai-main", b"sk-secret");
        assert_eq!(unseal(&KEY, "openai-main", &sealed), Ok(b"sk-secret".to_vec()));
        for name in ["openai-mainn", "openai-mai", "", "OPENAI-MAIN"] {
            assert_eq!(unseal(&KEY, name, &sealed), Err(BadSeal), "{name:?}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let sealed = seal(&KEY, "openai-main", b"sk-secret");
        let mut other = KEY;
        other[31] ^= 1;
        assert_eq!(unseal(&other, "openai-main", &sealed), Err(BadSeal));
    }

    #[test]
    fn every_flipped_bit_and_every_missing_end_is_noticed() {
        let sealed = seal(&KEY, "openai-main", b"sk-secret");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&KEY, "openai-main", &damaged), Err(BadSeal), "bit {bit}");
        }
        for length in 0..sealed.len() {
            let cut = &sealed[..length];
            assert_eq!(unseal(&KEY, "openai-main", cut), Err(BadSeal), "{length} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(unseal(&KEY, "openai-main", &longer), Err(BadSeal));
    }

    #[test]
    fn sealing_twice_looks_different_and_shows_nothing() {
        let plain = b"sk-a-rather-long-secret";
        let (one, two) = (seal(&KEY, "name", plain), seal(&KEY, "name", plain));
        assert_ne!(one, two);
        assert_ne!(one[..NONCE_LEN], two[..NONCE_LEN]);
        assert!(!one.windows(8).any(|window| plain.windows(8).any(|part| part == window)));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            key: [u8; 32],
            name in ".{0,40}",
            plain in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            prop_assert_eq!(unseal(&key, &name, &seal(&key, &name, &plain)), Ok(plain));
        }
    }
}
