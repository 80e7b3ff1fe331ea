//! A request as the client sent it: what it asks for, and where that stands in its bytes.
//!
//! One type for all operations; what only one of them knows is an `Ask`, read in a file of its own.

use crate::body::envelope::{Field, Members, place};
use crate::body::fields::Fields;
use crate::body::preferences::Preferences;
use crate::body::text::Text;
use crate::body::{chat, completions, embeddings};
use crate::error::ApiError;
use crate::settings::Limits;
use bytes::Bytes;
use domain::hold::RequestSize;
use domain::operation::Operation;
use serde::{Deserialize, Deserializer};
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

/// How much a request asks for, whatever the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) size: RequestSize,
    /// The client's own bound of output tokens, per choice. 0 is none where there is output at all: not every server
    /// takes it at its word.
    pub(crate) output_limit: Option<u64>,
    /// How many answers are made, and billed, over all prompts.
    pub(crate) choices: u64,
    /// How often the answer repeats each prompt, which is no output.
    pub(crate) echoes: u64,
    /// Makes more than it shows.
    pub(crate) hides_output: bool,
}

/// A request that can be routed.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) operation: Operation,
    pub(crate) body: Bytes,
    pub(crate) members: Members,
    /// The model that is asked for, then those that may take its place. Never empty.
    pub(crate) models: Vec<String>,
    pub(crate) preferences: Preferences,
    pub(crate) session_id: String,
    pub(crate) stream: bool,
    pub(crate) usage_switch: UsageSwitch,
    /// Asked for `usage.cost`, in OpenRouter's way (`usage: {include: true}`).
    pub(crate) wants_cost: bool,
    pub(crate) ask: Ask,
}

impl ClientRequest {
    /// Reads a body.
    pub(crate) fn parse(
        operation: Operation,
        body: Bytes,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(&body)
            .map_err(|_| ApiError::invalid("body", "the body is not UTF-8: send JSON in UTF-8"))?;
        let members = Members::find(text, limits.json_depth)?;
        let fields = Fields { text, members: &members };
        let models = models(fields, limits)?;
        let ask = match operation {
            Operation::Chat => chat::ask(fields, limits),
            Operation::Completions => completions::ask(fields),
            Operation::Embeddings => embeddings::ask(fields),
        }?;
        refuse_many_choices(&ask, limits)?;
        refuse_other_route(fields)?;
        let preferences = Preferences::read(fields)?;
        let session_id = session_id(fields, limits)?;
        let stream = fields.flag(Field::Stream)?;
        let usage_switch = usage_switch(fields)?;
        let wants_cost = wants_cost(fields);
        Ok(Self {
            operation,
            members,
            models,
            preferences,
            session_id,
            stream,
            usage_switch,
            wants_cost,
            ask,
            body,
        })
    }

    /// Whether the client is to see `usage` in its stream.
    pub(crate) fn wants_usage(&self) -> bool {
        self.wants_cost || matches!(self.usage_switch, UsageSwitch::Set { value: true, .. })
    }

    /// Whether an answer without words is one that went wrong.
    pub(crate) fn expects_words(&self) -> bool {
        self.ask.output_limit != Some(0) && self.ask.echoes == 0
    }

    /// The client's bound of output tokens, where it is one.
    pub(crate) fn output_limit(&self) -> Option<u64> {
        let makes_words = self.operation != Operation::Embeddings;
        self.ask.output_limit.filter(|limit| *limit > 0 || !makes_words)
    }

    /// The body as text, which it was when it was read.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

/// `model`, then `models` in their order, each once.
fn models(fields: Fields<'_>, limits: &Limits) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<String> = fields.string(Field::Model, "author/slug")?.into_iter().collect();
    if let Some(raw) = fields.value(Field::Models) {
        let refuse = |message: String| ApiError::invalid("models", message);
        let others: Vec<String> = serde_json::from_str(raw)
            .map_err(|_| refuse("`models` must be a list of names of models".to_owned()))?;
        for name in others {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > limits.models {
            let message = format!("`models` names more than {}: name fewer", limits.models);
            return Err(refuse(message));
        }
    }
    if names.is_empty() {
        let remedy = "name a model, for instance one that GET /v1/models lists";
        fields.needed(Field::Model, remedy)?;
    }
    Ok(names)
}

fn refuse_many_choices(ask: &Ask, limits: &Limits) -> Result<(), ApiError> {
    let each = ask.choices.checked_div(ask.size.prompts).unwrap_or_default();
    if each <= limits.choices {
        return Ok(());
    }
    let message = format!("`n` or `best_of` is larger than {}: ask for fewer", limits.choices);
    Err(ApiError::invalid("n", message))
}

/// OpenRouter once knew one route, which is what happens anyway.
fn refuse_other_route(fields: Fields<'_>) -> Result<(), ApiError> {
    match fields.value(Field::Route) {
        None | Some("\"fallback\"") => Ok(()),
        Some(_) => Err(ApiError::invalid("route", "`route` can only be \"fallback\"")),
    }
}

fn session_id(fields: Fields<'_>, limits: &Limits) -> Result<String, ApiError> {
    let id = fields.string(Field::SessionId, "chat-17")?.unwrap_or_default();
    if id.len() > limits.session_id_bytes {
        let message = format!("`session_id` is longer than {} bytes", limits.session_id_bytes);
        return Err(ApiError::invalid("session_id", message));
    }
    Ok(id)
}

#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    include_usage: Option<&'a RawValue>,
}

/// A value that is there, be it null: only one that is absent may be added.
fn even_null<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(reader).map(Some)
}

fn usage_switch(fields: Fields<'_>) -> Result<UsageSwitch, ApiError> {
    let Some(at) = fields.members.at(Field::StreamOptions).cloned() else {
        return Ok(UsageSwitch::Absent);
    };
    let Some(raw) = fields.value(Field::StreamOptions) else {
        return Ok(UsageSwitch::Null(at));
    };
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
    let said_at = place(fields.text, said.get());
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

fn wants_cost(fields: Fields<'_>) -> bool {
    fields
        .value(Field::Usage)
        .is_some_and(|raw| serde_json::from_str::<UsageWish>(raw).is_ok_and(|wish| wish.include))
}

/// A text as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::to_string(&Text(text.into()).0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
