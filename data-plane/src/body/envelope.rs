//! The fields of a chat request that we act on, found with their places in the bytes.
//!
//! One parse serves routing, pricing and forwarding, so that no two readers can disagree: the fields we act on may stand
//! only once, and only in their exact spelling.

use crate::body::text::Text;
use crate::error::ApiError;
use memchr::memchr2;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// Places of values in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// First byte inside the outermost braces.
    pub(crate) inside: usize,
    pub(crate) model: Option<Range<usize>>,
    pub(crate) messages: Option<Range<usize>>,
    pub(crate) stream: Option<Range<usize>>,
    pub(crate) stream_options: Option<Range<usize>>,
    pub(crate) max_tokens: Option<Range<usize>>,
    pub(crate) max_completion_tokens: Option<Range<usize>>,
    pub(crate) n: Option<Range<usize>>,
    pub(crate) usage: Option<Range<usize>>,
    pub(crate) web_search_options: Option<Range<usize>>,
    pub(crate) tools: Option<Range<usize>>,
}

const FIELDS: [&str; 10] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "usage",
    "web_search_options",
    "tools",
];

impl Members {
    fn slot(&mut self, field: &str) -> Option<&mut Option<Range<usize>>> {
        Some(match field {
            "model" => &mut self.model,
            "messages" => &mut self.messages,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "max_tokens" => &mut self.max_tokens,
            "max_completion_tokens" => &mut self.max_completion_tokens,
            "n" => &mut self.n,
            "usage" => &mut self.usage,
            "web_search_options" => &mut self.web_search_options,
            "tools" => &mut self.tools,
            _ => return None,
        })
    }

    /// Finds the members of an object.
    pub(crate) fn find(text: &str, depth_max: usize) -> Result<Self, ApiError> {
        refuse_deep(text, depth_max)?;
        let mut members = Self { inside: inside(text)?, ..Self::default() };
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_map(Finder { text, members: &mut members }).map_err(unreadable)?;
        reader.end().map_err(unreadable)?;
        Ok(members)
    }
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::invalid("body", format!("the body is not a JSON object that can be used: {error}"))
}

fn inside(text: &str) -> Result<usize, ApiError> {
    let start = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
    if text.as_bytes().get(start) == Some(&b'{') {
        return Ok(start + 1);
    }
    Err(ApiError::invalid(
        "body",
        "the body is not a JSON object: send one with `model` and `messages`",
    ))
}

/// Nesting deeper than any reader behind us may like.
fn refuse_deep(text: &str, depth_max: usize) -> Result<(), ApiError> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = after_string(bytes, at),
            _ => {}
        }
        if depth > depth_max {
            let message = format!("the JSON is nested deeper than {depth_max} levels: flatten it");
            return Err(ApiError::invalid("body", message));
        }
    }
    Ok(())
}

fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

struct Finder<'a> {
    text: &'a str,
    members: &'a mut Members,
}

impl<'de> Visitor<'de> for Finder<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let Some(slot) = self.members.slot(&key) else {
                refuse_lookalike(&key)?;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if slot.is_some() {
                return Err(serde::de::Error::custom(format!(
                    "`{}` stands twice: send it once",
                    &*key
                )));
            }
            let value: &RawValue = map.next_value()?;
            *slot = Some(place(self.text, value.get()));
        }
        Ok(())
    }
}

/// Some servers take `Model` for `model`; what was checked here must be what they read.
fn refuse_lookalike<E: serde::de::Error>(key: &str) -> Result<(), E> {
    match FIELDS.iter().find(|field| field.eq_ignore_ascii_case(key)) {
        Some(field) => Err(E::custom(format!("`{key}` must be written `{field}`"))),
        None => Ok(()),
    }
}

/// Where a borrowed part of a text lies in it.
pub(crate) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}
