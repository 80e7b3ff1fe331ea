//! A seat: the part of every limit that a data plane has without asking. The seats of one edition add up to no more than any
//! limit; from one edition to the next leads `place` here and `desk::fleet` on the other side.

/// A limit that leaves less than this to each data plane is not shared out but drawn, a little at a time.
pub const DRAWN_BELOW: u64 = 60;

/// What one data plane has of every limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which division of the limits this is of. Only grows.
    pub edition: u64,
    /// Among how many they are divided.
    pub of: u32,
    /// Which of these is meant. `None`: it has no part, but may ask for shares.
    pub rank: Option<u32>,
}

impl Default for Seat {
    /// Of one who has heard nothing.
    fn default() -> Self {
        Self { edition: 0, of: 1, rank: None }
    }
}

impl Seat {
    /// Whether it is all of every limit.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.of == 1 && self.rank.is_some()
    }

    /// Whether a limit is drawn in this edition. All that belong to it answer the same.
    #[must_use]
    pub fn is_drawn(self, limit: u64) -> bool {
        self.of > 1 && self.even(limit) < DRAWN_BELOW
    }

    /// The part of a limit. What does not divide evenly goes to the first of a drawn limit, where it may be all there is,
    /// and to nobody of others.
    #[must_use]
    pub fn part(self, limit: u64) -> u64 {
        let Some(rank) = self.rank.filter(|rank| *rank < self.of) else { return 0 };
        let odd = limit.checked_rem(u64::from(self.of)).unwrap_or(0);
        let one_more = self.is_drawn(limit) && u64::from(rank) < odd;
        self.even(limit).saturating_add(u64::from(one_more))
    }

    fn even(self, limit: u64) -> u64 {
        limit.checked_div(u64::from(self.of)).unwrap_or(0)
    }
}
