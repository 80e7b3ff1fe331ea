//! The least work that a gateway does for a request, as the proxies do it that ours is compared with: a key among ten
//! thousand, a partial parse, a hold and its settlement, usage asked for and found.
//!
//! Ours does far more; these are what the same traffic costs when nothing of that is there.

use serde::Deserialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

/// How many keys there are.
pub const KEYS: usize = 10_000;
/// Stands before the rest of a body that does not ask for usage itself.
pub const ASK_FOR_USAGE: &[u8] = b"{\"stream_options\":{\"include_usage\":true},";
/// What the upstream is given in the place of the client's key.
pub const CREDENTIAL: &str = "Bearer sk-upstream";

const INPUT_PRICE: i64 = 15;
const OUTPUT_PRICE: i64 = 60;
const OUTPUT_TOKENS: u64 = 1024;

/// The secret of a key.
#[must_use]
pub fn secret(number: usize) -> String {
    format!("sk-rf-test-{number:06}")
}

/// A key that was looked up.
#[derive(Clone, Copy, Debug)]
pub struct KeyNumber(usize);

/// Keys and their money, of one thread.
#[derive(Debug)]
pub struct Wallets {
    keys: HashMap<Vec<u8>, KeyNumber>,
    balances: RefCell<Vec<i64>>,
}

impl Default for Wallets {
    fn default() -> Self {
        let keys = (0..KEYS).map(|number| (secret(number).into_bytes(), KeyNumber(number)));
        Self { keys: keys.collect(), balances: RefCell::new(vec![i64::MAX / 4; KEYS]) }
    }
}

impl Wallets {
    /// The key of an `Authorization` header.
    #[must_use]
    pub fn key(&self, authorization: &[u8]) -> Option<KeyNumber> {
        self.keys.get(authorization.strip_prefix(b"Bearer ")?).copied()
    }

    /// Takes money out, if there is enough.
    #[must_use]
    pub fn hold(&self, key: KeyNumber, amount: i64) -> bool {
        let mut balances = self.balances.borrow_mut();
        match balances.get_mut(key.0) {
            Some(balance) if *balance >= amount => {
                *balance -= amount;
                true
            }
            _ => false,
        }
    }

    /// Gives back what a request did not cost.
    pub fn settle(&self, key: KeyNumber, held: i64, used: &Tokens) {
        if let Some(balance) = self.balances.borrow_mut().get_mut(key.0) {
            *balance += held - used.cost();
        }
    }
}

/// What a gateway must know of a body.
#[derive(Debug, Deserialize)]
pub struct Wanted<'a> {
    /// Which model.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// Whether it wants a stream.
    #[serde(default)]
    pub stream: bool,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Wanted<'_> {
    /// What it may cost.
    #[must_use]
    pub fn hold(&self, body_bytes: usize) -> i64 {
        let input = i64::try_from(body_bytes / 4).unwrap_or(i64::MAX);
        let output = i64::try_from(self.max_tokens.unwrap_or(OUTPUT_TOKENS)).unwrap_or(i64::MAX);
        input.saturating_mul(INPUT_PRICE).saturating_add(output.saturating_mul(OUTPUT_PRICE))
    }

    /// Whether it must be made to ask for usage.
    #[must_use]
    pub fn lacks_usage(&self) -> bool {
        self.stream && !self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }
}

/// What an answer says was used.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Tokens {
    /// Reads the last `"usage":{…}` of a piece of an answer, and nothing else of it.
    #[must_use]
    pub fn find(piece: &[u8]) -> Option<Self> {
        const MARK: &[u8] = b"\"usage\":{";
        let at = memchr::memmem::rfind(piece, MARK)? + MARK.len() - 1;
        serde_json::Deserializer::from_slice(piece.get(at..)?).into_iter().next()?.ok()
    }

    /// Of input and output together.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }

    fn cost(&self) -> i64 {
        let priced = |tokens: u64, price| i64::try_from(tokens).unwrap_or(0).saturating_mul(price);
        priced(self.prompt_tokens, INPUT_PRICE) + priced(self.completion_tokens, OUTPUT_PRICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_settled_to_what_was_used() {
        let wallets = Wallets::default();
        let key = wallets.key(format!("Bearer {}", secret(42)).as_bytes()).unwrap();
        assert!(wallets.key(b"Bearer nobody").is_none());
        assert!(wallets.hold(key, 10_000));
        let used = Tokens::find(
            br#"{"usage":null,"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}"#,
        );
        wallets.settle(key, 10_000, &used.unwrap());
        assert_eq!(wallets.balances.borrow()[42], i64::MAX / 4 - 12 * 15 - 8 * 60);
        assert!(!wallets.hold(key, i64::MAX));
    }

    #[test]
    fn only_a_stream_that_does_not_ask_for_usage_is_made_to() {
        let lacks = |body: &str| serde_json::from_str::<Wanted<'_>>(body).unwrap().lacks_usage();
        assert!(lacks(r#"{"model":"m","stream":true}"#));
        assert!(!lacks(r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#));
        assert!(!lacks(r#"{"model":"m"}"#));
    }
}
