//! Each message against each state it may come in.

use super::*;
use domain::config::Plan;

fn assembly(have: Option<Revision>) -> Assembly {
    Assembly::new(have, &SubscriberSettings::default())
}

fn rev(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

fn plan(name: &str) -> Change {
    Change::Plan(Plan { name: name.into(), ..Plan::default() })
}

/// An entity that cannot be read: it is nowhere.
fn bad_entity(name: &str) -> v1::Change {
    let entity = v1::Entity { name: name.into(), ..v1::Entity::default() };
    v1::Change { change: Some(v1::change::Change::Entity(entity)) }
}

fn delta_of(from: u64, to: u64, changes: Vec<v1::Change>) -> v1::SyncResponse {
    let delta = v1::Delta { from: Some(rev(from).into()), to: Some(rev(to).into()), changes };
    v1::SyncResponse { message: Some(sync_response::Message::Delta(delta)) }
}

fn delta(from: u64, to: u64) -> v1::SyncResponse {
    delta_of(from, to, vec![(&plan(&format!("p{to}"))).into()])
}

fn chunk_of(at: u64, changes: Vec<v1::Change>, last: bool) -> v1::SyncResponse {
    let chunk = v1::SnapshotChunk { at: Some(rev(at).into()), changes, last };
    v1::SyncResponse { message: Some(sync_response::Message::Chunk(chunk)) }
}

fn chunk(at: u64, name: &str, last: bool) -> v1::SyncResponse {
    chunk_of(at, vec![(&plan(name)).into()], last)
}

fn expected_delta(from: u64, to: u64) -> Option<FeedUpdate> {
    let changes = vec![plan(&format!("p{to}"))];
    Some(FeedUpdate::Delta(Delta { from: rev(from), to: rev(to), changes }))
}

#[test]
fn a_snapshot_is_handed_out_once_its_last_chunk_is_there() {
    let mut assembly = assembly(None);
    assert_eq!(assembly.take(chunk(5, "a", false)), Ok(None));
    assert_eq!(assembly.take(chunk(5, "b", false)), Ok(None));
    let whole = FeedUpdate::Snapshot { at: rev(5), changes: vec![plan("a"), plan("b"), plan("c")] };
    assert_eq!(assembly.take(chunk(5, "c", true)), Ok(Some(whole)));
    assert_eq!(assembly.take(delta(5, 6)), Ok(expected_delta(5, 6)));
}

#[test]
fn what_a_broken_connection_left_of_a_snapshot_is_dropped() {
    let mut assembly = assembly(None);
    assert_eq!(assembly.take(chunk(5, "a", false)), Ok(None));
    assembly.start_over();
    let whole = FeedUpdate::Snapshot { at: rev(7), changes: vec![plan("b")] };
    assert_eq!(assembly.take(chunk(7, "b", true)), Ok(Some(whole)));
}

#[test]
fn a_delta_that_was_handed_out_before_the_break_is_not_handed_out_again() {
    let mut assembly = assembly(Some(rev(5)));
    assert_eq!(assembly.take(delta(5, 6)), Ok(expected_delta(5, 6)));
    assert_eq!(assembly.take(delta(6, 7)), Ok(expected_delta(6, 7)));
    assembly.start_over();
    assert_eq!(assembly.take(delta(5, 6)), Ok(None));
    assert_eq!(assembly.take(delta(6, 7)), Ok(None));
    assert_eq!(assembly.take(delta(7, 8)), Ok(expected_delta(7, 8)));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    type Row = (Option<u64>, Vec<v1::SyncResponse>, v1::SyncResponse, ProtocolError);
    let no_revision = |message| v1::SyncResponse { message: Some(message) };
    let have = |revision| Some(rev(revision));
    let rows: Vec<Row> = vec![
        (Some(5), vec![], v1::SyncResponse { message: None }, ProtocolError::Empty),
        (
            Some(5),
            vec![],
            no_revision(sync_response::Message::Chunk(v1::SnapshotChunk::default())),
            ProtocolError::NoRevision,
        ),
        (
            Some(5),
            vec![],
            no_revision(sync_response::Message::Delta(v1::Delta::default())),
            ProtocolError::NoRevision,
        ),
        (None, vec![], delta(5, 6), ProtocolError::WrongBase { from: rev(5), have: None }),
        (Some(5), vec![], delta(6, 7), ProtocolError::WrongBase { from: rev(6), have: have(5) }),
        (Some(5), vec![], delta(4, 7), ProtocolError::WrongBase { from: rev(4), have: have(5) }),
        (Some(5), vec![chunk(6, "a", false)], delta(5, 6), ProtocolError::TornSnapshot),
        (
            Some(5),
            vec![chunk(6, "a", false)],
            chunk(7, "b", true),
            ProtocolError::MixedSnapshots { expected: rev(6), found: rev(7) },
        ),
        (
            Some(5),
            vec![],
            chunk(4, "a", true),
            ProtocolError::OlderSnapshot { at: rev(4), have: rev(5) },
        ),
    ];
    for (have, before, message, expected) in rows {
        let mut assembly = assembly(have.map(rev));
        for earlier in before {
            assert_eq!(assembly.take(earlier), Ok(None));
        }
        assert_eq!(assembly.take(message), Err(expected.clone()));
        assembly.start_over();
        assert_eq!(assembly.have, have.map(rev), "{expected}");
    }
}

#[test]
fn a_change_that_cannot_be_read_is_left_out_and_told_until_a_readable_one_replaces_it() {
    let mut assembly = assembly(Some(rev(5)));
    let good: v1::Change = (&plan("good")).into();
    let update = assembly.take(delta_of(5, 6, vec![bad_entity("acme"), good]));
    let rest = Delta { from: rev(5), to: rev(6), changes: vec![plan("good")] };
    assert_eq!(update, Ok(Some(FeedUpdate::Delta(rest))));
    let told = assembly.rejects();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].id, Some(ObjectId::Entity("acme".into())));
    assert!(told[0].reason.contains("jurisdiction"), "{}", told[0].reason);

    assert!(assembly.take(delta(6, 7)).is_ok());
    assert_eq!(assembly.rejects().len(), 1, "an unrelated delta mends nothing");

    let gone = v1::Tombstone { kind: v1::Kind::Entity.into(), name: "acme".into(), uid: 0 };
    let gone = v1::Change { change: Some(v1::change::Change::Tombstone(gone)) };
    assert!(assembly.take(delta_of(7, 8, vec![gone])).is_ok());
    assert_eq!(assembly.rejects(), []);
}

#[test]
fn a_kind_of_change_that_this_version_does_not_know_is_told() {
    let mut assembly = assembly(Some(rev(5)));
    assert!(assembly.take(delta_of(5, 6, vec![v1::Change { change: None }])).is_ok());
    assert_eq!(assembly.rejects()[0].id, None);
}

#[test]
fn the_rejects_of_a_snapshot_count_from_its_last_chunk_on() {
    let mut assembly = assembly(None);
    assert_eq!(assembly.take(chunk_of(5, vec![bad_entity("acme")], false)), Ok(None));
    assert_eq!(assembly.rejects(), []);
    assert!(assembly.take(chunk(5, "a", true)).is_ok());
    assert_eq!(assembly.rejects().len(), 1);
    assert!(assembly.take(chunk(6, "a", true)).is_ok());
    assert_eq!(assembly.rejects(), []);
}

#[test]
fn a_snapshot_of_too_many_objects_or_bytes_is_refused_at_the_first_that_is_too_many() {
    let one = chunk(5, "a", false);
    let bytes = match &one.message {
        Some(sync_response::Message::Chunk(chunk)) => chunk.changes[0].encoded_len(),
        other => panic!("{other:?}"),
    };
    let settings = SubscriberSettings::default();
    let rows = [
        (SubscriberSettings { snapshot_objects: 2, ..settings }, 2, "objects"),
        (SubscriberSettings { snapshot_bytes: 2 * bytes, ..settings }, 2 * bytes, "bytes"),
    ];
    for (settings, most, of) in rows {
        let mut assembly = Assembly::new(Some(rev(3)), &settings);
        assert_eq!(assembly.take(one.clone()), Ok(None));
        assert_eq!(assembly.take(chunk(5, "b", false)), Ok(None));
        let refused = ProtocolError::TooLarge { at: rev(5), most, of };
        assert_eq!(assembly.take(chunk(5, "c", true)), Err(refused), "{of}");
        // What was there before goes on.
        assembly.start_over();
        assert_eq!(assembly.take(delta(3, 4)), Ok(expected_delta(3, 4)));
    }
}

#[test]
fn a_heartbeat_is_no_update_and_is_told_once() {
    let mut assembly = assembly(Some(rev(5)));
    let heartbeat = v1::Heartbeat { head: Some(rev(5).into()), digests: Vec::new() };
    let message = |heartbeat| v1::SyncResponse {
        message: Some(sync_response::Message::Heartbeat(heartbeat)),
    };
    assert_eq!(assembly.take(message(heartbeat)), Ok(None));
    assert_eq!(assembly.take_heartbeat().unwrap().head, rev(5));
    assert_eq!(assembly.take_heartbeat(), None);
    let empty = message(v1::Heartbeat::default());
    assert_eq!(assembly.take(empty), Err(ProtocolError::NoRevision));
}

#[test]
fn what_was_forgotten_is_not_followed_by_anything_older() {
    let mut assembly = assembly(Some(rev(5)));
    assembly.forget();
    let older = ProtocolError::OlderSnapshot { at: rev(4), have: rev(5) };
    assert_eq!(assembly.take(chunk(4, "a", true)), Err(older.clone()));
    assembly.forget();
    assembly.start_over();
    assert_eq!(assembly.take(chunk(4, "a", false)), Err(older));
    let whole = FeedUpdate::Snapshot { at: rev(5), changes: vec![plan("a")] };
    assert_eq!(assembly.take(chunk(5, "a", true)), Ok(Some(whole)));
    assert_eq!(assembly.take(delta(5, 6)), Ok(expected_delta(5, 6)));
}
