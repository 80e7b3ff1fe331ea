//! Makes the secret of a new key. It is shown once; only its digest under the zone's pepper is kept.

use crate::errors::Failure;
use crate::settings::Secret;
use domain::key::{BODY_LENGTH, KeyDigest, Pepper, assemble, digest, digest_of_sha256, sha256};
use rand::TryRng;
use rand::rngs::SysRng;

/// Values of a character.
const BASE: u8 = 62;
/// The largest multiple of 62 that a byte can reach: bytes from here on are thrown away, else some characters would come
/// more often than others.
const FAIR_BELOW: u8 = 248;

/// A new secret and what is stored of it.
pub(crate) fn make(prefix: &str, pepper: &Pepper) -> Result<(Secret, KeyDigest), Failure> {
    let secret = assemble(prefix, &random_body()?);
    let digest = digest(pepper, &secret);
    Ok((Secret::new(secret), digest))
}

/// A secret that another system made, as far as it is known.
pub(crate) enum Foreign {
    /// In clear.
    Secret(Secret),
    /// Its SHA-256 alone.
    Sha256([u8; 32]),
}

impl Foreign {
    /// By which it is told from others, in whatever form they come.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Secret(secret) => sha256(secret.expose()),
            Self::Sha256(hash) => *hash,
        }
    }

    /// What is stored of it, first; then what would be stored if it had come in the other form, as far as that is known.
    pub(crate) fn digests(&self, pepper: &Pepper) -> Vec<KeyDigest> {
        let by_hash = digest_of_sha256(pepper, &self.sha256());
        match self {
            Self::Secret(secret) => vec![digest(pepper, secret.expose()), by_hash],
            Self::Sha256(_) => vec![by_hash],
        }
    }
}

fn random_body() -> Result<[u8; BODY_LENGTH], Failure> {
    let mut body = [0; BODY_LENGTH];
    let mut filled = 0;
    while filled < BODY_LENGTH {
        let mut random = [0; 2 * BODY_LENGTH];
        SysRng.try_fill_bytes(&mut random).map_err(|_| Failure::NoRandomness)?;
        let fair = random.into_iter().filter(|byte| *byte < FAIR_BELOW);
        for (slot, byte) in body.iter_mut().skip(filled).zip(fair) {
            *slot = byte.wrapping_rem(BASE);
            filled += 1;
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::key::is_well_formed;
    use std::collections::BTreeMap;

    #[test]
    fn every_character_of_a_key_comes_as_often_as_every_other() {
        let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
        let rounds = 2_000;
        for _ in 0..rounds {
            for digit in random_body().unwrap() {
                *counts.entry(digit).or_default() += 1;
            }
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.keys().all(|digit| *digit < BASE));
        // 80 000 draws over 62 values: 1290 each, a standard deviation of 36. A modulo over 256 would give the first
        // eight 25 % more than the others.
        for (digit, count) in counts {
            assert!((1_070..=1_510).contains(&count), "digit {digit} came {count} times");
        }
    }

    #[test]
    fn a_secret_is_a_well_formed_key_with_the_entitys_prefix_and_never_comes_twice() {
        let pepper = Pepper([7; 32]);
        let (first, first_digest) = make("sk-tp-", &pepper).unwrap();
        let (second, second_digest) = make("sk-tp-", &pepper).unwrap();
        assert!(first.expose().starts_with("sk-tp-"));
        assert!(is_well_formed(first.expose()));
        assert_ne!(first, second);
        assert_ne!(first_digest, second_digest);
        assert_eq!(first_digest, digest(&pepper, first.expose()));
        assert!(!format!("{first:?}").contains(first.expose()));
    }
}
