//! A chat completion request as the client sent it: what it asks for, and where that stands in its bytes.

use crate::body::envelope::{Members, place};
use crate::body::size::{ServerTools, has_messages, measure};
use crate::body::text::Text;
use crate::error::ApiError;
use crate::settings::Limits;
use bytes::Bytes;
use domain::hold::RequestSize;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::ops::Range;

/// Where `include_usage` is said, if it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsageSwitch {
    /// Nothing about it in the request.
    Absent,
    /// `stream_options` stands at this place and is `null`.
    Null(Range<usize>),
    /// `stream_options` is an object without it; the place is just after its brace, and whether more follows.
    Unset { inside: usize, is_empty: bool },
    /// It is said to be this, at this place.
    Set { value: bool, at: Range<usize> },
}

/// A request that can be routed.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    pub(crate) body: Bytes,
    pub(crate) members: Members,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) usage_switch: UsageSwitch,
    /// Asked for `usage.cost`, in OpenRouter's way (`usage: {include: true}`).
    pub(crate) wants_cost: bool,
    /// The client's own bound of output tokens, per choice.
    pub(crate) output_limit: Option<u64>,
    /// How many choices.
    pub(crate) choices: u64,
    pub(crate) size: RequestSize,
}

impl ChatRequest {
    /// Reads a body.
    pub(crate) fn parse(body: Bytes, limits: &Limits) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(&body)
            .map_err(|_| ApiError::invalid("body", "the body is not UTF-8: send JSON in UTF-8"))?;
        let members = Members::find(text, limits.json_depth)?;
        let model = model(text, &members)?;
        let messages = messages(text, &members)?;
        let stream = flag(text, members.stream.as_ref(), "stream")?;
        let usage_switch = usage_switch(text, &members)?;
        let choices = count(text, members.n.as_ref(), "n")?.unwrap_or(1);
        if choices > limits.choices {
            let message = format!("`n` is larger than {}: ask for fewer choices", limits.choices);
            return Err(ApiError::invalid("n", message));
        }
        let limit = count(text, members.max_tokens.as_ref(), "max_tokens")?;
        let newer = count(text, members.max_completion_tokens.as_ref(), "max_completion_tokens")?;
        let mut size = measure(body.len(), messages);
        let server_tools =
            value(text, members.tools.as_ref()).map_or_else(ServerTools::default, ServerTools::of);
        let searches =
            server_tools.search || value(text, members.web_search_options.as_ref()).is_some();
        size.open_ended |= server_tools.any || searches;
        size.searches = if searches { limits.web_searches } else { 0 };
        let wants_cost = wants_cost(text, &members);
        let output_limit = newer.or(limit);
        Ok(Self {
            members,
            model,
            stream,
            usage_switch,
            wants_cost,
            output_limit,
            choices,
            size,
            body,
        })
    }

    /// Whether the client is to see `usage` in its stream.
    pub(crate) fn wants_usage(&self) -> bool {
        self.wants_cost || matches!(self.usage_switch, UsageSwitch::Set { value: true, .. })
    }
}

/// The text of a value that is there and not null.
fn value<'a>(text: &'a str, at: Option<&Range<usize>>) -> Option<&'a str> {
    at.and_then(|at| text.get(at.clone())).filter(|value| *value != "null")
}

fn model(text: &str, members: &Members) -> Result<String, ApiError> {
    let missing = || {
        ApiError::invalid(
            "model",
            "`model` is missing: name a model, for instance one that GET /v1/models lists",
        )
    };
    let raw = value(text, members.model.as_ref()).ok_or_else(missing)?;
    serde_json::from_str(raw).map_err(|_| {
        ApiError::invalid("model", "`model` must be a string, for instance \"author/slug\"")
    })
}

fn messages<'a>(text: &'a str, members: &Members) -> Result<&'a str, ApiError> {
    let raw = value(text, members.messages.as_ref()).ok_or_else(|| {
        ApiError::invalid("messages", "`messages` is missing: send a list of at least one message")
    })?;
    if has_messages(raw) {
        return Ok(raw);
    }
    Err(ApiError::invalid("messages", "`messages` must be a list of at least one message"))
}

fn flag(text: &str, at: Option<&Range<usize>>, field: &str) -> Result<bool, ApiError> {
    match value(text, at) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::invalid(field, format!("`{field}` must be true or false"))),
    }
}

/// A positive integer, written as one.
fn count(text: &str, at: Option<&Range<usize>>, field: &str) -> Result<Option<u64>, ApiError> {
    let Some(raw) = value(text, at) else {
        return Ok(None);
    };
    let refuse =
        || ApiError::invalid(field, format!("`{field}` must be a whole number of at least 1"));
    let number: u32 = raw.parse().map_err(|_| refuse())?;
    if number == 0 || raw.starts_with('+') { Err(refuse()) } else { Ok(Some(number.into())) }
}

#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow, default)]
    include_usage: Option<&'a RawValue>,
}

fn usage_switch(text: &str, members: &Members) -> Result<UsageSwitch, ApiError> {
    let Some(at) = members.stream_options.clone() else {
        return Ok(UsageSwitch::Absent);
    };
    let raw = text.get(at.clone()).unwrap_or_default();
    if raw == "null" {
        return Ok(UsageSwitch::Null(at));
    }
    let refuse = || {
        let message = "`stream_options` must be an object whose `include_usage` is true or false";
        ApiError::invalid("stream_options", message)
    };
    if !raw.starts_with('{') {
        return Err(refuse());
    }
    let options: StreamOptions<'_> = serde_json::from_str(raw).map_err(|_| refuse())?;
    let Some(said) = options.include_usage else {
        let is_empty = raw.trim_start_matches('{').trim_start().starts_with('}');
        return Ok(UsageSwitch::Unset { inside: at.start + 1, is_empty });
    };
    let said_at = place(text, said.get());
    match said.get() {
        "true" => Ok(UsageSwitch::Set { value: true, at: said_at }),
        "false" | "null" => Ok(UsageSwitch::Set { value: false, at: said_at }),
        _ => Err(refuse()),
    }
}

#[derive(Deserialize)]
struct UsageWish {
    #[serde(default)]
    include: bool,
}

fn wants_cost(text: &str, members: &Members) -> bool {
    value(text, members.usage.as_ref())
        .is_some_and(|raw| serde_json::from_str::<UsageWish>(raw).is_ok_and(|wish| wish.include))
}

/// The name of a field as text, for errors and dialects.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::to_string(&Text(text.into()).0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
