//! Exchanges on a connection whose other end is played byte by byte.

use super::{BrokenOff, ExchangeError, Incoming, Wire};
use crate::body::splice::{Edit, Spliced};
use bytes::Bytes;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const HEAD_BYTES_MAX: usize = 4 << 10;

fn request() -> Spliced {
    let edit = Edit { at: 6..6, text: "big ".to_owned() };
    let mut request = Spliced::new(&Bytes::from("hello world"), vec![edit]);
    request.put_before(Bytes::from("POST / HTTP/1.1\r\ncontent-length: 15\r\n\r\n"));
    request
}

const SENT: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 15\r\n\r\nhello big world";

async fn parts(incoming: &mut Incoming<DuplexStream>) -> Result<String, BrokenOff> {
    let mut text = String::new();
    while let Some(part) = poll_fn(|context| incoming.poll_part(context)).await {
        text.push_str(std::str::from_utf8(&part?).unwrap());
    }
    Ok(text)
}

/// One exchange with an upstream that answers so, in pieces, and then leaves the connection open, or closes it.
async fn exchange(
    answer: &str,
    piece: usize,
    stays: bool,
) -> Result<(u16, Result<String, BrokenOff>, bool), ExchangeError> {
    let (ours, mut theirs) = duplex(16);
    let answer = answer.as_bytes().to_vec();
    let upstream = tokio::spawn(async move {
        let mut heard = vec![0; SENT.len()];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, SENT);
        for piece in answer.chunks(piece) {
            theirs.write_all(piece).await.unwrap();
        }
        stays.then_some(theirs)
    });
    let mut request = request();
    let (head, mut incoming) = Wire::new(ours, HEAD_BYTES_MAX).exchange(&mut request).await?;
    let body = parts(&mut incoming).await;
    let _open = upstream.await.unwrap();
    Ok((head.status.as_u16(), body, incoming.into_free().is_some_and(|mut wire| wire.is_open())))
}

#[tokio::test]
async fn an_answer_is_read_whole_however_it_is_cut_and_leaves_the_connection_free() {
    let rows = [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ];
    for answer in rows {
        for piece in 1..=answer.len() {
            let (status, body, is_free) = exchange(answer, piece, true).await.unwrap();
            assert_eq!(
                (status, body.unwrap().as_str(), is_free),
                (200, "hello", true),
                "{answer} by {piece}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_not_fit_for_another_request_is_not_used_again() {
    let rows = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok more", true, "what nobody asked for"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", true, "it says so"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", true, "an old one"),
        ("HTTP/1.1 200 OK\r\n\r\nok", false, "closing ends it"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false, "it has closed"),
    ];
    for (answer, stays, why) in rows {
        let (_, body, is_free) = exchange(answer, 1024, stays).await.unwrap();
        assert_eq!((body.unwrap().as_str(), is_free), ("ok", false), "{why}");
    }
}

#[tokio::test]
async fn what_breaks_off_is_told_once_and_is_no_end() {
    let rows = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense",
    ];
    for answer in rows {
        let (_, body, is_free) = exchange(answer, 7, false).await.unwrap();
        assert_eq!((body, is_free), (Err(BrokenOff), false), "{answer}");
    }
    for (answer, is_closed) in [("", true), ("HTTP/1.1 200", true), ("SSH-2.0-x\r\n\r\n", false)] {
        let failed = exchange(answer, 7, false).await.unwrap_err();
        assert_eq!(matches!(failed, ExchangeError::Closed), is_closed, "{answer}: {failed}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let (ours, mut theirs) = duplex(16 << 10);
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(HEAD_BYTES_MAX));
    theirs.write_all(head.as_bytes()).await.unwrap();
    let failed = Wire::new(ours, HEAD_BYTES_MAX).exchange(&mut request()).await.err().unwrap();
    assert!(matches!(failed, ExchangeError::Malformed), "{failed}");
}

#[tokio::test]
async fn an_upstream_that_answers_before_it_was_told_all_is_heard_and_its_connection_dropped() {
    let (ours, mut theirs) = duplex(16);
    theirs.write_all(b"HTTP/1.1 413 ").await.unwrap();
    let upstream = tokio::spawn(async move {
        theirs.write_all(b"Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        theirs
    });
    let mut request = request();
    let (head, mut incoming) =
        Wire::new(ours, HEAD_BYTES_MAX).exchange(&mut request).await.unwrap();
    assert_eq!((head.status.as_u16(), parts(&mut incoming).await.unwrap().as_str()), (413, "no"));
    assert!(incoming.into_free().is_none());
    drop(upstream.await.unwrap());
}

#[tokio::test]
async fn a_free_connection_that_was_closed_takes_nothing_of_a_request() {
    let (ours, theirs) = duplex(16);
    let mut wire = Wire::new(ours, HEAD_BYTES_MAX);
    assert!(wire.is_open());
    drop(theirs);
    assert!(!wire.is_open());
    let mut request = request();
    assert!(wire.exchange(&mut request).await.is_err());
    assert!(request.is_untouched());
}
