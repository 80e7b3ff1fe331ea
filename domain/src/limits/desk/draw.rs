//! How much of a drawn limit one draw gives. The row of its minute only grows: `used + amount ≤ pool` guards it.

/// The most that one draw gives beyond what it needs.
const DRAWN_MAX: u64 = 4;
/// No more than one part in so many of what is left lies unused with those who drew it: nineteen of twenty can be used.
const UNUSED_PARTS: u64 = 20;

/// The row of a limit in one minute, and what may be drawn of it altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The limit.
    pub limit: u64,
    /// What all may draw: `Fleet::pool`.
    pub size: u64,
    /// What was drawn already.
    pub used: u64,
    /// Among how many the limit is divided.
    pub of: u32,
}

impl Pool {
    /// How much one gets who needs so much. `None`: that is not there. What is more than the whole limit gets all of it,
    /// while that is untouched.
    #[must_use]
    pub fn draw(&self, need: u64) -> Option<u64> {
        let left = self.size.saturating_sub(self.used);
        if need > self.limit && self.used == 0 && left == self.limit && left > 0 {
            return Some(left);
        }
        let parts = u64::from(self.of).saturating_mul(UNUSED_PARTS);
        let spare = left.checked_div(parts).unwrap_or(0).clamp(1, DRAWN_MAX);
        (need <= left && left > 0).then(|| need.max(spare.min(left)))
    }
}
