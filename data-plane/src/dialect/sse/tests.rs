//! Events are the same however their bytes arrive.

use super::{Event, EventReader};
use bytes::Bytes;

const STREAM: &str = ": hello\n\ndata: {\"a\":1}\n\ndata:{\"b\":2}\r\n\r\nevent: x\rdata: c\r\r\u{feff}data: d\ndata: e\n\nid: 7\n\ndata: [DONE]\n\n";

fn read(frames: &[&[u8]]) -> Vec<Event> {
    let mut reader = EventReader::default();
    let mut events = Vec::new();
    for frame in frames {
        reader.push(Bytes::copy_from_slice(frame));
        events.extend(std::iter::from_fn(|| reader.next()));
    }
    events.extend(reader.rest());
    events
}

fn data(events: &[Event]) -> Vec<String> {
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
    events.iter().filter_map(|event| event.data.as_ref()).map(text).collect()
}

fn raw(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(|event| event.raw.to_vec()).collect()
}

#[test]
fn every_split_of_a_stream_gives_the_same_data_and_the_same_bytes() {
    let bytes = STREAM.as_bytes();
    let expected = ["{\"a\":1}", "{\"b\":2}", "c", "d\ne", "[DONE]"];
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let events = read(&[&bytes[..first], &bytes[first..second], &bytes[second..]]);
            assert_eq!(data(&events), expected, "split at {first} and {second}");
            assert_eq!(raw(&events), bytes, "split at {first} and {second}");
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_data() {
    let frames: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
    assert_eq!(data(&read(&frames)), ["{\"a\":1}", "{\"b\":2}", "c", "d\ne", "[DONE]"]);
}

#[test]
fn an_event_is_given_as_soon_as_its_blank_line_is_seen() {
    let mut reader = EventReader::default();
    reader.push(Bytes::from_static(b"data: 1\n"));
    assert_eq!(reader.next(), None);
    reader.push(Bytes::from_static(b"\n"));
    assert_eq!(reader.next().unwrap().data.unwrap(), "1");
}

#[test]
fn an_event_without_data_is_none() {
    let events = read(&[b"data:\n\ndata: \r\n\r\nid: 7\n\n: ping\n\ndata: 1\n\n"]);
    assert_eq!((events.len(), data(&events)), (5, vec!["1".to_owned()]));
}

#[test]
fn an_endless_line_in_small_frames_is_read_once() {
    let mut reader = EventReader::default();
    // Read again with every frame, these would be two terabytes.
    for _ in 0..2 * 1024 * 1024 {
        reader.push(Bytes::from_static(&[b'x'; 8]));
        assert_eq!(reader.next(), None);
    }
    assert_eq!(reader.pending(), 16 * 1024 * 1024);
    reader.push(Bytes::from_static(b"\n\n"));
    assert_eq!(reader.next().unwrap().raw.len(), 16 * 1024 * 1024 + 2);
}

#[test]
fn an_event_that_was_never_closed_is_what_is_left() {
    let events = read(&[b"data: 1\n\ndata: 2"]);
    assert_eq!(data(&events), ["1", "2"]);
}
