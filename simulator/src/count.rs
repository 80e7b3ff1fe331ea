//! Counts o200k tokens, with a memory: benchmarks send the same prompt millions of times.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use parking_lot::Mutex;
use serde_json::Value;
use tiktoken_rs::o200k_base_singleton;

const TOKENS_PER_MESSAGE: u64 = 3;
const TOKENS_PER_NAME: u64 = 1;
const TOKENS_OF_PRIMING: u64 = 3;
/// OpenAI's flat charge for an image of low detail.
const TOKENS_PER_IMAGE: u64 = 85;

/// When full it is emptied; the texts in use come back at once.
const REMEMBERED_MAX: usize = 8_192;

#[derive(Default)]
struct Memory {
    hasher: RandomState,
    counts: Mutex<HashMap<(u64, usize), u64>>,
}

static MEMORY: LazyLock<Memory> = LazyLock::new(Memory::default);

/// The prompt tokens of a chat, by the formula of OpenAI's cookbook ("How to count tokens with
/// tiktoken"): 3 per message, the tokens of each of its string values (role included), 1 more for
/// `name`, and 3 that prime the answer. Of content in parts, text counts its tokens and an image 85.
/// Whatever else a message holds (tool calls, other parts) counts nothing.
pub fn prompt_tokens(messages: &[Value]) -> u64 {
    TOKENS_OF_PRIMING + messages.iter().map(message_tokens).sum::<u64>()
}

/// The o200k tokens of a text; names of special tokens count as ordinary text.
pub fn count_tokens(text: &str) -> u64 {
    let key = (MEMORY.hasher.hash_one(text), text.len());
    if let Some(count) = MEMORY.counts.lock().get(&key) {
        return *count;
    }
    let count = o200k_base_singleton().encode_ordinary(text).len() as u64;
    let mut counts = MEMORY.counts.lock();
    if counts.len() >= REMEMBERED_MAX {
        counts.clear();
    }
    counts.insert(key, count);
    count
}

/// Loads the tokeniser's tables.
pub(crate) fn warm_up() {
    count_tokens("the road");
}

fn message_tokens(message: &Value) -> u64 {
    let Some(fields) = message.as_object() else { return TOKENS_PER_MESSAGE };
    let values = fields.iter().map(|(field, value)| match value {
        Value::String(text) if field == "name" => count_tokens(text) + TOKENS_PER_NAME,
        Value::String(text) => count_tokens(text),
        Value::Array(parts) if field == "content" => parts.iter().map(part_tokens).sum(),
        _ => 0,
    });
    TOKENS_PER_MESSAGE + values.sum::<u64>()
}

fn part_tokens(part: &Value) -> u64 {
    match part["type"].as_str() {
        Some("text") => part["text"].as_str().map_or(0, count_tokens),
        Some("image_url") => TOKENS_PER_IMAGE,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prompt_tokens_follow_the_cookbook() {
        let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
        let table = [
            (json!([]), 3),
            (json!([{"role": "user", "content": "hello"}]), 3 + 3 + 1 + 1),
            (json!([{"role": "user", "content": "hello", "name": "bob"}]), 3 + 3 + 1 + 1 + 1 + 1),
            (json!([{"role": "user", "content": [{"type": "text", "text": "hello"}, image]}]), 93),
            (json!([{"role": "assistant", "content": null, "tool_calls": [{"id": "x"}]}]), 7),
        ];
        for (messages, tokens) in table {
            let actual = prompt_tokens(messages.as_array().unwrap());
            assert_eq!(actual, tokens, "{messages}");
        }
    }

    /// The worked example that the cookbook prints, for a model of the o200k family: 124 tokens.
    #[test]
    fn prompt_tokens_match_the_cookbook_s_worked_example() {
        let table = [
            (
                None,
                "You are a helpful, pattern-following assistant that translates corporate jargon \
                 into plain English.",
            ),
            (Some("example_user"), "New synergies will help drive top-line growth."),
            (Some("example_assistant"), "Things working well together will increase revenue."),
            (
                Some("example_user"),
                "Let's circle back when we have more bandwidth to touch base on opportunities for \
                 increased leverage.",
            ),
            (
                Some("example_assistant"),
                "Let's talk later when we're less busy about how to do better.",
            ),
        ];
        let mut messages: Vec<_> = table
            .into_iter()
            .map(|(name, content)| match name {
                None => json!({"role": "system", "content": content}),
                Some(name) => json!({"role": "system", "name": name, "content": content}),
            })
            .collect();
        let question = "This late pivot means we don't have time to boil the ocean for the client \
                        deliverable.";
        messages.push(json!({"role": "user", "content": question}));
        assert_eq!(prompt_tokens(&messages), 124);
    }
}
