//! Snapshots and deltas apply in place; what is revoked is not found any more.

use super::*;
use crate::limits;
use domain::config::Plan;
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::Allowed;
use domain::snapshot::{Key, Org, Tombstone};
use domain::time::Timestamp;
use links::feed::{FeedHello, FeedPublisher};
use links::pipe::pipe;
use std::time::Duration;
use tokio::time::timeout;

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

fn plan() -> Plan {
    Plan { name: "starter".to_owned(), requests_per_minute: Some(2), ..Plan::default() }
}

fn delta(from: u64, changes: Vec<Change>) -> Delta {
    Delta { from: revision(from), to: revision(from + 1), changes }
}

/// A configuration at revision 5 with an org and two keys.
fn loaded() -> Configuration {
    let configuration = Configuration::new();
    let changes =
        vec![Change::Plan(plan()), org(1, "acme"), Change::Key(key(1, 1)), Change::Key(key(2, 2))];
    assert!(matches!(configuration.replace(revision(5), changes), Step::Done));
    configuration
}

fn apply(configuration: &Configuration, delta: Delta) {
    assert!(matches!(configuration.take_delta(delta), Step::Done));
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
    assert!(matches!(configuration.replace(revision(9), changes), Step::Done));
    assert!(configuration.key(&digest(1)).is_none(), "it is not in the snapshot");
    assert_eq!(configuration.key(&digest(2)).unwrap().limits.running(), 1);
    assert!(!configuration.snapshot().orgs.contains_key(&OrgUid(1)));
    assert_eq!(configuration.key_count(), 1);
}

#[test]
fn what_is_older_or_starts_elsewhere_changes_nothing() {
    let configuration = loaded();
    assert!(matches!(configuration.replace(revision(4), Vec::new()), Step::Refused(_)));
    let gap = delta(7, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]);
    assert!(matches!(configuration.take_delta(gap), Step::Refused(_)));
    let repeated = delta(4, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]);
    assert!(matches!(configuration.take_delta(repeated), Step::Done));
    assert!(configuration.key(&digest(1)).is_some());
    assert_eq!(configuration.revision(), revision(5));

    let raised = Revision { generation: 2, rev: 1 };
    assert!(matches!(configuration.replace(raised, Vec::new()), Step::Done));
    assert_eq!(configuration.revision(), raised, "a new generation begins again");
}

#[tokio::test]
async fn whoever_waits_for_the_first_state_gets_it() {
    let configuration = Configuration::new();
    assert!(!configuration.is_loaded());
    let waiting = tokio::spawn({
        let configuration = configuration.clone();
        async move { configuration.loaded().await }
    });
    configuration.replace(revision(1), Vec::new());
    waiting.await.unwrap();
    assert!(configuration.is_loaded());
    configuration.loaded().await;
}

#[tokio::test]
async fn what_is_published_is_applied_acked_and_a_revoked_key_fails_from_then_on() {
    let whole =
        vec![Change::Plan(plan()), org(1, "acme"), Change::Key(key(1, 1)), Change::Key(key(2, 2))];
    let publisher = FeedPublisher::new(revision(5), whole);
    let (carrier, connector) = pipe();
    let server = tonic::transport::Server::builder().add_service(publisher.service());
    tokio::spawn(server.serve_with_incoming(carrier));
    let hello = FeedHello { data_plane: "dp-1".into(), cell: "global".into(), applied: None };
    let subscriber = FeedSubscriber::start(connector.channel(), hello);
    let (configuration, token) = (Configuration::new(), CancellationToken::new());
    let following = tokio::spawn(configuration.clone().follow(subscriber, token.clone()));

    let patience = Duration::from_secs(20);
    timeout(patience, configuration.loaded()).await.unwrap();
    assert_eq!(configuration.revision(), revision(5));
    assert!(configuration.key(&digest(1)).is_some());
    let revoked = vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))];
    publisher.publish(delta(5, revoked)).unwrap();
    timeout(patience, publisher.applied_everywhere(revision(6))).await.unwrap();
    assert!(configuration.key(&digest(1)).is_none(), "acked means applied");
    assert!(configuration.key(&digest(2)).is_some());
    token.cancel();
    timeout(patience, following).await.unwrap().unwrap();
}
