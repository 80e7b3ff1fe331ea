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
    let tagged = Bytes::from_static(b"tag");
    for (changes, on_the_wire, last, tag) in [
        (encoded(), on_the_wire(), false, Bytes::new()),
        (Vec::new(), Vec::new(), true, Bytes::new()),
        (encoded(), on_the_wire(), true, tagged),
    ] {
        let at = Some(rev(4).into());
        let frame = chunk_frame(&Chunk { at, changes, last, tag: tag.clone() });
        let chunk = v1::SnapshotChunk { at, changes: on_the_wire, last, tag: tag.into() };
        let message = Some(sync_response::Message::Chunk(chunk));
        assert_eq!(frame.encode_to_vec(), v1::SyncResponse { message }.encode_to_vec());
    }
}

#[test]
fn beats_and_goaways_are_sync_responses_byte_for_byte() {
    let beat = |heartbeat| sync_response::Message::Heartbeat(heartbeat);
    let goaway = v1::GoAway { after_ms: 1_500, reason: "why".into() };
    let head = v1::Heartbeat { head: Some(rev(4).into()), digests: Vec::new(), now_us: 9 };
    let rows = [
        (heartbeat_frame(rev(4), &StateDigest::default(), 9), beat(head)),
        (alive_frame(9), beat(v1::Heartbeat { now_us: 9, ..v1::Heartbeat::default() })),
        (goaway_frame(Duration::from_millis(1_500), "why"), sync_response::Message::Goaway(goaway)),
    ];
    for (frame, message) in rows {
        let response = v1::SyncResponse { message: Some(message) };
        assert_eq!(frame.encode_to_vec(), response.encode_to_vec());
        assert_eq!(Frame::decode(frame.encode_to_vec().as_slice()), Ok(frame));
    }
}
