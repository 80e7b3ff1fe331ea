//! Something planted, in every form in which bytes are written down: as it is, in hex, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// Text that must not be somewhere.
pub(super) struct Needle {
    text: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![text.as_bytes().to_vec(), hex.to_uppercase().into_bytes()];
        forms.push(hex.into_bytes());
        forms.extend((0..3).map(|before| in_base64(text, before)));
        let escaped: String = text.replace('/', "\\/");
        forms.push(escaped.into_bytes());
        Self { text: text.to_owned(), forms }
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| memmem::find(bytes, form).is_some())
    }

    pub(super) fn assert_absent(&self, place: &str, bytes: &[u8]) {
        if let Some(at) = self.forms.iter().find_map(|form| memmem::find(bytes, form)) {
            let around = bytes.get(at.saturating_sub(200)..bytes.len().min(at + 200));
            let around = String::from_utf8_lossy(around.unwrap_or_default()).into_owned();
            panic!("{} is in {place}: …{around}…", self.text);
        }
    }
}

/// What of the base64 of a text that begins so many bytes into a group of three does not depend on what is around it.
fn in_base64(text: &str, before: usize) -> Vec<u8> {
    let padded = [vec![0; before], text.as_bytes().to_vec()].concat();
    let whole = padded.len() / 3 * 3;
    let encoded = STANDARD.encode(&padded[..whole]);
    let skipped = if before == 0 { 0 } else { 4 };
    encoded.as_bytes()[skipped..].to_vec()
}

/// The search finds what is there: else it would prove nothing.
#[test]
fn a_needle_is_found_in_every_form() {
    let needle = Needle::new("plantedsomething4711");
    let hidden = |before: usize| {
        let text = format!("{}plantedsomething4711 and more", "x".repeat(before));
        [text.clone(), STANDARD.encode(&text), text.bytes().map(|b| format!("{b:02X}")).collect()]
    };
    for before in 0..7 {
        for text in hidden(before) {
            assert!(needle.is_in(text.as_bytes()), "{before}: {text}");
        }
    }
    assert!(!needle.is_in(b"plantedsomething471 and plantedsomethin g4711"));
}
