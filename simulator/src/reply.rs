//! An answer as moves on the wire: bytes to hand out, waits, and the faults that stop half-way.
//! Who performs the moves, and what is recorded of them, is `player`'s business.

use std::{time::Duration, vec};

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{error::ApiError, fault::Fault, script::Script, stream::Stream};

/// A head and the moves that make the body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) moves: Moves,
}

/// One thing to do on the wire.
#[derive(Debug)]
pub(crate) enum Move {
    Send(Chunk),
    Wait(Duration),
    /// Say nothing more and keep the connection.
    Stall,
    /// Close the connection inside the body.
    Cut,
    /// Reset the connection (TCP RST) inside the body.
    Reset,
}

/// Bytes that go out in one write.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// The usage that these bytes report, for the log.
    pub(crate) usage: Option<Box<RawValue>>,
}

/// The moves of a body, in order.
#[derive(Debug)]
pub(crate) enum Moves {
    Known(vec::IntoIter<Move>),
    /// Made one by one: a stream may be longer than the memory.
    Stream(Box<Stream>),
}

impl Moves {
    pub(crate) fn next(&mut self) -> Option<Move> {
        match self {
            Self::Known(moves) => moves.next(),
            Self::Stream(stream) => stream.next(),
        }
    }
}

impl Move {
    pub(crate) fn send(bytes: impl Into<Bytes>) -> Self {
        Self::Send(Chunk { bytes: bytes.into(), usage: None })
    }
}

impl Reply {
    /// An answer in one piece, without any fault.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = body.len();
        Self::sized(status, "application/json", length, vec![Move::send(body)])
    }

    /// An answer in one piece that plays the script's fault.
    pub(crate) fn whole(body: Vec<u8>, usage: Option<Box<RawValue>>, script: &Script) -> Self {
        let (length, half) = (body.len(), body.len() / 2);
        let mut body = Bytes::from(body);
        let moves = match script.fault {
            Some(Fault::Cut) => vec![Move::send(body.split_to(half)), Move::Cut],
            Some(Fault::Stall) => vec![Move::send(body.split_to(half)), Move::Stall],
            Some(Fault::MalformedChunk) => return Self::json(StatusCode::OK, "{\"id\": broken"),
            Some(Fault::ErrorFirst | Fault::ErrorMid) => {
                return Self::json(StatusCode::OK, ApiError::in_stream().body().to_string());
            }
            Some(Fault::SlowFirstToken) => {
                vec![Move::Wait(script.delay), Move::Send(Chunk { bytes: body, usage })]
            }
            _ => vec![Move::Send(Chunk { bytes: body, usage })],
        };
        Self::sized(StatusCode::OK, "application/json", length, moves)
    }

    /// A page of HTML under a good status.
    pub(crate) fn html() -> Self {
        let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
        Self::sized(StatusCode::OK, "text/html", page.len(), vec![Move::send(page)])
    }

    /// To where whoever follows would get an answer, and leave a mark in the log.
    pub(crate) fn redirect() -> Self {
        let status = StatusCode::TEMPORARY_REDIRECT;
        let mut reply = Self::sized(status, "text/html", 0, vec![Move::send("")]);
        let elsewhere = HeaderValue::from_static("/elsewhere/v1/chat/completions");
        reply.headers.insert(LOCATION, elsewhere);
        reply
    }

    /// An event stream.
    pub(crate) fn events(stream: Stream, script: &Script) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
        if script.fault == Some(Fault::NoDone) {
            headers.insert("connection", HeaderValue::from_static("close"));
        }
        Self { status: StatusCode::OK, headers, moves: Moves::Stream(Box::new(stream)) }
    }

    fn sized(status: StatusCode, kind: &'static str, length: usize, moves: Vec<Move>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        Self { status, headers, moves: Moves::Known(moves.into_iter()) }
    }
}

/// A value of ours as JSON.
pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own values have string keys and cannot fail")
}
