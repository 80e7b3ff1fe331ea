//! Why an upstream refuses a request, as far as the client may read it.
//!
//! Its text may quote our credential, ids of our account there, internal addresses, or what another customer sent. So it is
//! not searched for such things: only words of a fixed vocabulary, words of the client's own request and short numbers are
//! kept, and everything else becomes `…`. It is for the client alone; logs and events get none of it.

use crate::body::text::Text;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that error texts of such APIs are made of: English, and names of the protocol.
static VOCABULARY: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("refusal/vocabulary.txt").split_whitespace().collect());

/// Characters of a text that are shown at most.
const SHOWN_MAX: usize = 500;
/// How far into a request its own words are looked for.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Digits of a number that says nothing about anybody.
const DIGITS_MAX: usize = 7;
/// What stands for words that are not shown.
const HIDDEN: &str = "…";

/// What an upstream said, safe to be shown to whoever sent the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its code for what is wrong, if that is a word of the vocabulary.
    pub(crate) code: Option<String>,
    /// Which parameter is at fault, in words of the vocabulary and the request.
    pub(crate) param: Option<String>,
    /// What it says, in words of the vocabulary and the request.
    pub(crate) message: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Said<'a>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(borrow, default)]
    param: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
}

impl Refusal {
    /// Reads an error body of OpenAI's form; of any other form nothing is shown.
    pub(crate) fn read(body: &[u8], request: &[u8]) -> Self {
        let Ok(Envelope { error: said }) = serde_json::from_slice::<Envelope<'_>>(body) else {
            return Self::default();
        };
        let code = said.code.as_ref().and_then(serde_json::Value::as_str);
        let param = said.param.as_deref().unwrap_or_default();
        let message: String =
            said.message.as_deref().unwrap_or_default().chars().take(SHOWN_MAX).collect();
        let own = own_words(request, &[param, &message]);
        let whole = |text: &str| Some(shown(text, &own)).filter(|shown| shown == text);
        Self {
            code: code.filter(|code| VOCABULARY.contains(code)).map(str::to_owned),
            param: whole(param).filter(|param| !param.is_empty()),
            message: Some(shown(&message, &own)).filter(|shown| tells_something(shown)),
        }
    }
}

/// Words of a text that the request has, too: the client knows them already.
fn own_words(request: &[u8], texts: &[&str]) -> HashSet<String> {
    let unknown: HashSet<&str> =
        texts.iter().flat_map(|text| words(text)).filter(|word| !is_common(word)).collect();
    if unknown.is_empty() {
        return HashSet::new();
    }
    let request = String::from_utf8_lossy(request.get(..REQUEST_BYTES_MAX).unwrap_or(request));
    words(&request).filter(|word| unknown.contains(word)).map(str::to_owned).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_part_of_word(c)).map(trimmed).filter(|word| !word.is_empty())
}

/// Dots join what belongs together, an address for instance, but end sentences, too.
fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+')
}

fn trimmed(word: &str) -> &str {
    word.trim_matches(['.', '-'])
}

fn is_common(word: &str) -> bool {
    let is_number = word.len() <= DIGITS_MAX && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_fraction = word.split_once('.').is_some_and(|(whole, part)| {
        let digits = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits(whole) && digits(part)
    });
    let is_path = || word.split('.').all(|part| VOCABULARY.contains(part));
    let is_known = || VOCABULARY.contains(word.to_lowercase().as_str());
    is_number || is_fraction || is_known() || is_path()
}

/// The text with everything hidden that is neither common nor the client's own.
fn shown(text: &str, own: &HashSet<String>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = is_part_of_word(first);
        let end = rest.find(|c| is_part_of_word(c) != is_word).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let word = trimmed(part);
        if !is_word || word.is_empty() || is_common(word) || own.contains(word) {
            shown.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
        } else if !shown.ends_with(HIDDEN) {
            shown.push_str(HIDDEN);
        }
        rest = after;
    }
    shown
}

/// A text that is nearly all hidden is worth nothing.
fn tells_something(shown: &str) -> bool {
    words(shown).count() > shown.matches(HIDDEN).count().saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"{"model":"demo/chat","temperature":9.5,"messages":[{"role":"user","content":"Zyzzyva"}],"zap_mode":1}"#;

    fn read(code: &str, param: &str, message: &str) -> Refusal {
        let error = serde_json::json!({"code": code, "param": param, "message": message});
        let body = serde_json::json!({"error": error}).to_string();
        Refusal::read(body.as_bytes(), REQUEST.as_bytes())
    }

    fn message(text: &str) -> String {
        read("", "", text).message.unwrap_or_default()
    }

    #[test]
    fn what_helps_the_client_is_shown_as_it_is() {
        let texts = [
            "Unsupported value: 'temperature' must be between 0 and 2.",
            "Unknown parameter: 'zap_mode'.",
            "Invalid type for 'messages[0].content': expected one of a string or array of objects.",
            "This model's maximum context length is 128000 tokens. However, you requested 130500 tokens.",
            "Invalid schema for response_format: 'additionalProperties' is required to be supplied and to be false.",
            "We could not process Zyzzyva.",
        ];
        for text in texts {
            assert_eq!(message(text), text);
        }
        let refusal = read("unsupported_value", "messages[0].content", "");
        assert_eq!(refusal.code.as_deref(), Some("unsupported_value"));
        assert_eq!(refusal.param.as_deref(), Some("messages[0].content"));
    }

    #[test]
    fn credentials_accounts_addresses_and_others_words_are_hidden() {
        let rows = [
            ("Incorrect API key provided: sk-abcDEF123", "Incorrect API key provided: …"),
            ("The organization org-AbCdEfGh is not allowed.", "The organization … is not allowed."),
            ("Invalid request to 10.0.0.12:8443 for you", "Invalid request to …:8443 for you"),
            (
                "The account 123456789012 is not allowed to do this",
                "The account … is not allowed to do this",
            ),
            ("The request of alice@example.com is not valid", "The request of … is not valid"),
            ("Invalid value: 'dear diary'", "Invalid value: '… …'"),
        ];
        for (said, shown) in rows {
            let told = message(said);
            assert!(told == shown || told.is_empty(), "{said}: {told}");
        }
        assert_eq!(message("xyzzy plugh is an secret of Bob"), "", "mostly hidden, so not shown");
        let refusal = read("acct_9", "proj_abc123", "");
        assert_eq!(refusal, Refusal::default());
    }

    #[test]
    fn what_is_no_error_of_that_form_says_nothing() {
        for body in ["", "secret", "{}", r#"{"error":"secret"}"#, r#"{"error":null}"#, "[1]"] {
            assert_eq!(Refusal::read(body.as_bytes(), b"{}"), Refusal::default(), "{body}");
        }
        let numeric = br#"{"error":{"code":400,"message":"Invalid request"}}"#;
        assert_eq!(Refusal::read(numeric, b"{}").message.as_deref(), Some("Invalid request"));
    }

    #[test]
    fn long_texts_are_cut_and_control_characters_are_blanks() {
        assert_eq!(message(&"an item ".repeat(1000)).chars().count(), SHOWN_MAX);
        assert_eq!(message("invalid\nrequest\u{1b}[31m value"), "invalid request [… value");
    }
}
