//! Bodies end where they say, however they are cut; what can be read in two ways is refused.

use super::{BadFraming, Chunked, Framing, UNREAD_BYTES_MAX};
use bytes::BytesMut;

/// What is read of a body in pieces of a size, and how many of its bytes were its own.
fn read(
    mut framing: Framing,
    bytes: &[u8],
    size: usize,
) -> Result<(String, usize, bool), BadFraming> {
    let (mut body, mut taken) = (BytesMut::new(), 0);
    for piece in bytes.chunks(size) {
        taken += framing.decode(piece, &mut body)?;
    }
    Ok((String::from_utf8(body.to_vec()).unwrap(), taken, framing.is_done()))
}

fn chunked() -> Framing {
    Framing::Chunked(Chunked::default())
}

#[test]
fn every_cut_of_a_chunked_body_reads_the_same() {
    let rows = [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\na\r\n00A\r\nbcdefghijk\r\n0\r\n\r\n", "abcdefghijk"),
        ("3;x=\"1\"\r\nabc\r\n0 \r\nx-trailer: 1\r\ny: 2\r\n\r\n", "abc"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("0\r\n\r\n", ""),
    ];
    for (bytes, expected) in rows {
        for size in 1..=bytes.len() {
            let found = read(chunked(), bytes.as_bytes(), size);
            assert_eq!(found, Ok((expected.to_owned(), bytes.len(), true)), "{bytes:?} by {size}");
            let more = format!("{bytes}HTTP/1.1 200");
            let found = read(chunked(), more.as_bytes(), more.len());
            assert_eq!(
                found,
                Ok((expected.to_owned(), bytes.len(), true)),
                "what follows is not its own"
            );
        }
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).unwrap();
            assert!(matches!(read(chunked(), cut.as_bytes(), 64), Ok((_, _, false))), "{cut:?}");
        }
    }
}

#[test]
fn chunks_that_two_readers_could_read_in_two_ways_are_refused() {
    let endless = format!("1;{}", "x".repeat(UNREAD_BYTES_MAX + 1));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(UNREAD_BYTES_MAX));
    let rows = [
        "\r\nabc",
        "x\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\rhello",
        "5\r\nhelloX",
        "5\r\nhello\n0\r\n",
        "1000000000000000\r\n",
        " 5\r\nhello",
        "0\r\n\rX",
        "0\r\na\rb",
        &endless,
        &trailers,
    ];
    for bytes in rows {
        for size in [1, bytes.len()] {
            assert_eq!(
                read(chunked(), bytes.as_bytes(), size),
                Err(BadFraming),
                "{bytes:?} by {size}"
            );
        }
    }
}

#[test]
fn a_length_ends_where_it_says_and_a_close_where_it_comes() {
    assert_eq!(read(Framing::Length(5), b"hello!", 2), Ok(("hello".to_owned(), 5, true)));
    assert_eq!(read(Framing::Length(9), b"hello!", 2), Ok(("hello!".to_owned(), 6, false)));
    assert!(Framing::Length(0).is_done() && !Framing::Length(1).may_close());
    assert_eq!(read(Framing::UntilClose, b"hello!", 4), Ok(("hello!".to_owned(), 6, false)));
    assert!(Framing::UntilClose.may_close());
}
