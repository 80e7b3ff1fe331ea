//! An answer told byte for byte, `x_simulator.raw`: for what no fault of the list can say, such as a stream cut at every
//! byte, headers that are junk, or an event of fifty megabytes. It plays as any other answer does.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Deserialize;

use crate::reply::{Move, Moves, Reply};

/// What a long repetition is written in.
const BLOCK_BYTES: usize = 64 << 10;

/// Far above what any reader may take; keeps a typing error from filling the memory.
const BODY_BYTES_MAX: usize = 256 << 20;

/// The answer as it was told.
#[derive(Debug)]
pub(crate) struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    writes: Vec<Bytes>,
    end: End,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// As HTTP says.
    #[default]
    Whole,
    /// The connection closes inside the body.
    Cut,
    /// The connection is reset (TCP RST) inside the body.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Stall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Vec<Part>,
    /// Bytes a write; a part a write when it is not said.
    split: Option<usize>,
    #[serde(default)]
    end: End,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Repeat { repeat: String, times: usize },
    Base64 { base64: String },
}

impl Raw {
    /// Reads the field's JSON.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let told: Told = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut writes = Vec::new();
        for part in told.body {
            part.write(&mut writes)?;
        }
        if writes.iter().map(Bytes::len).sum::<usize>() > BODY_BYTES_MAX {
            return Err(format!("a body of at most {BODY_BYTES_MAX} bytes"));
        }
        if let Some(split) = told.split {
            writes = resplit(&writes.concat(), split.max(1));
        }
        let status = told.status.unwrap_or(200);
        Ok(Self {
            status: StatusCode::from_u16(status).map_err(|error| error.to_string())?,
            headers: headers(&told.headers)?,
            writes,
            end: told.end,
        })
    }

    /// Whether the answer is whole, by the letter of HTTP.
    pub(crate) fn is_whole(&self) -> bool {
        self.end == End::Whole
    }

    pub(crate) fn reply(&self) -> Reply {
        let end = match self.end {
            End::Whole => None,
            End::Cut => Some(Move::Cut),
            End::Reset => Some(Move::Reset),
            End::Stall => Some(Move::Stall),
        };
        let writes = self.writes.iter().cloned().map(Move::send);
        let moves: Vec<Move> = writes.chain(end).collect();
        let (status, headers) = (self.status, self.headers.clone());
        Reply { status, headers, moves: Moves::Known(moves.into_iter()) }
    }
}

impl Part {
    fn write(self, writes: &mut Vec<Bytes>) -> Result<(), String> {
        match self {
            Self::Text(text) => writes.push(Bytes::from(text)),
            Self::Base64 { base64 } => {
                let bytes = STANDARD.decode(base64).map_err(|error| error.to_string())?;
                writes.push(Bytes::from(bytes));
            }
            Self::Repeat { repeat, times } => {
                let a_block = (BLOCK_BYTES / repeat.len().max(1)).max(1);
                let block = Bytes::from(repeat.repeat(a_block.min(times)));
                writes.extend((0..times / a_block).map(|_| block.clone()));
                writes.push(block.slice(..repeat.len() * (times % a_block)));
            }
        }
        writes.retain(|write| !write.is_empty());
        Ok(())
    }
}

fn resplit(body: &[u8], split: usize) -> Vec<Bytes> {
    body.chunks(split).map(Bytes::copy_from_slice).collect()
}

/// An event stream, unless the headers say otherwise.
fn headers(told: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    for (name, value) in told {
        let name = HeaderName::try_from(name).map_err(|error| format!("{name:?}: {error}"))?;
        let value = HeaderValue::try_from(value).map_err(|error| format!("{name}: {error}"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
