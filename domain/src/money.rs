//! Amounts of money in whole nano-units (1e-9) of one currency, and the two roundings that exist.
//!
//! All arithmetic is checked; nothing here knows what anything costs.

use std::fmt;
use thiserror::Error;

/// Nano-units in one unit of any currency.
pub const NANO_PER_UNIT: i64 = 1_000_000_000;
const UNIT: u64 = NANO_PER_UNIT.unsigned_abs();

/// The largest magnitude an amount may have, so that sums of two never overflow and databases keep integers.
pub const NANO_LIMIT: i64 = 4_000_000_000_000_000_000;

/// An amount in nano-units of a currency that the context names. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(i64);

/// An amount left the range of ±4e18 nano-units.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("amount out of range (more than 4 billion units)")]
pub struct AmountOutOfRange;

impl Nano {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(NANO_LIMIT);

    /// An amount of `nano` nano-units.
    ///
    /// # Errors
    /// When it is beyond ±4e18.
    pub const fn new(nano: i64) -> Result<Self, AmountOutOfRange> {
        if nano > NANO_LIMIT || nano < -NANO_LIMIT {
            return Err(AmountOutOfRange);
        }
        Ok(Self(nano))
    }

    /// Clamps into the range; for values that were checked when they were written.
    #[must_use]
    pub fn saturating(nano: i128) -> Self {
        let within = nano.clamp(i128::from(-NANO_LIMIT), i128::from(NANO_LIMIT));
        Self(i64::try_from(within).unwrap_or(NANO_LIMIT))
    }

    /// The number of nano-units.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Sum.
    ///
    /// # Errors
    /// When it leaves the range.
    pub fn plus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_add(other.0).ok_or(AmountOutOfRange).and_then(Self::new)
    }

    /// Difference.
    ///
    /// # Errors
    /// When it leaves the range.
    pub fn minus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_sub(other.0).ok_or(AmountOutOfRange).and_then(Self::new)
    }

    /// Sum, stopping at the limits.
    #[must_use]
    pub fn saturating_plus(self, other: Self) -> Self {
        Self::saturating(i128::from(self.0).saturating_add(i128::from(other.0)))
    }

    /// Difference, stopping at the limits.
    #[must_use]
    pub fn saturating_minus(self, other: Self) -> Self {
        Self::saturating(i128::from(self.0).saturating_sub(i128::from(other.0)))
    }

    /// Itself, or zero when it is negative.
    #[must_use]
    pub fn or_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }
}

/// Decimal units with at least two decimals and no trailing zeros beyond: `10.00`, `-0.000000001`.
impl fmt::Display for Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let fraction = format!("{:09}", magnitude % UNIT);
        let kept = fraction.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{fraction:.kept$}", magnitude / UNIT)
    }
}

/// An ISO 4217 alphabetic code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Text that should have been money, a rate, or a currency.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// Not three capital letters.
    #[error("\"{0}\" is not a currency: three capital letters are needed, for instance USD")]
    Currency(String),
    /// Not `<decimal> <currency>`.
    #[error("\"{0}\" is not an amount: write it with its currency, for instance \"10.00 USD\"")]
    Amount(String),
    /// Not plain decimal text, or too many decimals.
    #[error("\"{text}\" is not a decimal number with at most {decimals} decimals")]
    Decimal {
        /// What was given.
        text: String,
        /// How many decimals there may be.
        decimals: u32,
    },
    /// Too large.
    #[error("\"{0}\" is out of range")]
    Range(String),
}

impl Currency {
    /// Reads a code such as `USD`.
    ///
    /// # Errors
    /// When it is not three capital letters.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bytes: [u8; 3] =
            text.as_bytes().try_into().map_err(|_| ParseError::Currency(text.to_owned()))?;
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(bytes))
        } else {
            Err(ParseError::Currency(text.to_owned()))
        }
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount with its currency, as people write it: `10.00 USD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub amount: Nano,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// Reads `<decimal> <currency>`.
    ///
    /// # Errors
    /// When either part cannot be read, or there are more than nine decimals.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (number, code) =
            text.trim().split_once(' ').ok_or_else(|| ParseError::Amount(text.to_owned()))?;
        let currency = Currency::parse(code.trim())?;
        let nano = parse_decimal(number, 9)?;
        let nano = i64::try_from(nano).map_err(|_| ParseError::Range(text.to_owned()))?;
        let amount = Nano::new(nano).map_err(|_| ParseError::Range(text.to_owned()))?;
        Ok(Self { amount, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// Reads decimal text as an integer number of 10^-`decimals`: `("2.5", 9)` is `2_500_000_000`.
///
/// # Errors
/// When it is not `-?digits[.digits]`, has more decimals than asked, or does not fit.
pub fn parse_decimal(text: &str, decimals: u32) -> Result<i128, ParseError> {
    let refuse = || ParseError::Decimal { text: text.to_owned(), decimals };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let places = u32::try_from(fraction.len()).map_err(|_| refuse())?;
    let ends_in_point = digits.ends_with('.');
    if whole.is_empty() || ends_in_point || !all_digits(whole) || !all_digits(fraction) {
        return Err(refuse());
    }
    let missing = decimals.checked_sub(places).ok_or_else(refuse)?;
    let range = || ParseError::Range(text.to_owned());
    let joined: i128 = format!("{whole}{fraction}").parse().map_err(|_| range())?;
    let scale = 10_i128.checked_pow(missing).ok_or_else(range)?;
    let value = joined.checked_mul(scale).ok_or_else(range)?;
    if negative { value.checked_neg().ok_or_else(range) } else { Ok(value) }
}

/// Divides, rounding half away from zero, the only rounding that money knows here.
///
/// `divisor` must be positive; `None` when it is not, or nothing fits.
#[must_use]
pub fn divide_half_away(dividend: i128, divisor: i128) -> Option<i128> {
    if divisor <= 0 {
        return None;
    }
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.checked_rem(divisor)?;
    let twice = remainder.checked_abs()?.checked_mul(2)?;
    if twice < divisor {
        return Some(quotient);
    }
    quotient.checked_add(dividend.signum())
}
