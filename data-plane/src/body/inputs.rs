//! Bare inputs: a text, a list of tokens, or a list of either. Tokens are counted exactly, texts by their bytes.

use domain::hold::RequestSize;
use serde_json::value::RawValue;

/// Measures an input. `None` when it is no input at all; parts of a shape that we do not know count as open-ended.
pub(crate) fn measure(input: &str) -> Option<RequestSize> {
    if input.starts_with('"') {
        return Some(one(input));
    }
    let parts: Vec<&RawValue> = serde_json::from_str(input).ok()?;
    if parts.is_empty() {
        return None;
    }
    if parts.iter().all(|part| is_token(part.get())) {
        return Some(tokens(parts.len()));
    }
    let sizes = parts.iter().map(|part| one(part.get()));
    let none = RequestSize { prompts: 0, ..RequestSize::default() };
    Some(sizes.fold(none, |sum, size| RequestSize {
        prompts: sum.prompts.saturating_add(1),
        text_bytes: sum.text_bytes.saturating_add(size.text_bytes),
        tokens: sum.tokens.saturating_add(size.tokens),
        open_ended: sum.open_ended || size.open_ended,
        ..sum
    }))
}

fn one(part: &str) -> RequestSize {
    if part.starts_with('"') {
        let text_bytes = u64::try_from(part.len()).unwrap_or(u64::MAX);
        return RequestSize { text_bytes, ..RequestSize::default() };
    }
    match serde_json::from_str::<Vec<&RawValue>>(part) {
        Ok(list) if list.iter().all(|token| is_token(token.get())) => tokens(list.len()),
        _ => RequestSize { open_ended: true, ..RequestSize::default() },
    }
}

fn tokens(count: usize) -> RequestSize {
    RequestSize { tokens: u64::try_from(count).unwrap_or(u64::MAX), ..RequestSize::default() }
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
