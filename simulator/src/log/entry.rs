//! What the log holds, and its JSON. Bodies are those of HTTP, without its framing, in base64.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{HeaderMap, http::request::Parts};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::now_us;
use crate::fault::Fault;

/// About what an entry takes beside its bodies.
const ENTRY_BYTES: usize = 1_024;

/// One numbered line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) n: u64,
    pub(crate) event: Event,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Begin(Arc<Head>),
    End(Arc<Ending>),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// A whole answer is in the socket.
    Complete,
    /// The client left first, after `chunks_sent` chunks.
    ClientGone,
    /// A fault took the answer's place or broke it.
    Fault,
    /// The simulator was stopped.
    Shutdown,
}

/// What is known when a request's head has arrived.
#[derive(Debug, Serialize)]
pub(crate) struct Head {
    /// The attempt's number; it joins its two entries.
    pub(crate) attempt: u64,
    began_us: u64,
    request_id: Option<String>,
    method: String,
    path: String,
    request_headers: Pairs,
}

/// What is known when an attempt has ended.
#[derive(Debug, Serialize)]
pub(crate) struct Ending {
    #[serde(skip)]
    pub(crate) head: Arc<Head>,
    ended_us: u64,
    #[serde(serialize_with = "base64")]
    pub(crate) request_body: Bytes,
    pub(crate) fault: Option<Fault>,
    /// Absent where no answer was begun.
    pub(crate) status: Option<u16>,
    pub(crate) response_headers: Pairs,
    #[serde(serialize_with = "base64")]
    pub(crate) response_body: Vec<u8>,
    /// The bytes of each chunk in the socket, in order; their sum may exceed what is kept.
    pub(crate) chunk_lengths: Vec<usize>,
    chunks_sent: usize,
    /// The usage as it was sent, absent where none was.
    pub(crate) usage: Option<Box<RawValue>>,
    ended: Option<Ended>,
}

type Pairs = Vec<(String, String)>;

impl Head {
    pub(crate) fn new(attempt: u64, parts: &Parts) -> Self {
        let request_id = parts.headers.get("x-request-id");
        Self {
            attempt,
            began_us: now_us(),
            request_id: request_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            request_headers: pairs(&parts.headers),
        }
    }
}

impl Ending {
    pub(crate) fn new(head: Arc<Head>) -> Self {
        Self {
            head,
            ended_us: 0,
            request_body: Bytes::new(),
            fault: None,
            status: None,
            response_headers: Pairs::new(),
            response_body: Vec::new(),
            chunk_lengths: Vec::new(),
            chunks_sent: 0,
            usage: None,
            ended: None,
        }
    }

    pub(crate) fn end(&mut self, ended: Ended) {
        self.ended_us = now_us();
        self.chunks_sent = self.chunk_lengths.len();
        self.ended = Some(ended);
    }
}

impl Event {
    /// About the memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Begin(_) => ENTRY_BYTES,
            Self::End(ending) => {
                let lengths = ending.chunk_lengths.len() * size_of::<usize>();
                ENTRY_BYTES + ending.request_body.len() + ending.response_body.len() + lengths
            }
        }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            n: u64,
            event: &'a str,
            #[serde(flatten)]
            head: &'a Head,
            #[serde(flatten)]
            ending: Option<&'a Ending>,
        }
        let (event, head, ending) = match &self.event {
            Event::Begin(head) => ("begin", &**head, None),
            Event::End(ending) => ("end", &*ending.head, Some(&**ending)),
        };
        Line { n: self.n, event, head, ending }.serialize(serializer)
    }
}

/// Names and values in order of arrival; values of other bytes than UTF-8 with replacements.
pub(crate) fn pairs(headers: &HeaderMap) -> Pairs {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

fn base64<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}
