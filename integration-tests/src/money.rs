//! Amounts as `-o json` writes them: strings of nano-units.

use serde_json::Value;

const NANO_PER_UNIT: i64 = 1_000_000_000;

/// The nano-units of a field such as `posted_nano`. Protobuf's JSON leaves a zero out, so what is absent is zero.
#[must_use]
pub fn nano(amount: &Value) -> i64 {
    match amount {
        Value::Null => 0,
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("no amount: {text:?}")),
        other => panic!("an amount is a string, this is {other}"),
    }
}

/// The nano-units of so many whole units of a currency.
#[must_use]
pub fn units(whole: i64) -> i64 {
    whole * NANO_PER_UNIT
}
