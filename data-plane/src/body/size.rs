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

/// Measures. Messages that cannot be told apart count as open-ended, which is the dearest reading.
pub(crate) fn measure(body_bytes: usize, messages: &str) -> RequestSize {
    let open_ended = RequestSize { open_ended: true, ..RequestSize::default() };
    let Ok(list) = serde_json::from_str::<Vec<Message<'_>>>(messages) else {
        return open_ended;
    };
    let mut size = RequestSize::default();
    let mut media_bytes = 0_usize;
    for content in list.iter().filter_map(|message| message.content) {
        if !content.get().starts_with('[') {
            continue;
        }
        let Ok(parts) = serde_json::from_str::<Vec<Part<'_>>>(content.get()) else {
            return open_ended;
        };
        for part in parts {
            match (&*part.kind, part.image_url, part.input_audio) {
                ("text" | "refusal", None, None) => {}
                ("image_url", Some(image), None) => {
                    size.images += 1;
                    media_bytes += image.get().len();
                }
                ("input_audio", None, Some(audio)) => {
                    size.audios += 1;
                    media_bytes += audio.get().len();
                }
                _ => return open_ended,
            }
        }
    }
    size.text_bytes = u64::try_from(body_bytes.saturating_sub(media_bytes)).unwrap_or(u64::MAX);
    size
}

/// Whether there is at least one message.
pub(crate) fn has_messages(messages: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(messages).is_ok_and(|list| !list.is_empty())
}
