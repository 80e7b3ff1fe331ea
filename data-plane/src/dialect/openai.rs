//! OpenAI's chat completions: where they are, what is spliced into a request, and what is spliced out of a stream.
//!
//! Reading answers and chunks is in `openai/read.rs`.

pub(crate) mod read;

use crate::body::chat::{ChatRequest, UsageSwitch, json_string};
use crate::body::splice::{Edit, Spliced};
use bytes::Bytes;
use domain::money::Nano;
use std::ops::Range;

/// Path below an upstream's base URL.
pub(crate) const CHAT_PATH: &str = "/chat/completions";

/// Whether it is the data of the event that ends a stream.
pub(crate) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

/// What the upstream calls the model, and the output bound if money is short.
pub(crate) struct Changes<'a> {
    pub(crate) model: &'a str,
    pub(crate) output_bound: Option<u64>,
}

/// The client's bytes, but for the model id, `stream_options.include_usage` and an output bound.
pub(crate) fn request_body(request: &ChatRequest, changes: &Changes<'_>) -> Spliced {
    let members = &request.members;
    let mut edits = Vec::with_capacity(3);
    if let Some(at) = members.model.clone() {
        edits.push(Edit { at, text: json_string(changes.model) });
    }
    let mut inserted = String::new();
    if request.stream {
        usage_edit(&request.usage_switch, &mut edits, &mut inserted);
    }
    if let Some(bound) = changes.output_bound {
        bound_edit(
            members.max_completion_tokens.as_ref(),
            members.max_tokens.as_ref(),
            bound,
            &mut edits,
            &mut inserted,
        );
    }
    if !inserted.is_empty() {
        edits.push(Edit { at: members.inside..members.inside, text: inserted });
    }
    Spliced::new(&request.body, edits)
}

fn usage_edit(switch: &UsageSwitch, edits: &mut Vec<Edit>, inserted: &mut String) {
    const OPTIONS: &str = r#"{"include_usage":true}"#;
    match switch {
        UsageSwitch::Set { value: true, .. } => {}
        UsageSwitch::Set { value: false, at } => {
            edits.push(Edit { at: at.clone(), text: "true".to_owned() });
        }
        UsageSwitch::Null(at) => edits.push(Edit { at: at.clone(), text: OPTIONS.to_owned() }),
        UsageSwitch::Unset { inside, is_empty } => {
            let comma = if *is_empty { "" } else { "," };
            let text = format!("\"include_usage\":true{comma}");
            edits.push(Edit { at: *inside..*inside, text });
        }
        UsageSwitch::Absent => {
            inserted.push_str("\"stream_options\":");
            inserted.push_str(OPTIONS);
            inserted.push(',');
        }
    }
}

/// The bound replaces the client's own where it has one, under the name it used.
fn bound_edit(
    newer: Option<&Range<usize>>,
    older: Option<&Range<usize>>,
    bound: u64,
    edits: &mut Vec<Edit>,
    inserted: &mut String,
) {
    let mut has_own = false;
    for at in [newer, older].into_iter().flatten() {
        edits.push(Edit { at: at.clone(), text: bound.to_string() });
        has_own = true;
    }
    if !has_own {
        inserted.push_str("\"max_completion_tokens\":");
        inserted.push_str(&bound.to_string());
        inserted.push(',');
    }
}

/// An event's bytes without its `usage` member.
pub(crate) fn without_usage(raw: &Bytes, member: Range<usize>) -> Bytes {
    Spliced::new(raw, vec![Edit { at: member, text: String::new() }]).join()
}

/// Bytes with `cost` as the first member of the `usage` object whose value begins at `usage_at`.
pub(crate) fn with_cost(raw: &Bytes, usage_at: usize, cost: Nano) -> Bytes {
    let inside = usage_at + 1;
    let is_empty = raw
        .get(inside..)
        .and_then(|rest| rest.iter().find(|byte| !byte.is_ascii_whitespace()))
        .is_none_or(|byte| *byte == b'}');
    let comma = if is_empty { "" } else { "," };
    let text = format!("\"cost\":{cost}{comma}");
    Spliced::new(raw, vec![Edit { at: inside..inside, text }]).join()
}
