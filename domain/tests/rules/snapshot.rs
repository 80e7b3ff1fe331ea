//! Snapshots: a delta leads exactly from one state to the next, absence deletes nothing, and prices fall back.

use crate::sample::{any_catalog, catalog, org, plan};
use domain::catalog::{Catalog, Object};
use domain::compile::{Compiled, compile};
use domain::config::Kind;
use domain::id::{KeyUid, OrgUid, Revision};
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::price::Schedule;
use domain::snapshot::{
    Change, Delta, Key, KeyChange, Org, Route, SellPrice, Snapshot, Tombstone, WrongBase,
};
use domain::time::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;

fn revision(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

fn compiled(catalog: &Catalog, rev: u64, previous: &Compiled) -> Compiled {
    compile(catalog, rev, &|_| Timestamp(7), previous).expect("valid")
}

fn assembled(state: &Compiled, rev: u64) -> Snapshot {
    Snapshot::assemble(revision(rev), state.changes_from(&Compiled::default())).0
}

fn delta(from: u64, to: u64, changes: Vec<Change>) -> Delta {
    Delta { from: revision(from), to: revision(to), changes }
}

fn key(uid: i64) -> Key {
    Key {
        uid: KeyUid(uid),
        digest: KeyDigest([9; 16]),
        org: OrgUid(1),
        name: "acme/ci".to_owned(),
        models: Vec::new(),
        previous: None,
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    }
}

#[test]
fn a_delta_applies_only_onto_the_revision_it_starts_from() {
    let snapshot = assembled(&compiled(&catalog(), 5, &Compiled::default()), 5);
    let other_generation = Revision { generation: 2, rev: 5 };
    for from in [revision(4), revision(6), other_generation] {
        let wrong = Delta { from, to: revision(7), changes: Vec::new() };
        assert_eq!(snapshot.apply(wrong), Err(WrongBase { from, at: revision(5) }));
    }
    let (next, keys) = snapshot.apply(delta(5, 6, Vec::new())).unwrap();
    assert_eq!(next, Snapshot { revision: revision(6), ..snapshot });
    assert!(keys.is_empty());
}

#[test]
fn absence_deletes_nothing_and_a_tombstone_deletes_one_thing() {
    let before = catalog();
    let first = compiled(&before, 1, &Compiled::default());
    let mut after = before.clone();
    assert!(after.remove(Kind::Org, "acme").is_some());
    let second = compiled(&after, 2, &first);
    assert_eq!(
        second.changes_from(&first),
        [
            Change::Model(second.models["openai/gpt-5"].clone()),
            Change::Tombstone(Tombstone::Org(OrgUid(1)))
        ],
        "its audience has no price of its own any more",
    );
    let snapshot = assembled(&first, 1);
    let (untouched, _) = snapshot.apply(delta(1, 2, vec![Change::Plan(plan("other"))])).unwrap();
    assert!(untouched.orgs.contains_key(&OrgUid(1)) && untouched.plans.len() == 2);
    let (next, _) = snapshot.apply(delta(1, 2, second.changes_from(&first))).unwrap();
    assert!(!next.orgs.contains_key(&OrgUid(1)) && next.plans.len() == 1);
}

#[test]
fn keys_are_handed_on_in_order_and_never_kept() {
    let mut changes =
        compiled(&catalog(), 1, &Compiled::default()).changes_from(&Compiled::default());
    changes.push(Change::Key(key(4)));
    changes.push(Change::Tombstone(Tombstone::Key(KeyUid(3))));
    let (_, keys) = Snapshot::assemble(revision(1), changes);
    assert_eq!(keys, [KeyChange::Put(key(4)), KeyChange::Gone(KeyUid(3))]);
}

#[test]
fn an_org_created_again_under_its_name_is_another_one() {
    let mut catalog = catalog();
    let first = compiled(&catalog, 1, &Compiled::default());
    catalog.put(Object::Org(org(2, "acme", "sg", "global")));
    let second = compiled(&catalog, 2, &first);
    let (next, _) = assembled(&first, 1).apply(delta(1, 2, second.changes_from(&first))).unwrap();
    assert_eq!(next.orgs.keys().collect::<Vec<_>>(), [&OrgUid(2)]);
    assert_eq!(next, assembled(&second, 2));
}

#[test]
fn an_org_pays_its_own_price_else_its_audiences_else_cannot_use_the_route() {
    let price = |entity: &str, audience: &str, org: Option<&str>, revision: u64| {
        Arc::new(SellPrice {
            entity: entity.to_owned(),
            audience: audience.to_owned(),
            org: org.map(str::to_owned),
            revision,
            schedule: Schedule::default(),
        })
    };
    let route = Route {
        upstream: "openai".to_owned(),
        model: "gpt".to_owned(),
        priority: 0,
        weight: 1,
        supported_parameters: Vec::new(),
        prices: vec![
            price("sg", "", None, 1),
            price("sg", "global", None, 2),
            price("sg", "global", Some("acme"), 3),
            price("tw", "global", None, 4),
        ],
    };
    let buyer = |name: &str, entity: &str, audience: &str| Org {
        uid: OrgUid(1),
        name: name.to_owned(),
        entity: entity.to_owned(),
        plan: "basic".to_owned(),
        audience: audience.to_owned(),
        allowed: Allowed::Any,
        disabled: false,
        store_content: false,
    };
    let table = [
        (buyer("acme", "sg", "global"), Some(3)),
        (buyer("other", "sg", "global"), Some(2)),
        (buyer("other", "sg", ""), Some(1)),
        (buyer("acme", "tw", "global"), Some(4)),
        (buyer("acme", "sg", "china"), None),
        (buyer("acme", "cn", "global"), None),
    ];
    for (org, revision) in table {
        assert_eq!(route.price_for(&org).map(|price| price.revision), revision, "{org:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn deltas_lead_to_the_same_state_as_a_fresh_snapshot(
        catalogs in prop::collection::vec(any_catalog(), 1..6),
    ) {
        let mut state = Compiled::default();
        let mut at = 0;
        let mut folded = Snapshot { revision: revision(0), ..Snapshot::default() };
        for (catalog, rev) in catalogs.iter().zip(1..) {
            let Ok(next) = compile(catalog, rev, &|_| Timestamp(7), &state) else { continue };
            let changes = next.changes_from(&state);
            folded = folded.apply(delta(at, rev, changes)).unwrap().0;
            prop_assert_eq!(&folded, &assembled(&next, rev));
            prop_assert!(next.changes_from(&next).is_empty());
            (state, at) = (next, rev);
        }
    }

    #[test]
    fn puts_come_in_order_of_reference_and_tombstones_last(before in any_catalog(), after in any_catalog()) {
        let before = compile(&before, 1, &|_| Timestamp(7), &Compiled::default()).unwrap_or_default();
        let after = compile(&after, 2, &|_| Timestamp(7), &before).unwrap_or_default();
        let place = |change: &Change| match change {
            Change::Entity(_) => 0,
            Change::Plan(_) => 1,
            Change::Upstream(_) => 2,
            Change::Model(_) => 3,
            Change::Org(_) => 4,
            Change::Key(_) => 5,
            Change::Tombstone(Tombstone::Key(_)) => 6,
            Change::Tombstone(Tombstone::Org(_)) => 7,
            Change::Tombstone(Tombstone::Model(_)) => 8,
            Change::Tombstone(Tombstone::Upstream(_)) => 9,
            Change::Tombstone(Tombstone::Plan(_)) => 10,
            Change::Tombstone(Tombstone::Entity(_)) => 11,
        };
        prop_assert!(after.changes_from(&before).is_sorted_by_key(place));
    }
}
