//! What a request's body comes to as a prompt; for chats by OpenAI's published formula (cookbook, "How to count tokens
//! with tiktoken"). Media are not counted: what they cost is not in the text.

use domain::operation::Operation;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// Each message is framed by so many tokens.
const PER_MESSAGE: u64 = 3;
/// A name costs one more than its text.
const PER_NAME: u64 = 1;
/// Every answer is primed with so many.
const PRIMING: u64 = 3;

/// An object whose values are looked at only where they matter; of repeated keys the last one counts.
type Object<'a> = HashMap<String, &'a RawValue>;

/// The tokens of a request's prompt. A body that is no JSON object counts as the text that it is.
pub(super) fn count(operation: Operation, body: &[u8], text_tokens: impl Fn(&str) -> u64) -> u64 {
    let Ok(request) = serde_json::from_slice::<Object<'_>>(body) else {
        return text_tokens(&String::from_utf8_lossy(body));
    };
    match operation {
        Operation::Chat => chat_tokens(&request, &text_tokens),
        Operation::Completions => inputs_tokens(&request, &["prompt", "suffix"], &text_tokens),
        Operation::Embeddings => inputs_tokens(&request, &["input"], &text_tokens),
    }
}

fn inputs_tokens(request: &Object<'_>, fields: &[&str], count: &impl Fn(&str) -> u64) -> u64 {
    let inputs = fields.iter().filter_map(|field| request.get(*field));
    inputs.map(|input| input_tokens(input, count)).fold(0, u64::saturating_add)
}

/// A text, a token, or a list of what are inputs themselves.
fn input_tokens(input: &RawValue, count: &impl Fn(&str) -> u64) -> u64 {
    match input.get().as_bytes().first() {
        Some(b'"') => count(&text_of(input)),
        Some(b'[') => {
            let parts: Vec<&RawValue> = serde_json::from_str(input.get()).unwrap_or_default();
            parts.iter().map(|part| input_tokens(part, count)).fold(0, u64::saturating_add)
        }
        Some(b'0'..=b'9') => 1,
        _ => 0,
    }
}

fn chat_tokens(request: &Object<'_>, text_tokens: &impl Fn(&str) -> u64) -> u64 {
    let messages: Vec<Object<'_>> = read(request, "messages").unwrap_or_default();
    let messages = messages.iter().map(|message| message_tokens(message, text_tokens));
    let declared = ["tools", "functions"].into_iter().filter_map(|field| request.get(field));
    let declared = declared.map(|json| json_tokens(json, text_tokens));
    messages.chain(declared).fold(PRIMING, u64::saturating_add)
}

fn message_tokens(message: &Object<'_>, text_tokens: &impl Fn(&str) -> u64) -> u64 {
    let said = ["role", "name"].into_iter().filter_map(|field| message.get(field));
    let said = said.map(|text| text_tokens(&text_of(text)));
    let content = ["content", "refusal"].into_iter().filter_map(|field| message.get(field));
    let content = content.map(|content| content_tokens(content, text_tokens));
    let calls = ["tool_calls", "function_call"].into_iter().filter_map(|field| message.get(field));
    let calls = calls.map(|json| json_tokens(json, text_tokens));
    let framing = if message.contains_key("name") { PER_MESSAGE + PER_NAME } else { PER_MESSAGE };
    said.chain(content).chain(calls).fold(framing, u64::saturating_add)
}

/// A string, or parts of which some are text.
fn content_tokens(content: &RawValue, text_tokens: &impl Fn(&str) -> u64) -> u64 {
    if is_null(content) {
        return 0;
    }
    match serde_json::from_str::<Vec<Object<'_>>>(content.get()) {
        Ok(parts) => {
            let texts = parts.iter().flat_map(|part| [part.get("text"), part.get("refusal")]);
            texts.flatten().map(|text| text_tokens(&text_of(text))).fold(0, u64::saturating_add)
        }
        Err(_) => text_tokens(&text_of(content)),
    }
}

fn json_tokens(json: &RawValue, text_tokens: &impl Fn(&str) -> u64) -> u64 {
    if is_null(json) { 0 } else { text_tokens(json.get()) }
}

fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}

fn read<'a, T: serde::Deserialize<'a>>(object: &Object<'a>, field: &str) -> Option<T> {
    serde_json::from_str(object.get(field)?.get()).ok()
}

/// The text of a string; of anything else, or of a string that is not Unicode, the JSON as it stands.
fn text_of(json: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<String>(json.get()) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(json.get()),
    }
}
