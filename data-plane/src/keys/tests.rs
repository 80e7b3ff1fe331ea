//! Whatever is put, moved and taken away, the table says what a plain map would say.

use super::{KeyEntry, KeyTable};
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::{KeyDigest, PreviousDigest};
use domain::name::Glob;
use domain::snapshot::{Key, KeyChange};
use domain::time::Timestamp;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn digest(number: u16) -> KeyDigest {
    KeyDigest(*blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap())
}

fn key(uid: i64, number: u16) -> Key {
    Key {
        uid: KeyUid(uid),
        digest: digest(number),
        org: OrgUid(uid % 7),
        name: format!("org-{}/key {uid}", uid % 7),
        models: Vec::new(),
        previous: None,
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::default(),
    }
}

/// Belongs to whoever has `number` now: no two have it at once.
fn before(number: u16) -> u16 {
    number + 400
}

prop_compose! {
    fn any_key()(uid in 1_i64..600, number in 0_u16..400, has in any::<[bool; 6]>(), name in "[a-zé]{0,9}") -> Key {
        let [models, budgeted, expires, disabled, allowed, rotated] = has;
        let previous = PreviousDigest { digest: digest(before(number)), until: Timestamp(1) };
        let globs = vec![Glob("a/*".to_owned())];
        let place = Jurisdiction::parse("SG").unwrap();
        Key {
            name,
            models: if models { globs } else { Vec::new() },
            previous: rotated.then(|| Box::new(previous)),
            budgeted,
            expires: expires.then_some(Timestamp(uid.cast_unsigned())),
            disabled,
            allowed: if allowed { Allowed::Only([place].into()) } else { Allowed::default() },
            ..key(uid, number)
        }
    }
}

/// Each digest belongs to one key at a time, as the control plane sees to.
fn change(known: &HashMap<KeyUid, Key>, wanted: Key, goes: bool) -> KeyChange {
    let is_taken = known.values().any(|it| it.digest == wanted.digest && it.uid != wanted.uid);
    if goes || is_taken { KeyChange::Gone(wanted.uid) } else { KeyChange::Put(wanted) }
}

fn agree(table: &KeyTable, known: &HashMap<KeyUid, Key>) {
    assert_eq!(table.len(), known.len());
    for number in 0..800 {
        let found = table.get(&digest(number)).map(|entry| entry.key.clone());
        let has = |key: &&Key| super::digests(key).any(|own| own == digest(number));
        let expected = known.values().find(has);
        assert_eq!(found.as_ref(), expected, "digest {number}");
    }
    for uid in (1..600).map(KeyUid) {
        assert_eq!(
            (table.by_uid(uid).as_ref(), table.has(uid)),
            (known.get(&uid), known.contains_key(&uid))
        );
    }
    let mut all: Vec<Key> =
        (0..KeyTable::shelves()).flat_map(|shelf| table.shelf(shelf)).flatten().collect();
    all.sort_by_key(|key| key.uid);
    let mut expected: Vec<Key> = known.values().cloned().collect();
    expected.sort_by_key(|key| key.uid);
    assert_eq!(all, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_table_of_folded_keys_says_what_a_plain_map_says(
        steps in proptest::collection::vec((any_key(), any::<u8>()), 1..400),
        whole in proptest::collection::vec(any_key(), 0..60),
    ) {
        let (table, mut known) = (KeyTable::default(), HashMap::new());
        for (wanted, die) in steps {
            let change = change(&known, wanted, die < 50);
            match &change {
                KeyChange::Put(key) => drop(known.insert(key.uid, key.clone())),
                KeyChange::Gone(uid) => drop(known.remove(uid)),
            }
            // Half of them are in use meanwhile.
            if let KeyChange::Put(key) = &change && die % 2 == 0 {
                drop(table.get(&key.digest));
            }
            table.apply(vec![change]);
        }
        agree(&table, &known);
        let mut state = HashMap::new();
        for wanted in whole {
            if let KeyChange::Put(key) = change(&state, wanted, false) {
                state.insert(key.uid, key);
            }
        }
        table.replace(state.values().cloned().map(KeyChange::Put).collect());
        agree(&table, &state);
    }
}

#[test]
fn a_key_that_is_used_keeps_its_counts_and_one_that_rests_is_folded_up() {
    let table = KeyTable::default();
    // All of one shelf.
    let uids = (1..=200_i64).map(|n| n * 256);
    table.apply(uids.zip(0..).map(|(uid, number)| KeyChange::Put(key(uid, number))).collect());
    let used: Arc<KeyEntry> = table.get(&digest(0)).unwrap();
    for number in 1..200 {
        drop(table.get(&digest(number)).unwrap());
    }
    assert!(Arc::ptr_eq(&used, &table.get(&digest(0)).unwrap()));
    let unfolded: usize = table.shelves.iter().map(|shelf| shelf.read().unfolded_count()).sum();
    assert!((1..200).contains(&unfolded), "{unfolded} of 200 are unfolded");
}
