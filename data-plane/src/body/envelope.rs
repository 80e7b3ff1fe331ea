//! The fields of a request that we act on, found with their places in the bytes.
//!
//! One parse serves routing, pricing and forwarding, so that no two readers can disagree: the fields we act on may stand
//! only once, and only in their exact spelling.

use crate::body::skim::{Cursor, Fault};
use crate::error::ApiError;
use serde::de::IgnoredAny;
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
        let mut cursor = Cursor::new(text, depth_max);
        let refuse = |fault| unreadable(text, fault, depth_max);
        if !cursor.enter_object().map_err(refuse)? {
            let message = "the body is not a JSON object: send one that names a `model`";
            return Err(ApiError::invalid("body", message));
        }
        let mut members = Self { inside: cursor.at(), ..Self::default() };
        while let Some(name) = cursor.name().map_err(refuse)? {
            let value = cursor.value().map_err(refuse)?;
            members.note(&name, place(text, value))?;
        }
        cursor.end().map_err(refuse)?;
        Ok(members)
    }

    fn note(&mut self, name: &str, at: Range<usize>) -> Result<(), ApiError> {
        let Some(field) = Field::named(name) else {
            return refuse_lookalike(name);
        };
        let slot = self.places.get_mut(field as usize);
        if slot.is_some_and(|slot| slot.replace(at).is_some()) {
            let message = format!("`{name}` stands twice: send it once");
            return Err(ApiError::invalid(field.name(), message));
        }
        Ok(())
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

/// What is wrong with a text that cannot be passed over.
fn unreadable(text: &str, fault: Fault, depth_max: usize) -> ApiError {
    let message = match fault {
        Fault::TooDeep => {
            format!("the JSON is nested deeper than {depth_max} levels: flatten it")
        }
        Fault::Malformed => {
            let wrong = serde_json::from_str::<IgnoredAny>(text).err();
            let wrong =
                wrong.map_or_else(|| "a name is no text".to_owned(), |wrong| wrong.to_string());
            format!("the body is not a JSON object that can be used: {wrong}")
        }
    };
    ApiError::invalid("body", message)
}

/// Some servers take `Model` for `model`; what was checked here must be what they read.
fn refuse_lookalike(name: &str) -> Result<(), ApiError> {
    match Field::ALL.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
        Some(field) => {
            let message = format!("`{name}` must be written `{}`", field.name());
            Err(ApiError::invalid(field.name(), message))
        }
        None => Ok(()),
    }
}

/// Where a borrowed part of a text lies in it.
pub(crate) fn place(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}
