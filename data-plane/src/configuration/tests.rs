//! Snapshots and deltas apply in place; what is revoked is not found any more.

mod following;
mod on_disk;
mod world;

use super::*;
use crate::limits;
use crate::pipeline::authenticate::{AuthenticateError, caller};
use domain::config::{Entity, Plan};
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::PreviousDigest;
use domain::money::Currency;
use domain::snapshot::{Key, Org, Tombstone};
use domain::time::Timestamp;
use std::path::Path;
use std::time::Duration;

fn revision(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

fn digest(byte: u8) -> KeyDigest {
    KeyDigest([byte; 16])
}

fn key(uid: i64, byte: u8) -> Key {
    Key {
        uid: KeyUid(uid),
        digest: digest(byte),
        org: OrgUid(1),
        name: format!("acme/{uid}"),
        models: Vec::new(),
        previous: None,
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    }
}

fn org(uid: i64, name: &str) -> Change {
    Change::Org(Org {
        uid: OrgUid(uid),
        name: name.to_owned(),
        entity: "global".to_owned(),
        plan: "starter".to_owned(),
        audience: "public".to_owned(),
        allowed: Allowed::Any,
        disabled: false,
        store_content: false,
    })
}

fn entity(name: &str) -> Change {
    Change::Entity(Entity { name: name.to_owned(), ..sample_entity() })
}

fn sample_entity() -> Entity {
    Entity {
        name: String::new(),
        display_name: "Global".to_owned(),
        jurisdiction: Jurisdiction::parse("SG").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        key_prefix: "sk-".to_owned(),
        allowed: Allowed::Any,
        charge_empty_answers: false,
        charge_cut_answers: false,
    }
}

fn plan() -> Plan {
    Plan { name: "starter".to_owned(), requests_per_minute: Some(2), ..Plan::default() }
}

fn delta(from: u64, changes: Vec<Change>) -> Delta {
    Delta { from: revision(from), to: revision(from + 1), changes }
}

/// A configuration at revision 5 with an org and two keys.
fn loaded() -> Configuration {
    let configuration = Configuration::with(KeyTable::default(), Duration::from_secs(60));
    let changes =
        vec![Change::Plan(plan()), org(1, "acme"), Change::Key(key(1, 1)), Change::Key(key(2, 2))];
    configuration.replace(revision(5), changes).unwrap();
    configuration
}

fn apply(configuration: &Configuration, delta: Delta) {
    configuration.advance(delta).unwrap();
}

#[test]
fn a_snapshot_then_deltas_apply_in_place() {
    let configuration = loaded();
    assert_eq!(configuration.revision(), revision(5));
    assert_eq!(configuration.key_count(), 2);
    let kept = configuration.snapshot();
    apply(&configuration, delta(5, vec![org(2, "other"), Change::Key(key(3, 3))]));
    assert_eq!(configuration.revision(), revision(6));
    assert_eq!(configuration.snapshot().orgs[&OrgUid(2)].name, "other");
    assert_eq!(configuration.key(&digest(3)).unwrap().key.uid, KeyUid(3));
    assert!(!kept.orgs.contains_key(&OrgUid(2)), "a request keeps the snapshot that it began with");
}

#[test]
fn an_updated_key_keeps_its_counters() {
    let configuration = loaded();
    let before = configuration.key(&digest(1)).unwrap();
    let running = limits::admit(&before, &plan(), Timestamp(0), 0).unwrap();
    apply(&configuration, delta(5, vec![Change::Key(Key { disabled: true, ..key(1, 1) })]));
    let after = configuration.key(&digest(1)).unwrap();
    assert!(after.key.disabled && !before.key.disabled);
    assert_eq!(after.limits.running(), 1);
    drop(limits::admit(&after, &plan(), Timestamp(0), 0).unwrap());
    assert!(limits::admit(&after, &plan(), Timestamp(0), 0).is_err(), "two a minute, over both");
    drop(running);
    assert_eq!(after.limits.running(), 0);
}

#[test]
fn a_revoked_key_is_not_found_any_more() {
    let configuration = loaded();
    apply(&configuration, delta(5, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]));
    assert!(configuration.key(&digest(1)).is_none());
    assert!(configuration.key(&digest(2)).is_some());
    apply(&configuration, delta(6, vec![Change::Tombstone(Tombstone::Key(KeyUid(99)))]));
}

#[test]
fn a_key_with_a_new_digest_is_not_found_by_the_old_one() {
    let configuration = loaded();
    apply(&configuration, delta(5, vec![Change::Key(key(1, 7))]));
    assert!(configuration.key(&digest(1)).is_none());
    assert_eq!(configuration.key(&digest(7)).unwrap().key.uid, KeyUid(1));

    let takes_over = vec![Change::Key(key(2, 7)), Change::Tombstone(Tombstone::Key(KeyUid(1)))];
    apply(&configuration, delta(6, takes_over));
    assert_eq!(configuration.key(&digest(7)).unwrap().key.uid, KeyUid(2));
}

/// A key that was rotated: found by `byte`, and by `before` until then.
fn rotated(uid: i64, byte: u8, before: u8, until: u64) -> Key {
    let previous = PreviousDigest { digest: digest(before), until: Timestamp(until) };
    Key { previous: Some(Box::new(previous)), ..key(uid, byte) }
}

#[test]
fn a_rotated_key_is_found_by_both_secrets_and_kept_and_counted_once() {
    let configuration = loaded();
    let running = limits::admit(&configuration.key(&digest(1)).unwrap(), &plan(), Timestamp(0), 0);
    apply(&configuration, delta(5, vec![Change::Key(rotated(1, 7, 1, 9))]));
    let (old, new) =
        (configuration.key(&digest(1)).unwrap(), configuration.key(&digest(7)).unwrap());
    assert!(Arc::ptr_eq(&old, &new), "one key, one count of its requests");
    assert_eq!(new.limits.running(), 1);
    drop(running);
    assert_eq!(configuration.key_count(), 2);
    let kept = (0..configuration.shelves()).flat_map(|shelf| configuration.shelf(shelf)).flatten();
    let kept: Vec<Change> = kept.filter(|change| matches!(change, Change::Key(_))).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.contains(&Change::Key(rotated(1, 7, 1, 9))), "with its digest of before");

    apply(&configuration, delta(6, vec![Change::Key(rotated(1, 8, 7, 9))]));
    assert!(configuration.key(&digest(1)).is_none(), "two secrets at most");
    assert!(configuration.key(&digest(7)).is_some() && configuration.key(&digest(8)).is_some());
    apply(&configuration, delta(7, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]));
    assert!(configuration.key(&digest(7)).is_none() && configuration.key(&digest(8)).is_none());
}

#[test]
fn a_secret_of_before_is_good_until_its_time_by_the_clock_of_the_data_plane_alone() {
    let configuration = loaded();
    let changes = vec![entity("global"), Change::Key(rotated(1, 7, 1, 1_000))];
    apply(&configuration, delta(5, changes));
    let who = |byte, at| caller(&configuration, &digest(byte), Timestamp(at));
    let by_old = who(1, 999).unwrap();
    assert_eq!(by_old.presented, digest(1), "a running request goes on being asked for by it");
    for at in [1_000, 1_001, u64::MAX] {
        assert_eq!(who(1, at).err(), Some(AuthenticateError::Replaced), "{at}");
        assert_eq!(who(7, at).unwrap().key.key.uid, KeyUid(1));
    }
    apply(
        &configuration,
        delta(6, vec![Change::Key(Key { disabled: true, ..rotated(1, 7, 1, 1_000) })]),
    );
    for byte in [1, 7] {
        assert_eq!(who(byte, 0).err(), Some(AuthenticateError::Disabled), "{byte}");
    }
}

#[test]
fn a_caller_is_looked_up_again_after_any_change_and_asked_about_the_time_without_one() {
    let configuration = loaded();
    let changes = vec![entity("global"), Change::Key(rotated(1, 7, 1, 1_000))];
    apply(&configuration, delta(5, changes));
    let find = || caller(&configuration, &digest(1), Timestamp(0)).unwrap();
    let found = find();
    assert!(found.is_current(&configuration));
    assert!(found.is_welcome(&configuration, Timestamp(999)));
    assert!(!found.is_welcome(&configuration, Timestamp(1_000)), "its secret was replaced by now");
    assert!(find().renewed(&configuration, Timestamp(1_000)).is_err());

    apply(&configuration, delta(6, Vec::new()));
    assert!(!found.is_current(&configuration) && found.is_welcome(&configuration, Timestamp(999)));

    let stale = find();
    let disabled = Key { disabled: true, ..rotated(1, 7, 1, 1_000) };
    apply(&configuration, delta(7, vec![Change::Key(disabled)]));
    assert!(!stale.is_current(&configuration) && !stale.is_welcome(&configuration, Timestamp(0)));
    assert_eq!(
        stale.renewed(&configuration, Timestamp(0)).err(),
        Some(AuthenticateError::Disabled)
    );
}

#[test]
fn a_tombstone_takes_an_org_away_and_nothing_else_does() {
    let configuration = loaded();
    apply(&configuration, delta(5, Vec::new()));
    assert!(configuration.snapshot().orgs.contains_key(&OrgUid(1)));
    apply(&configuration, delta(6, vec![Change::Tombstone(Tombstone::Org(OrgUid(1)))]));
    assert!(configuration.snapshot().orgs.is_empty());
}

#[test]
fn a_later_snapshot_replaces_everything_but_counters() {
    let configuration = loaded();
    let entry = configuration.key(&digest(2)).unwrap();
    let _running = limits::admit(&entry, &plan(), Timestamp(0), 0).unwrap();
    let changes = vec![org(2, "other"), Change::Key(key(2, 2))];
    configuration.replace(revision(9), changes).unwrap();
    assert!(configuration.key(&digest(1)).is_none(), "it is not in the snapshot");
    assert_eq!(configuration.key(&digest(2)).unwrap().limits.running(), 1);
    assert!(!configuration.snapshot().orgs.contains_key(&OrgUid(1)));
    assert_eq!(configuration.key_count(), 1);
}

#[test]
fn what_is_older_or_starts_elsewhere_changes_nothing() {
    let configuration = loaded();
    let older = configuration.replace(revision(4), Vec::new());
    assert_eq!(older, Err(Misfit::Older { at: revision(4) }));
    for from in [7, 4] {
        let gone = delta(from, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]);
        assert!(matches!(configuration.advance(gone), Err(Misfit::WrongBase(_))));
    }
    assert!(configuration.key(&digest(1)).is_some());
    assert_eq!(configuration.revision(), revision(5));

    let raised = Revision { generation: 2, rev: 1 };
    configuration.replace(raised, Vec::new()).unwrap();
    assert_eq!(configuration.revision(), raised, "a new generation begins again");
}

#[tokio::test]
async fn whoever_waits_for_the_first_state_gets_it() {
    let configuration = Configuration::with(KeyTable::default(), Duration::from_secs(60));
    assert!(!configuration.is_loaded());
    let waiting = tokio::spawn({
        let configuration = configuration.clone();
        async move { configuration.loaded().await }
    });
    configuration.replace(revision(1), Vec::new()).unwrap();
    waiting.await.unwrap();
    assert!(configuration.is_loaded());
    configuration.loaded().await;
}
