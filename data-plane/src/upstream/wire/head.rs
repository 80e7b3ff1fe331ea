//! The head of an answer: read by `httparse`, and only what we go by is kept of it.

use super::framing::{BadFraming, Chunked, Framing};
use http::{HeaderValue, StatusCode};
use httparse::{Header, ParserConfig, Response, Status};
use std::mem::MaybeUninit;
use thiserror::Error;

/// Header lines of an answer, at most.
const HEADERS_MAX: usize = 128;

/// What an upstream says before its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) retry_after: Option<HeaderValue>,
}

/// What cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum BadHead {
    #[error("the head of the answer is no HTTP/1")]
    Malformed(#[from] httparse::Error),
    #[error("the status of the answer is none")]
    Status,
    #[error(transparent)]
    Framing(#[from] BadFraming),
}

/// A head that came whole.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// Nothing speaks against another request on the same connection.
    pub(super) stays_open: bool,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Reads a head. `None`: more of it is to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Parsed>, BadHead> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let parser = ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut lines)?;
    let Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(BadHead::Status)?;
    let mut told = Told::default();
    for line in response.headers.iter() {
        told.hear(line)?;
    }
    let is_http_11 = response.version == Some(1);
    let framing = told.framing(status)?;
    let stays_open = is_http_11 && !told.closes && !framing.may_close();
    let Told { content_type, retry_after, .. } = told;
    Ok(Some(Parsed {
        head: Head { status, content_type, retry_after },
        framing,
        stays_open,
        length,
    }))
}

/// What the header lines say that matters here.
#[derive(Default)]
struct Told {
    content_type: Option<HeaderValue>,
    retry_after: Option<HeaderValue>,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
}

impl Told {
    fn hear(&mut self, line: &Header<'_>) -> Result<(), BadFraming> {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        // Most lines are none of these, and their lengths say so.
        match line.name.len() {
            10 if is("connection") => self.closes |= names(line.value, "close"),
            11 if is("retry-after") => self.retry_after = HeaderValue::from_bytes(line.value).ok(),
            12 if is("content-type") => {
                self.content_type = HeaderValue::from_bytes(line.value).ok();
            }
            14 if is("content-length") => {
                let length = number(line.value).ok_or(BadFraming)?;
                if self.length.replace(length).is_some_and(|before| before != length) {
                    return Err(BadFraming);
                }
            }
            17 if is("transfer-encoding") => {
                let is_plain = line.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if !is_plain || std::mem::replace(&mut self.is_chunked, true) {
                    return Err(BadFraming);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, status: StatusCode) -> Result<Framing, BadFraming> {
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Framing::Length(0));
        }
        match (self.is_chunked, self.length) {
            // Two ends, and somebody between us may believe the other one.
            (true, Some(_)) => Err(BadFraming),
            (true, None) => Ok(Framing::Chunked(Chunked::default())),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Whether a list of words holds one.
fn names(list: &[u8], word: &str) -> bool {
    list.split(|byte| *byte == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// Digits alone: no sign, no second value.
fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
