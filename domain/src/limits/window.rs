//! The counter of one limit on a data plane that is alone: fixed windows of one UTC minute, the whole limit usable at once.
//! Pure arithmetic on one packed word, so that it can be stepped with a single compare-and-swap.

use crate::time::Timestamp;

const USED_BITS: u32 = 40;
const USED_MAX: u64 = (1 << USED_BITS) - 1;
const MINUTE_MASK: u64 = (1 << (64 - USED_BITS)) - 1;

/// The largest limit that a window can keep: beyond it, it would count without ever refusing.
pub const LIMIT_MAX: u64 = USED_MAX - 1;

/// How much of a limit is used in which minute: 24 bits of minute, 40 bits of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateWindow(u64);

/// A window after a step, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Taken; `remaining` is left until the minute ends.
    Taken {
        /// The window to store.
        window: RateWindow,
        /// What is left of the limit.
        remaining: u64,
    },
    /// Not taken: try again when the minute ends.
    Refused {
        /// Microseconds until then.
        retry_after_us: u64,
    },
}

impl RateWindow {
    /// What stands in place of a window that is counted elsewhere from now on, as a share: it lets nothing through and
    /// takes no correction, whatever the minute. Swapping it in tells exactly what was used until then.
    pub const SEALED: Self = Self(u64::MAX);

    /// Whether it is counted elsewhere.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        self.0 == Self::SEALED.0
    }

    /// From the word it is stored as.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word to store.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// What is used in the minute of `now`.
    #[must_use]
    pub const fn used(self, now: Timestamp) -> u64 {
        if self.is_sealed() || self.is_ahead_of(now) || self.minute() == now.minute() & MINUTE_MASK
        {
            self.0 & USED_MAX
        } else {
            0
        }
    }

    /// Takes `amount` of `limit` in the minute of `now`. An amount above the limit is let through by a fresh window,
    /// else it could never be served.
    #[must_use]
    pub fn take(self, now: Timestamp, amount: u64, limit: u64) -> Take {
        let now = self.not_before(now);
        let used = self.used(now);
        let after = used.saturating_add(amount);
        if self.is_sealed() || (after > limit && !(used == 0 && limit > 0)) {
            return Take::Refused { retry_after_us: now.until_next_minute_us() };
        }
        Take::Taken { window: Self::pack(now, after), remaining: limit.saturating_sub(after) }
    }

    /// Corrects what was taken in the minute of `taken_at` once the real amount is known. What was too little is charged
    /// to the window of `now`; what was too much comes back only if its minute still runs.
    #[must_use]
    pub fn correct(self, taken_at: Timestamp, now: Timestamp, taken: u64, actual: u64) -> Self {
        if self.is_sealed() {
            return self;
        }
        let now = self.not_before(now);
        let used = self.used(now);
        let same_minute = taken_at.minute() == now.minute();
        let corrected = if actual >= taken {
            used.saturating_add(actual.saturating_sub(taken))
        } else if same_minute {
            used.saturating_sub(taken.saturating_sub(actual))
        } else {
            used
        };
        Self::pack(now, corrected)
    }

    /// Threads read the clock before they step the word, so around the end of a minute one may come with the old minute
    /// after another has opened the new one. It then counts in the new one; else it would wipe out what is used there.
    fn not_before(self, now: Timestamp) -> Timestamp {
        if self.is_ahead_of(now) { now.next_minute() } else { now }
    }

    /// Whether it is of the minute after that of `now`.
    pub(super) const fn is_ahead_of(self, now: Timestamp) -> bool {
        self.minute() == now.next_minute().minute() & MINUTE_MASK
    }

    const fn minute(self) -> u64 {
        self.0 >> USED_BITS
    }

    const fn pack(now: Timestamp, used: u64) -> Self {
        let used = if used > USED_MAX { USED_MAX } else { used };
        Self((now.minute() & MINUTE_MASK) << USED_BITS | used)
    }
}
