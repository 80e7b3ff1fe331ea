//! How large a chat request can be for its model, read off its messages: what is text, and which parts are media.

use crate::body::text::Text;
use domain::hold::RequestSize;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<&'a RawValue>,
}

/// Measures. Messages that cannot be told apart count as open-ended, which is the dearest reading. `None`: they are no list,
/// or an empty one.
pub(super) fn measure(body_bytes: usize, messages: &str) -> Option<RequestSize> {
    let mut size = RequestSize::default();
    let mut other_bytes = 0_usize;
    match serde_json::from_str::<Vec<Message<'_>>>(messages) {
        Ok(list) if list.is_empty() => return None,
        Ok(list) => {
            for content in list.iter().filter_map(|message| message.content) {
                other_bytes = other_bytes.saturating_add(measure_content(content.get(), &mut size));
            }
        }
        Err(_) if !is_list_of_some(messages) => return None,
        Err(_) => size.open_ended = true,
    }
    size.text_bytes = u64::try_from(body_bytes.saturating_sub(other_bytes)).unwrap_or(u64::MAX);
    Some(size)
}

/// Counts what parts there are, and returns how many bytes of them are no text.
fn measure_content(content: &str, size: &mut RequestSize) -> usize {
    if !content.starts_with('[') {
        return 0;
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content) else {
        size.open_ended = true;
        return 0;
    };
    parts.iter().fold(0, |bytes, part| bytes.saturating_add(measure_part(part.get(), size)))
}

fn measure_part(json: &str, size: &mut RequestSize) -> usize {
    let part = serde_json::from_str::<Part<'_>>(json).ok();
    match part.as_ref().map(|part| (&*part.kind, part.image_url, part.input_audio)) {
        Some(("text" | "refusal", None, None)) => 0,
        Some(("image_url", Some(image), None)) => {
            size.images = size.images.saturating_add(1);
            image.get().len()
        }
        Some(("input_audio", None, Some(audio))) => {
            size.audios = size.audios.saturating_add(1);
            audio.get().len()
        }
        _ => {
            size.open_ended = true;
            json.len()
        }
    }
}

/// Tools that the upstream itself uses, which read and cost what the body does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerTools {
    pub(crate) any: bool,
    /// One of them searches the web.
    pub(crate) search: bool,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

impl ServerTools {
    /// Reads a list of tools. One that cannot be read might do anything.
    pub(crate) fn of(tools: &str) -> Self {
        let Ok(tools) = serde_json::from_str::<Vec<Tool<'_>>>(tools) else {
            return Self { any: true, search: true };
        };
        let mut own = tools.iter().map(|tool| &*tool.kind);
        let of_server = own.by_ref().filter(|kind| !matches!(*kind, "function" | "custom"));
        of_server.fold(Self::default(), |found, kind| Self {
            any: true,
            search: found.search || kind.contains("search"),
        })
    }
}

fn is_list_of_some(messages: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(messages).is_ok_and(|list| !list.is_empty())
}
