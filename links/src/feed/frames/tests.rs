//! The mirrors against the generated messages.

use super::*;
use domain::config::Plan;
use domain::id::KeyUid;
use domain::snapshot::Tombstone;
use prost::Message;
use v1::sync_response;

fn changes() -> Vec<Change> {
    vec![
        Change::Plan(Plan { name: "starter".into(), concurrency: Some(3), ..Plan::default() }),
        Change::Tombstone(Tombstone::Key(KeyUid(7))),
    ]
}

fn encoded() -> Vec<Bytes> {
    changes().iter().map(change).collect()
}

fn on_the_wire() -> Vec<v1::Change> {
    changes().iter().map(v1::Change::from).collect()
}

fn rev(rev: u64) -> Revision {
    Revision { generation: 3, rev }
}

#[test]
fn a_delta_frame_is_a_sync_response_byte_for_byte() {
    let frame = delta_frame(delta(rev(4), rev(5), encoded()));
    let delta =
        v1::Delta { from: Some(rev(4).into()), to: Some(rev(5).into()), changes: on_the_wire() };
    let message = Some(sync_response::Message::Delta(delta));
    assert_eq!(frame.encode_to_vec(), v1::SyncResponse { message }.encode_to_vec());
}

#[test]
fn a_chunk_frame_is_a_sync_response_byte_for_byte() {
    for (changes, on_the_wire, last) in
        [(encoded(), on_the_wire(), false), (Vec::new(), Vec::new(), true)]
    {
        let frame = chunk_frame(rev(4), changes, last);
        let chunk = v1::SnapshotChunk { at: Some(rev(4).into()), changes: on_the_wire, last };
        let message = Some(sync_response::Message::Chunk(chunk));
        assert_eq!(frame.encode_to_vec(), v1::SyncResponse { message }.encode_to_vec());
    }
}
