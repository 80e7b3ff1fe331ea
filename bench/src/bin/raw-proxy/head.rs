//! Heads of requests and answers, and where a chunked body ends.

use std::ops::Range;

const HEADERS_MAX: usize = 48;

/// A request's head.
pub(crate) struct RequestHead {
    /// Bytes of it.
    pub(crate) length: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
    /// Where the value of `Authorization` is.
    pub(crate) authorization: Option<Range<usize>>,
}

/// How a body ends.
pub(crate) enum Body {
    Length(usize),
    Chunked(Chunks),
}

/// Reads a request's head, once it is whole, and writes the one that goes on, but for its length.
pub(crate) fn request(
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<RequestHead>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes)? else { return Ok(None) };
    let mut head = RequestHead { length, body: 0, authorization: None };
    out.extend_from_slice(request.method.unwrap_or("POST").as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.path.unwrap_or("/").as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: upstream\r\nauthorization: Bearer sk-upstream\r\n");
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            head.body = number(header.value);
        } else if is("authorization") {
            let at = header.value.as_ptr().addr() - bytes.as_ptr().addr();
            head.authorization = Some(at..at + header.value.len());
        } else if !is("host") && !is("connection") {
            out.extend_from_slice(header.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(header.value);
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(Some(head))
}

/// Reads an answer's head, once it is whole: its length, and how the body ends.
pub(crate) fn response(bytes: &[u8]) -> Result<Option<(usize, Body)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let mut body = Body::Length(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(number(header.value));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked(Chunks::default());
        }
    }
    Ok(Some((length, body)))
}

fn number(value: &[u8]) -> usize {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Follows a chunked body without touching it.
#[derive(Default)]
pub(crate) struct Chunks {
    part: Part,
    size: usize,
    left: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Extension,
    Data,
    Trailer,
}

impl Chunks {
    /// Whether the last chunk and its empty trailer are in it.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> bool {
        while let Some((&first, rest)) = piece.split_first() {
            piece = match self.part {
                Part::Size => {
                    self.size_line(first);
                    rest
                }
                Part::Extension => {
                    if first == b'\n' {
                        self.begin();
                    }
                    rest
                }
                Part::Data | Part::Trailer => {
                    let take = self.left.min(piece.len());
                    self.left -= take;
                    if self.is_whole() {
                        return true;
                    }
                    piece.get(take..).unwrap_or_default()
                }
            };
        }
        false
    }

    /// After the data comes another size; after the trailer nothing.
    fn is_whole(&mut self) -> bool {
        match (self.left, self.part) {
            (0, Part::Trailer) => true,
            (0, _) => {
                self.part = Part::Size;
                false
            }
            _ => false,
        }
    }

    fn size_line(&mut self, byte: u8) {
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) => {
                self.size = self.size * 16 + usize::try_from(digit).unwrap_or(0);
            }
            (None, b';') => self.part = Part::Extension,
            (None, b'\n') => self.begin(),
            _ => {}
        }
    }

    /// The data and the line's end after it, or the empty trailer.
    fn begin(&mut self) {
        self.part = if self.size == 0 { Part::Trailer } else { Part::Data };
        self.left = self.size + 2;
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_chunked_body_is_found_however_it_is_cut() {
        let body = b"5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for size in 1..=body.len() {
            let mut chunks = Chunks::default();
            let ends: Vec<bool> = body.chunks(size).map(|piece| chunks.feed(piece)).collect();
            assert_eq!(ends.iter().position(|end| *end), Some(ends.len() - 1), "{size}");
        }
    }
}
