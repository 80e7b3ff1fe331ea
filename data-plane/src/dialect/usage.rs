//! The `usage` object of OpenAI's chat completions and of those who imitate it, mapped into disjoint classes.
//!
//! Cached and audio tokens are inside `prompt_tokens`, reasoning and audio inside `completion_tokens` (OpenAI, DeepSeek,
//! Qwen, Kimi; `research/billing.md` part 3).

use crate::dialect::Reported;
use domain::tokens::{Quantities, TokenClass};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Value,
    #[serde(default)]
    completion_tokens: Value,
    #[serde(default)]
    total_tokens: Value,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    #[serde(default)]
    prompt_cache_hit_tokens: Value,
    #[serde(default)]
    cached_tokens: Value,
    #[serde(default)]
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Default, Deserialize)]
struct ServerToolUse {
    #[serde(default)]
    web_search_requests: Value,
}

#[derive(Default, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Value,
    #[serde(default)]
    cache_write_tokens: Value,
    #[serde(default)]
    cache_creation_input_tokens: Value,
    #[serde(default)]
    audio_tokens: Value,
    #[serde(default)]
    image_tokens: Value,
}

#[derive(Default, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Value,
    #[serde(default)]
    audio_tokens: Value,
    #[serde(default)]
    image_tokens: Value,
}

/// Reads numbers that should be counts and remembers if one was none.
#[derive(Default)]
struct Counter {
    is_odd: bool,
}

impl Counter {
    /// The count; nothing where there is none.
    fn read(&mut self, value: &Value) -> u64 {
        match value {
            Value::Null => 0,
            other => other.as_u64().filter(|n| *n <= u64::from(u32::MAX)).unwrap_or_else(|| {
                self.is_odd = true;
                0
            }),
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
    let mut detail = |pick: fn(&PromptDetails) -> &Value| {
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
    let mut detail = |pick: fn(&CompletionDetails) -> &Value| {
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
