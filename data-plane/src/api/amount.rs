//! Amounts as JSON numbers. They are written digit by digit: no float comes near them on our side.

use domain::money::Nano;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Units of a currency, `-0.000000001` for one nano-unit less than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(Nano);

impl Amount {
    pub(super) const ZERO: Self = Self(Nano::ZERO);

    /// Of nano-units.
    pub(super) fn of(nano: i64) -> Self {
        Self(Nano::saturating(nano.into()))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        let short = text.trim_end_matches('0').trim_end_matches('.');
        let number = RawValue::from_string(short.to_owned()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_is_written_and_none_more() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (-1, "-0.000000001"),
            (10_000_000_000, "10"),
            (100_500_000_000, "100.5"),
            (4_000_000_000_000_000_000, "4000000000"),
            (3_999_999_999_999_999_999, "3999999999.999999999"),
            (-4_000_000_000_000_000_000, "-4000000000"),
        ] {
            assert_eq!(serde_json::to_string(&Amount::of(nano)).unwrap(), text);
        }
    }
}
