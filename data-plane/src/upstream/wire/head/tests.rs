//! What is kept of a head, and which heads are refused.

use super::{BadHead, Framing, Parsed, parse};

fn told(lines: &str) -> Result<Option<Parsed>, BadHead> {
    parse(format!("HTTP/1.1 {lines}\r\n\r\n").as_bytes())
}

#[test]
fn a_head_says_how_its_body_ends_and_whether_the_connection_stays() {
    let rows = [
        ("200 OK\r\nContent-Length: 12", Framing::Length(12), true),
        ("200 OK\r\nContent-Length: 12\r\ncontent-length: 12", Framing::Length(12), true),
        ("200 OK\r\ntransfer-encoding: Chunked", Framing::Chunked(Default::default()), true),
        ("200 OK\r\ncontent-length: 0\r\nconnection: keep-alive, Close", Framing::Length(0), false),
        ("200 OK", Framing::UntilClose, false),
        ("204 No Content", Framing::Length(0), true),
    ];
    for (lines, framing, stays_open) in rows {
        let parsed = told(lines).unwrap().unwrap();
        assert_eq!((parsed.framing, parsed.stays_open), (framing, stays_open), "{lines}");
    }
    let old = parse(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").unwrap().unwrap();
    assert!(!old.stays_open);
}

#[test]
fn what_matters_of_a_head_is_kept_and_its_length_told() {
    let head = b"HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nRetry-After: 7\r\nX: y\r\ncontent-length: 2\r\n\r\n{}";
    let parsed = parse(head).unwrap().unwrap();
    assert_eq!(parsed.head.status, 429);
    assert_eq!(parsed.head.content_type.unwrap(), "application/json");
    assert_eq!(parsed.head.retry_after.unwrap(), "7");
    assert_eq!(&head[parsed.length..], b"{}");
    for length in 0..head.len() - 2 {
        assert!(parse(&head[..length]).unwrap().is_none(), "{length} bytes are no whole head");
    }
}

#[test]
fn heads_that_two_readers_could_read_in_two_ways_are_refused() {
    let rows = [
        "200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
        "200 OK\r\ncontent-length: 1\r\ncontent-length: 2",
        "200 OK\r\ncontent-length: +1",
        "200 OK\r\ncontent-length: 1, 1",
        "200 OK\r\ncontent-length: 99999999999999999999",
        "200 OK\r\ntransfer-encoding: gzip, chunked",
        "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "200 OK\r\nbroken line",
        "20 OK",
    ];
    for lines in rows {
        assert!(told(lines).is_err(), "{lines}");
    }
    assert!(parse(b"HTTP/2.0 200 OK\r\n\r\n").is_err());
    assert!(parse(b"\x16\x03\x01\x02").is_err());
}
