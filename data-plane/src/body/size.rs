//! How large a chat request can be for its model, read off its messages: what is text, and which parts are media.

use crate::body::skim::{Cursor, Fault};
use crate::body::text::Text;
use domain::hold::RequestSize;
use serde::Deserialize;

/// Measures. Messages that cannot be told apart count as open-ended, which is the dearest reading. `None`: they are no list,
/// or an empty one.
pub(super) fn measure(body_bytes: usize, messages: &str) -> Option<RequestSize> {
    let mut size = RequestSize::default();
    let other_bytes = measure_messages(messages, &mut size).ok()??;
    size.text_bytes = u64::try_from(body_bytes.saturating_sub(other_bytes)).unwrap_or(u64::MAX);
    Some(size)
}

/// Returns how many bytes of the messages are no text; `None` if they are no list of some.
fn measure_messages(messages: &str, size: &mut RequestSize) -> Result<Option<usize>, Fault> {
    let mut list = Cursor::of_known(messages);
    if !list.enter_list()? || !list.has_element()? {
        return Ok(None);
    }
    let mut other_bytes = 0_usize;
    loop {
        match list.members(["content"])? {
            Some([content]) => {
                let bytes = measure_content(content.unwrap_or_default(), size)?;
                other_bytes = other_bytes.saturating_add(bytes);
            }
            None => size.open_ended = true,
        }
        if !list.has_element()? {
            return Ok(Some(other_bytes));
        }
    }
}

/// Counts what parts there are, and returns how many bytes of them are no text.
fn measure_content(content: &str, size: &mut RequestSize) -> Result<usize, Fault> {
    let mut parts = Cursor::of_known(content);
    let mut other_bytes = 0_usize;
    if !content.starts_with('[') || !parts.enter_list()? {
        return Ok(0);
    }
    while parts.has_element()? {
        let start = parts.at();
        let found = parts.members(["type", "image_url", "input_audio"])?;
        let whole = parts.at().saturating_sub(start);
        other_bytes = other_bytes.saturating_add(measure_part(found, whole, size));
    }
    Ok(other_bytes)
}

/// `found` are kind, image and audio of a part.
fn measure_part(found: Option<[Option<&str>; 3]>, whole: usize, size: &mut RequestSize) -> usize {
    match found {
        Some([Some("\"text\"" | "\"refusal\""), None, None]) => 0,
        Some([Some("\"image_url\""), Some(image), None]) => {
            size.images = size.images.saturating_add(1);
            image.len()
        }
        Some([Some("\"input_audio\""), None, Some(audio)]) => {
            size.audios = size.audios.saturating_add(1);
            audio.len()
        }
        _ => {
            size.open_ended = true;
            whole
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
