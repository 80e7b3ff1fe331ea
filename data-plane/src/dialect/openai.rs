//! OpenAI's wire: where its operations are, what is spliced into a request, and what is spliced out of a stream.
//!
//! Reading answers and chunks is in `openai/read.rs` and `openai/alike.rs`.

pub(crate) mod alike;
pub(crate) mod read;

use crate::body::envelope::Field;
use crate::body::request::{ClientRequest, UsageSwitch, json_string};
use crate::body::splice::{Edit, Spliced};
use bytes::Bytes;
use domain::money::Nano;
use domain::operation::Operation;
use std::ops::Range;

/// Whether it is the data of the event that ends a stream.
pub(crate) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

/// What the upstream calls the model, and the output bound if money is short.
pub(crate) struct Changes<'a> {
    pub(crate) model: &'a str,
    pub(crate) output_bound: Option<u64>,
}

/// The client's bytes, but for the model id, `stream_options.include_usage`, an output bound, and what was said to us.
pub(crate) fn request_body(request: &ClientRequest, changes: &Changes<'_>) -> Spliced {
    let members = &request.members;
    let mut inserted = String::new();
    let mut edits = Vec::new();
    if Field::OURS.iter().any(|field| members.at(*field).is_some()) {
        let cuts = members.cuts(request.text(), &Field::OURS).into_iter();
        edits.extend(cuts.map(|at| Edit { at, text: String::new() }));
    }
    model_edit(members.at(Field::Model), changes.model, &mut edits, &mut inserted);
    if request.stream {
        usage_edit(&request.usage_switch, &mut edits, &mut inserted);
    }
    if let Some(bound) = changes.output_bound {
        bound_edit(request, bound, &mut edits, &mut inserted);
    }
    if !inserted.is_empty() {
        edits.push(Edit { at: members.inside..members.inside, text: inserted });
    }
    Spliced::new(&request.body, edits)
}

/// A client that names its models in `models` alone has no `model`.
fn model_edit(
    own: Option<&Range<usize>>,
    model: &str,
    edits: &mut Vec<Edit>,
    inserted: &mut String,
) {
    let text = json_string(model);
    match own.cloned() {
        Some(at) => edits.push(Edit { at, text }),
        None => inserted.push_str(&format!("\"model\":{text},")),
    }
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
fn bound_edit(request: &ClientRequest, bound: u64, edits: &mut Vec<Edit>, inserted: &mut String) {
    let (names, usual): (&[Field], Field) = match request.operation {
        Operation::Chat => {
            (&[Field::MaxCompletionTokens, Field::MaxTokens], Field::MaxCompletionTokens)
        }
        Operation::Completions => (&[Field::MaxTokens], Field::MaxTokens),
        // Nothing is written, so nothing is bounded.
        Operation::Embeddings => return,
    };
    let own: Vec<&Range<usize>> = names.iter().filter_map(|f| request.members.at(*f)).collect();
    if own.is_empty() {
        inserted.push_str(&format!("\"{}\":{bound},", usual.name()));
    }
    edits.extend(own.into_iter().map(|at| Edit { at: at.clone(), text: bound.to_string() }));
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
