//! Points in time as data. Nothing here reads a clock: `now` is always an argument.

use std::fmt;
use std::time::Duration;

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Microseconds in one minute.
pub const MINUTE_US: u64 = 60_000_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

impl Timestamp {
    /// The number of whole UTC days since the epoch.
    #[must_use]
    pub const fn day(self) -> u64 {
        self.minute() / MINUTES_PER_DAY
    }

    /// The number of whole minutes since the epoch: the fixed window of rate limits.
    #[must_use]
    pub const fn minute(self) -> u64 {
        self.0 / MINUTE_US
    }

    /// When its UTC day began.
    #[must_use]
    pub const fn start_of_day(self) -> Self {
        Self(self.day().saturating_mul(MINUTES_PER_DAY).saturating_mul(MINUTE_US))
    }

    /// The minute of the UTC day, 0 to 1439.
    #[must_use]
    pub fn minute_of_day(self) -> u32 {
        u32::try_from(self.minute().wrapping_rem(MINUTES_PER_DAY)).unwrap_or(0)
    }

    /// When the next minute begins.
    #[must_use]
    pub const fn next_minute(self) -> Self {
        Self(self.0.saturating_add(self.until_next_minute_us()))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Microseconds until the next minute begins.
    #[must_use]
    pub const fn until_next_minute_us(self) -> u64 {
        MINUTE_US.saturating_sub(self.0 % MINUTE_US)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
