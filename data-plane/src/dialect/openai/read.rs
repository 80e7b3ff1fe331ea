//! What chunks and answers of OpenAI's wire tell: words, ends, usage. Everything else passes unread.

use crate::body::envelope::place;
use crate::body::text::Text;
use crate::dialect::usage;
use crate::dialect::{Facts, Malformed, Voice};
use crate::transcript::Transcript;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default, alias = "message")]
    delta: Option<Delta<'a>>,
    /// Of completions that are no chat.
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

/// The choice and the place of words that are all that a chunk says.
pub(crate) type OnlyWords = (u64, Range<usize>);

/// Reads one chunk of a stream, or one whole answer: they differ only in `delta` being `message`.
pub(crate) fn read(text: &str, transcript: &mut Transcript) -> Result<Facts, Malformed> {
    read_noting_words(text, transcript).map(|(facts, _)| facts)
}

/// The same, and where its words stand if they are all that it says.
pub(crate) fn read_noting_words(
    text: &str,
    transcript: &mut Transcript,
) -> Result<(Facts, Option<OnlyWords>), Malformed> {
    let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(text) else {
        return opaque(text, transcript).map(|facts| (facts, None));
    };
    let only_words = chunk.only_words(text);
    let choices = chunk.choices.unwrap_or_default();
    let mut facts = Facts {
        id: chunk.id.filter(|id| !id.is_empty()).map(|id| id.to_string()),
        is_error: chunk.error.is_some_and(|error| error.get() != "null"),
        is_bare: choices.is_empty(),
        usage: chunk.usage.and_then(|usage| usage::read(usage.get())),
        ..Facts::default()
    };
    for choice in choices {
        if let Some(reason) = choice.finish_reason {
            facts.finish_reason = Some(reason.to_string());
        }
        // Moonshot reports its usage inside the last choice.
        facts.usage = facts.usage.or_else(|| usage::read(choice.usage?.get()));
        if let Some(words) = choice.text {
            transcript.hear(choice.index, Voice::Answer, &words);
        }
        if let Some(delta) = choice.delta {
            hear(choice.index, &delta, transcript, &mut facts);
        }
    }
    Ok((facts, only_words))
}

impl Chunk<'_> {
    fn only_words(&self, text: &str) -> Option<OnlyWords> {
        let [Choice { index, delta: Some(delta), text: None, finish_reason: None, usage: None }] =
            self.choices.as_deref()?
        else {
            return None;
        };
        let Delta {
            content: Some(Text(Cow::Borrowed(words))),
            refusal: None,
            reasoning_content: None,
            reasoning: None,
            tool_calls: None,
            function_call: None,
            audio: None,
        } = delta
        else {
            return None;
        };
        let is_all = self.usage.is_none() && self.error.is_none();
        is_all.then(|| (*index, place(text, words)))
    }
}

fn hear(choice: u64, delta: &Delta<'_>, transcript: &mut Transcript, facts: &mut Facts) {
    let answers = [&delta.content, &delta.refusal].into_iter().flatten();
    for words in answers {
        transcript.hear(choice, Voice::Answer, words);
    }
    // vLLM sends both names for the same words; only one of them counts.
    if let Some(words) = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref()) {
        transcript.hear(choice, Voice::Reasoning, words);
    }
    let calls = delta.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
    for function in calls.chain(&delta.function_call) {
        for words in [&function.name, &function.arguments].into_iter().flatten() {
            transcript.hear(choice, Voice::Answer, words);
        }
    }
    if let Some(audio) = delta.audio {
        facts.opaque_bytes += u64::try_from(audio.get().len()).unwrap_or(u64::MAX);
        transcript.hear_opaque(facts.opaque_bytes);
    }
}

/// What can still be told of a chunk whose choices have a shape we do not know.
#[derive(Default, Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// JSON of a shape we do not know passes, bounded by its bytes; what is no JSON is broken.
fn opaque(text: &str, transcript: &mut Transcript) -> Result<Facts, Malformed> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Malformed)?;
    let outline: Outline<'_> = serde_json::from_str(text).unwrap_or_default();
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    transcript.hear_opaque(bytes);
    Ok(Facts {
        id: outline.id.and_then(|id| serde_json::from_str(id.get()).ok()),
        usage: outline.usage.and_then(|usage| usage::read(usage.get())),
        is_error: outline.error.is_some(),
        opaque_bytes: bytes,
        ..Facts::default()
    })
}

/// Where the top-level `usage` of a JSON object stands in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsagePlace {
    /// The member with the comma that goes with it.
    pub(crate) member: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

#[derive(Deserialize)]
struct OnlyUsage<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    usage: Option<&'a RawValue>,
}

/// A null is a value too: it has a place.
fn even_null<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(reader).map(Some)
}

/// Finds it; `None` when there is none.
pub(crate) fn find_usage(text: &str) -> Option<UsagePlace> {
    let found: OnlyUsage<'_> = serde_json::from_str(text).ok()?;
    let value = place(text, found.usage?.get());
    // The last that is written so before the value is its name: no string value can stand between them.
    let before = text.get(..value.start)?;
    let name = before.rfind("\"usage\"")?;
    let leading = text.get(..name)?.trim_end();
    if leading.ends_with(',') {
        return Some(UsagePlace { member: leading.len() - 1..value.end, value });
    }
    let after = text.get(value.end..)?;
    let trailing = after.len() - after.trim_start().len();
    let comma = usize::from(after.trim_start().starts_with(','));
    let end = if comma == 1 { value.end + trailing + 1 } else { value.end };
    Some(UsagePlace { member: name..end, value })
}

#[cfg(test)]
mod tests;
