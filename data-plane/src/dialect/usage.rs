//! The `usage` object of OpenAI's chat completions and of those who imitate it, mapped into disjoint classes.
//!
//! Cached and audio tokens are inside `prompt_tokens`, reasoning and audio inside `completion_tokens` (OpenAI, DeepSeek,
//! Qwen, Kimi; `research/billing.md` part 3).

use crate::dialect::Reported;
use domain::tokens::{Quantities, TokenClass};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// What stands where a count should.
#[derive(Clone, Copy, Default)]
enum Count {
    /// No value, or null.
    #[default]
    Nothing,
    Of(u32),
    /// Anything else.
    Odd,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_unit<E: Error>(self) -> Result<Count, E> {
        Ok(Count::Nothing)
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
        Ok(u32::try_from(count).map_or(Count::Odd, Count::Of))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Count, E> {
        Ok(Count::Odd)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Count, E> {
        Ok(Count::Odd)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Count, E> {
        Ok(Count::Odd)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Count, E> {
        Ok(Count::Odd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Count, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::Odd)
    }
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    #[serde(default)]
    prompt_cache_hit_tokens: Count,
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Default, Deserialize)]
struct ServerToolUse {
    #[serde(default)]
    web_search_requests: Count,
}

#[derive(Default, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    cache_write_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
    #[serde(default)]
    image_tokens: Count,
}

#[derive(Default, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
    #[serde(default)]
    image_tokens: Count,
}

/// Reads numbers that should be counts and remembers if one was none.
#[derive(Default)]
struct Counter {
    is_odd: bool,
}

impl Counter {
    /// The count; nothing where there is none.
    fn read(&mut self, count: &Count) -> u64 {
        match count {
            Count::Nothing => 0,
            Count::Of(count) => u64::from(*count),
            Count::Odd => {
                self.is_odd = true;
                0
            }
        }
    }

    /// Takes a part out of a whole; what does not fit is cut, and odd.
    fn part(&mut self, rest: &mut u64, wanted: u64) -> u64 {
        let taken = wanted.min(*rest);
        self.is_odd |= taken < wanted;
        *rest -= taken;
        taken
    }
}

/// Maps the text of a `usage` object. `None` when it is null or tells nothing.
pub(crate) fn read(text: &str) -> Option<Reported> {
    // A list would be read by its order.
    let read = text.starts_with(['{', 'n']).then(|| serde_json::from_str::<Option<Usage>>(text));
    let Some(Ok(usage)) = read else {
        return Some(Reported { quantities: Quantities::NONE, is_odd: true });
    };
    let usage = usage?;
    let mut counter = Counter::default();
    let mut quantities = Quantities::NONE;
    let prompt = input(&usage, &mut counter, &mut quantities);
    let completion = output(&usage, &mut counter, &mut quantities);
    if let Some(tools) = &usage.server_tool_use {
        quantities.set(TokenClass::WebSearch, counter.read(&tools.web_search_requests));
    }
    let total = counter.read(&usage.total_tokens);
    counter.is_odd |= total != 0 && total != prompt.saturating_add(completion);
    let says_nothing = prompt == 0 && completion == 0 && !counter.is_odd;
    (!says_nothing).then_some(Reported { quantities, is_odd: counter.is_odd })
}

fn input(usage: &Usage, counter: &mut Counter, quantities: &mut Quantities) -> u64 {
    let prompt = counter.read(&usage.prompt_tokens);
    let details = usage.prompt_tokens_details.as_ref();
    let mut detail = |pick: fn(&PromptDetails) -> &Count| {
        details.map_or(0, |details| counter.read(pick(details)))
    };
    let cached = detail(|d| &d.cached_tokens);
    let written = detail(|d| &d.cache_write_tokens).max(detail(|d| &d.cache_creation_input_tokens));
    let audio = detail(|d| &d.audio_tokens);
    let image = detail(|d| &d.image_tokens);
    let hit = counter.read(&usage.prompt_cache_hit_tokens).max(counter.read(&usage.cached_tokens));
    let mut rest = prompt;
    quantities.set(TokenClass::CacheRead, counter.part(&mut rest, cached.max(hit)));
    quantities.set(TokenClass::CacheWrite5m, counter.part(&mut rest, written));
    quantities.set(TokenClass::AudioIn, counter.part(&mut rest, audio));
    quantities.set(TokenClass::ImageIn, counter.part(&mut rest, image));
    quantities.set(TokenClass::Input, rest);
    prompt
}

fn output(usage: &Usage, counter: &mut Counter, quantities: &mut Quantities) -> u64 {
    let completion = counter.read(&usage.completion_tokens);
    let details = usage.completion_tokens_details.as_ref();
    let mut detail = |pick: fn(&CompletionDetails) -> &Count| {
        details.map_or(0, |details| counter.read(pick(details)))
    };
    let reasoning = detail(|d| &d.reasoning_tokens);
    let audio = detail(|d| &d.audio_tokens);
    let image = detail(|d| &d.image_tokens);
    let mut rest = completion;
    quantities.set(TokenClass::Reasoning, counter.part(&mut rest, reasoning));
    quantities.set(TokenClass::AudioOut, counter.part(&mut rest, audio));
    quantities.set(TokenClass::ImageOut, counter.part(&mut rest, image));
    quantities.set(TokenClass::Output, rest);
    completion
}

#[cfg(test)]
mod tests;
