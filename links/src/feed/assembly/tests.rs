//! Each message against each state it may come in.

use super::*;
use crate::feed::SnapshotKey;
use domain::config::Plan;
use v1::sync_response;

fn assembly(have: Option<Revision>) -> Assembly {
    Assembly::new(have, &SubscriberSettings::default(), None)
}

/// As it comes off the wire.
fn frame(message: Option<sync_response::Message>) -> Frame {
    let response = v1::SyncResponse { message };
    Frame::decode(response.encode_to_vec().as_slice()).unwrap()
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

fn delta_of(from: u64, to: u64, changes: Vec<v1::Change>) -> Frame {
    let delta = v1::Delta { from: Some(rev(from).into()), to: Some(rev(to).into()), changes };
    frame(Some(sync_response::Message::Delta(delta)))
}

fn delta(from: u64, to: u64) -> Frame {
    delta_of(from, to, vec![(&plan(&format!("p{to}"))).into()])
}

fn chunk_of(at: u64, changes: Vec<v1::Change>, last: bool) -> Frame {
    let at = Some(rev(at).into());
    let chunk = v1::SnapshotChunk { at, changes, last, ..v1::SnapshotChunk::default() };
    frame(Some(sync_response::Message::Chunk(chunk)))
}

fn chunk(at: u64, name: &str, last: bool) -> Frame {
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
    type Row = (Option<u64>, Vec<Frame>, Frame, ProtocolError);
    let no_revision = |message| frame(Some(message));
    let have = |revision| Some(rev(revision));
    let rows: Vec<Row> = vec![
        (Some(5), vec![], frame(None), ProtocolError::Empty),
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
    let bytes = v1::Change::from(&plan("a")).encoded_len();
    let settings = SubscriberSettings::default();
    let rows = [
        (SubscriberSettings { snapshot_objects: 2, ..settings }, 2, "objects"),
        (SubscriberSettings { snapshot_bytes: 2 * bytes, ..settings }, 2 * bytes, "bytes"),
    ];
    for (settings, most, of) in rows {
        let mut assembly = Assembly::new(Some(rev(3)), &settings, None);
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
    let beat = |heartbeat| frame(Some(sync_response::Message::Heartbeat(heartbeat)));
    let head = Some(rev(5).into());
    assert_eq!(assembly.take(beat(v1::Heartbeat { head, ..v1::Heartbeat::default() })), Ok(None));
    assert_eq!(assembly.take_heartbeat().unwrap().head, rev(5));
    assert_eq!(assembly.take_heartbeat(), None);
    assert!(!assembly.hears_beats(), "it did not tell its time");
    assert_eq!(assembly.take(beat(v1::Heartbeat::default())), Err(ProtocolError::NoRevision));
}

#[test]
fn a_sign_of_life_confirms_nothing_and_tells_that_beats_are_heard() {
    let mut assembly = assembly(Some(rev(5)));
    let alive = v1::Heartbeat { now_us: 1, ..v1::Heartbeat::default() };
    assert_eq!(assembly.take(frame(Some(sync_response::Message::Heartbeat(alive)))), Ok(None));
    assert_eq!(assembly.take_heartbeat(), None);
    assert!(assembly.hears_beats());
    assembly.start_over();
    assert!(!assembly.hears_beats(), "the next control plane may be an older one");
}

#[test]
fn the_word_to_go_away_is_told_once_and_forgotten_with_its_connection() {
    let mut assembly = assembly(Some(rev(5)));
    let goaway = v1::GoAway { after_ms: 1_200, reason: "stopping".into() };
    let goaway = frame(Some(sync_response::Message::Goaway(goaway)));
    assert_eq!(assembly.take(goaway.clone()), Ok(None));
    assert_eq!(assembly.take_goaway(), Some(Duration::from_millis(1_200)));
    assert_eq!(assembly.take_goaway(), None);
    assert_eq!(assembly.take(goaway), Ok(None));
    assembly.start_over();
    assert_eq!(assembly.take_goaway(), None);
}

fn tagging(key: u8) -> Tagging {
    let key = SnapshotKey::derive(&[key; 32]);
    Tagging { key, cell: "sg".into(), zone: String::new() }
}

/// A snapshot at revision 5 in two chunks, with a tag for the cell.
fn tagged(tag: impl Fn(Bytes) -> Bytes) -> [Frame; 2] {
    let changes = ["a", "b"].map(|name| frames::change(&plan(name)));
    let mut tagger = tagging(7).begin(rev(5));
    changes.iter().for_each(|change| tagger.add(change));
    let at = Some(rev(5).into());
    let [first, second] = changes.map(|change| vec![change]);
    [
        frames::Chunk { at, changes: first, last: false, tag: Bytes::new() },
        frames::Chunk { at, changes: second, last: true, tag: tag(tagger.tag()) },
    ]
    .map(|chunk| frames::chunk_frame(&chunk))
}

fn outcome(key: u8, frames: [Frame; 2]) -> Result<Option<FeedUpdate>, ProtocolError> {
    let mut assembly = Assembly::new(None, &SubscriberSettings::default(), Some(tagging(key)));
    let [first, second] = frames;
    assert_eq!(assembly.take(first)?, None);
    assembly.take(second)
}

#[test]
fn a_snapshot_whose_tag_does_not_fit_is_not_handed_out() {
    let whole = FeedUpdate::Snapshot { at: rev(5), changes: vec![plan("a"), plan("b")] };
    assert_eq!(outcome(7, tagged(|tag| tag)), Ok(Some(whole)));
    let bad = Err(ProtocolError::BadTag { at: rev(5) });
    assert_eq!(outcome(8, tagged(|tag| tag)), bad, "of another key");
    assert_eq!(outcome(7, tagged(|_| Bytes::new())), bad, "none");
    let [first, second] = tagged(|tag| tag);
    let doubled = chunk_of(5, vec![(&plan("a")).into(), (&plan("c")).into()], false);
    assert_eq!(outcome(7, [doubled, second.clone()]), bad, "something more");
    assert_eq!(outcome(7, [chunk_of(5, Vec::new(), false), second]), bad, "something less");
    assert_eq!(outcome(7, [first, chunk(5, "b", true)]), bad, "no tag at all");
}

#[test]
fn what_this_version_does_not_know_of_a_change_counts_for_its_tag_all_the_same() {
    let mut change = frames::change(&plan("a")).to_vec();
    // Field 90 of a later version, a varint.
    change.extend([0xd0, 0x05, 0x01]);
    let change = Bytes::from(change);
    let mut tagger = tagging(7).begin(rev(5));
    tagger.add(&change);
    let at = Some(rev(5).into());
    let chunk = frames::Chunk { at, changes: vec![change], last: true, tag: tagger.tag() };
    let mut assembly = Assembly::new(None, &SubscriberSettings::default(), Some(tagging(7)));
    let whole = FeedUpdate::Snapshot { at: rev(5), changes: vec![plan("a")] };
    assert_eq!(assembly.take(frames::chunk_frame(&chunk)), Ok(Some(whole)));
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
