//! The fields of a request that we act on, found with their places in the bytes.
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

/// A field of a request that we act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Model,
    Models,
    Messages,
    Prompt,
    Input,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    N,
    BestOf,
    Echo,
    WebSearchOptions,
    Tools,
    Usage,
    Route,
    Provider,
    SessionId,
}

impl Field {
    const ALL: [Self; 18] = [
        Self::Model,
        Self::Models,
        Self::Messages,
        Self::Prompt,
        Self::Input,
        Self::Stream,
        Self::StreamOptions,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::N,
        Self::BestOf,
        Self::Echo,
        Self::WebSearchOptions,
        Self::Tools,
        Self::Usage,
        Self::Route,
        Self::Provider,
        Self::SessionId,
    ];

    /// Spoken to the gateway and not to the model: an upstream that obeyed them, too, might serve another model than the
    /// one that is priced, elsewhere than allowed.
    pub(crate) const OURS: [Self; 5] =
        [Self::Models, Self::Usage, Self::Route, Self::Provider, Self::SessionId];

    /// As clients write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Models => "models",
            Self::Messages => "messages",
            Self::Prompt => "prompt",
            Self::Input => "input",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::N => "n",
            Self::BestOf => "best_of",
            Self::Echo => "echo",
            Self::WebSearchOptions => "web_search_options",
            Self::Tools => "tools",
            Self::Usage => "usage",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::SessionId => "session_id",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Places of values in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// First byte inside the outermost braces.
    pub(crate) inside: usize,
    places: [Option<Range<usize>>; Field::ALL.len()],
}

impl Members {
    /// Finds the members of an object.
    pub(crate) fn find(text: &str, depth_max: usize) -> Result<Self, ApiError> {
        refuse_deep(text, depth_max)?;
        let mut members = Self { inside: inside(text)?, ..Self::default() };
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_map(Finder { text, members: &mut members }).map_err(unreadable)?;
        reader.end().map_err(unreadable)?;
        Ok(members)
    }

    /// Where a field's value stands.
    pub(crate) fn at(&self, field: Field) -> Option<&Range<usize>> {
        self.places.get(field as usize).and_then(Option::as_ref)
    }

    /// What to cut out so that the object goes on without these fields, commas included.
    pub(crate) fn cuts(&self, text: &str, fields: &[Field]) -> Vec<Range<usize>> {
        let mut places: Vec<&Range<usize>> = fields.iter().filter_map(|f| self.at(*f)).collect();
        places.sort_by_key(|place| place.start);
        let mut cuts: Vec<Range<usize>> = Vec::with_capacity(places.len());
        for place in places {
            let mut start = start_of_member(text, place.start);
            let end = match after_comma(text, place.end) {
                Some(end) => end,
                None => {
                    // The last member takes the comma before it along, and those before it that go, too.
                    start = before_comma(text, start);
                    while let Some(cut) = cuts.pop_if(|cut| cut.end > start) {
                        start = before_comma(text, cut.start);
                    }
                    place.end
                }
            };
            cuts.push(start..end);
        }
        cuts
    }
}

/// Where the member's name begins whose value begins at `value`. The names we look for hold no quote, however spelled.
fn start_of_member(text: &str, value: usize) -> usize {
    let before = text.get(..value).unwrap_or_default();
    let closing = before.rfind('"').unwrap_or_default();
    before.get(..closing).and_then(|before| before.rfind('"')).unwrap_or(closing)
}

fn after_comma(text: &str, end: usize) -> Option<usize> {
    let rest = text.get(end..)?;
    let after = rest.trim_start().strip_prefix(',')?;
    Some(text.len() - after.len())
}

fn before_comma(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or_default().trim_end();
    before.strip_suffix(',').map_or(start, str::len)
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::invalid("body", format!("the body is not a JSON object that can be used: {error}"))
}

fn inside(text: &str) -> Result<usize, ApiError> {
    let start = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
    if text.as_bytes().get(start) == Some(&b'{') {
        return Ok(start + 1);
    }
    Err(ApiError::invalid("body", "the body is not a JSON object: send one that names a `model`"))
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
            let Some(field) = Field::named(&key) else {
                refuse_lookalike(&key)?;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let place = place(self.text, value.get());
            let slot = self.members.places.get_mut(field as usize);
            if slot.is_some_and(|slot| slot.replace(place).is_some()) {
                let twice = format!("`{}` stands twice: send it once", field.name());
                return Err(serde::de::Error::custom(twice));
            }
        }
        Ok(())
    }
}

/// Some servers take `Model` for `model`; what was checked here must be what they read.
fn refuse_lookalike<E: serde::de::Error>(key: &str) -> Result<(), E> {
    match Field::ALL.iter().find(|field| field.name().eq_ignore_ascii_case(key)) {
        Some(field) => Err(E::custom(format!("`{key}` must be written `{}`", field.name()))),
        None => Ok(()),
    }
}

/// Where a borrowed part of a text lies in it.
pub(crate) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}
