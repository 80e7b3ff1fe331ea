//! Keys: their form, and that no slip of a finger looks like one.

use domain::key::{BODY_LENGTH, KEY_LENGTH_MAX, Pepper, assemble, digest, is_well_formed};
use proptest::prelude::*;

const PREFIXES: [&str; 4] = ["sk-tp-", "k", "0", "abcdefghijklmnopqrstuvw-"];

fn body(seed: u8) -> [u8; BODY_LENGTH] {
    let mut next = seed;
    std::array::from_fn(|_| {
        next = next.wrapping_mul(181).wrapping_add(83);
        next % 62
    })
}

#[test]
fn keys_of_every_prefix_are_well_formed() {
    for (prefix, seed) in PREFIXES.into_iter().zip(0..) {
        let key = assemble(prefix, &body(seed));
        assert!(is_well_formed(&key), "{key}");
        assert!(key.starts_with(prefix) && key.len() == prefix.len() + BODY_LENGTH + 7);
        assert!(key.len() <= KEY_LENGTH_MAX);
    }
}

#[test]
fn the_format_does_not_change_under_keys_that_are_out_there() {
    let key = assemble("sk-tp-", &body(7));
    assert_eq!(key, "sk-tp-8NODSxGHkV6J81uRMdgXg5Yb6lGdMH4dityj2Lin_37gXLk");
}

#[test]
fn every_wrong_character_at_every_place_is_caught() {
    for prefix in PREFIXES {
        let key = assemble(prefix, &body(42));
        for place in 0..key.len() {
            for wrong in (b' '..=b'~').filter(|wrong| *wrong != key.as_bytes()[place]) {
                let mut bytes = key.clone().into_bytes();
                bytes[place] = wrong;
                let typo = String::from_utf8(bytes).unwrap();
                assert!(!is_well_formed(&typo), "{typo} instead of {key}");
            }
        }
    }
}

#[test]
fn cut_longer_and_swapped_keys_are_caught() {
    let key = assemble("sk-tp-", &body(3));
    for end in 0..key.len() {
        assert!(!is_well_formed(key.get(..end).unwrap()));
    }
    assert!(!is_well_formed(&format!("{key}0")));
    assert!(!is_well_formed(&format!(" {key}")));
    assert!(!is_well_formed(&key.replace("sk-tp-", "sk-xx-")), "the prefix is signed too");
    for place in 1..key.len() {
        let mut bytes = key.clone().into_bytes();
        bytes.swap(place - 1, place);
        let swapped = String::from_utf8(bytes).unwrap();
        assert!(swapped == key || !is_well_formed(&swapped), "{swapped} instead of {key}");
    }
    assert!(!is_well_formed(""));
    assert!(!is_well_formed(&"_".repeat(70)));
    assert!(!is_well_formed(&assemble(&"x".repeat(25), &body(3))), "longer than a key can be");
}

/// A key with any text before its checksum.
fn signed(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = usize::try_from(crc32fast::hash(text.as_bytes())).unwrap();
    let mut check = [b'0'; 6];
    for slot in check.iter_mut().rev() {
        *slot = DIGITS[rest % 62];
        rest /= 62;
    }
    format!("{text}_{}", std::str::from_utf8(&check).unwrap())
}

#[test]
fn a_right_checksum_alone_makes_no_key() {
    let body = "k".repeat(BODY_LENGTH);
    assert!(is_well_formed(&signed(&format!("sk-{body}"))));
    assert!(!is_well_formed(&signed("sk-short")));
    for wrong in ["-", "_", " ", "é", "\n"] {
        let text = format!("sk-{}{wrong}", body.get(1..).unwrap());
        assert!(!is_well_formed(&signed(&text)), "{text:?}");
    }
}

#[test]
fn digests_depend_on_the_pepper_and_on_every_character() {
    let key = assemble("sk-tp-", &body(1));
    let (mine, theirs) = (Pepper([1; 32]), Pepper([2; 32]));
    assert_eq!(digest(&mine, &key), digest(&mine, &key));
    assert_ne!(digest(&mine, &key), digest(&theirs, &key));
    assert_ne!(digest(&mine, &key), digest(&mine, &format!("{key}0")));
    assert_eq!(format!("{mine:?}"), "Pepper(…)", "a pepper is never printed");
}

proptest! {
    #[test]
    fn no_text_makes_reading_a_key_panic(text in "\\PC{0,90}") {
        prop_assert!(!is_well_formed(&text), "junk has no checksum");
    }

    #[test]
    fn random_keys_are_well_formed(random in prop::array::uniform32(0_u8..62), tail in prop::array::uniform8(0_u8..62)) {
        let mut body = [0; BODY_LENGTH];
        body[..32].copy_from_slice(&random);
        body[32..].copy_from_slice(&tail);
        prop_assert!(is_well_formed(&assemble("sk-tp-", &body)));
    }
}
