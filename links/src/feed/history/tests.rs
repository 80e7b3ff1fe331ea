//! What is kept, and who gets what.

use super::*;
use domain::config::Plan;
use domain::snapshot::Tombstone;
use prost::Message;
use proto::feed::v1::{SyncResponse, sync_response};

fn rev(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

fn plan(name: &str) -> Change {
    Change::Plan(Plan { name: name.into(), ..Plan::default() })
}

fn publish(history: &mut History, to: Revision, changes: Vec<Change>) {
    let delta = Delta { from: history.head(), to, changes };
    let encoded = delta.changes.iter().map(frames::change).collect();
    history.publish(&delta, encoded).unwrap();
}

fn history(settings: PublisherSettings, head: u64) -> History {
    let mut history = History::new(rev(1), &[plan("a")], settings);
    for next in 2..=head {
        publish(&mut history, rev(next), vec![plan(&format!("p{next}"))]);
    }
    history
}

/// What a data plane at `at` is told, in short.
fn told(history: &History, at: Option<Revision>) -> String {
    match history.after(at) {
        Step::Wait => "wait".into(),
        Step::Delta { to, .. } => format!("delta to {}.{}", to.generation, to.rev),
        Step::Snapshot => {
            let at = history.snapshot(None).at;
            format!("snapshot at {}.{}", at.generation, at.rev)
        }
    }
}

#[test]
fn who_is_in_the_ring_gets_deltas_and_who_is_not_a_snapshot() {
    let settings = PublisherSettings { ring_deltas: 3, ..PublisherSettings::default() };
    let history = history(settings, 10);
    let rows = [
        (None, "snapshot at 1.10"),
        (Some(rev(10)), "wait"),
        (Some(rev(9)), "delta to 1.10"),
        (Some(rev(7)), "delta to 1.8"),
        (Some(rev(6)), "snapshot at 1.10"),
        (Some(rev(0)), "snapshot at 1.10"),
        (Some(Revision { generation: 0, rev: 9 }), "snapshot at 1.10"),
    ];
    for (at, expected) in rows {
        assert_eq!(told(&history, at), expected, "{at:?}");
    }
}

#[test]
fn the_ring_is_bounded_by_number_and_by_bytes() {
    let few = PublisherSettings { ring_deltas: 5, ..PublisherSettings::default() };
    assert_eq!(history(few, 1000).ring.len(), 5);
    let small = PublisherSettings { ring_bytes: 200, ..PublisherSettings::default() };
    let history = history(small, 1000);
    let held: usize = history.ring.iter().map(|kept| kept.encoded.len()).sum();
    assert_eq!(history.ring_bytes, held);
    assert!((1..=200).contains(&held), "{held}");
    assert_eq!(history.ring.back().map(|kept| kept.to), Some(rev(1000)));
}

#[test]
fn a_delta_too_large_to_travel_becomes_a_snapshot() {
    let settings = PublisherSettings { delta_bytes: 500, ..PublisherSettings::default() };
    let mut history = history(settings, 3);
    publish(&mut history, rev(4), (0..100).map(|n| plan(&format!("import-{n}"))).collect());
    assert_eq!(told(&history, Some(rev(3))), "snapshot at 1.4");
    publish(&mut history, rev(5), vec![plan("b")]);
    assert_eq!(told(&history, Some(rev(4))), "delta to 1.5");
    assert_eq!(told(&history, Some(rev(2))), "snapshot at 1.5");
}

#[test]
fn across_a_new_generation_everyone_gets_a_snapshot() {
    let mut history = history(PublisherSettings::default(), 3);
    let next = Revision { generation: 2, rev: 3 };
    publish(&mut history, next, Vec::new());
    assert_eq!(told(&history, Some(rev(3))), "snapshot at 2.3");
    assert_eq!(told(&history, Some(next)), "wait");
}

#[test]
fn a_delta_that_does_not_lead_from_the_head_forward_is_refused() {
    let mut history = history(PublisherSettings::default(), 3);
    for (from, to) in [(2, 4), (4, 5), (3, 3), (3, 2)] {
        let delta = Delta { from: rev(from), to: rev(to), changes: vec![plan("z")] };
        let refused = history.publish(&delta, delta.changes.iter().map(frames::change).collect());
        assert_eq!(refused, Err(WrongBase { from: rev(from), at: rev(3) }), "{from} to {to}");
    }
    assert_eq!(history.head(), rev(3));
    assert_eq!(names(&history), ["a", "p2", "p3"]);
}

#[test]
fn a_snapshot_is_the_sum_of_all_deltas() {
    let mut history = history(PublisherSettings::default(), 4);
    let gone = Change::Tombstone(Tombstone::Plan("p3".into()));
    publish(&mut history, rev(5), vec![plan("new"), gone]);
    assert_eq!(names(&history), ["a", "new", "p2", "p4"]);
}

#[test]
fn a_head_that_passed_a_revision_without_having_been_there_leads_on_from_it_by_a_snapshot() {
    let mut history = history(PublisherSettings::default(), 3);
    assert!(!history.has_reached(rev(5)));
    publish(&mut history, rev(4), Vec::new());
    assert!(!history.has_reached(rev(5)));
    publish(&mut history, rev(6), Vec::new());
    assert!(history.has_reached(rev(5)));
    assert!(matches!(history.after(Some(rev(5))), Step::Snapshot));
}

#[test]
fn an_empty_state_is_one_empty_last_chunk() {
    let history = History::new(rev(1), &[], PublisherSettings::default());
    let (frame, is_last) = history.snapshot(None).next_chunk(1000);
    assert!(is_last);
    let chunk = chunk(&frame);
    assert!(chunk.last && chunk.changes.is_empty());
}

/// The names of the plans in a snapshot.
fn names(history: &History) -> Vec<String> {
    let mut reader = history.snapshot(None);
    let mut names = Vec::new();
    loop {
        let (frame, is_last) = reader.next_chunk(30);
        for change in chunk(&frame).changes {
            let Ok(Change::Plan(plan)) = Change::try_from(change) else { panic!("not a plan") };
            names.push(plan.name);
        }
        if is_last {
            return names;
        }
    }
}

fn chunk(frame: &Frame) -> proto::feed::v1::SnapshotChunk {
    let response = SyncResponse::decode(frame.encode_to_vec().as_slice()).unwrap();
    let Some(sync_response::Message::Chunk(chunk)) = response.message else { panic!("no chunk") };
    chunk
}
