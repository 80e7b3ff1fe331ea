//! How many refused attempts are recorded: whoever has a token could fill the disk otherwise.

use domain::time::Timestamp;

const MINUTE_US: u64 = 60_000_000;

/// Counts within fixed minutes.
#[derive(Debug)]
pub(super) struct Bound {
    per_minute: u32,
    minute: u64,
    recorded: u32,
    left_out: u64,
}

impl Bound {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, minute: 0, recorded: 0, left_out: 0 }
    }

    /// Whether an attempt is to be recorded, and then how many were not since the last that was.
    pub(super) fn admit(&mut self, now: Timestamp) -> Option<u64> {
        let minute = now.0.wrapping_div(MINUTE_US);
        if self.minute != minute {
            (self.minute, self.recorded) = (minute, 0);
        }
        if self.recorded >= self.per_minute {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.recorded = self.recorded.saturating_add(1);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_its_share_and_the_next_record_tells_what_was_left_out() {
        let mut bound = Bound::new(2);
        let at = |seconds: u64| Timestamp(seconds * 1_000_000);
        let told: Vec<Option<u64>> =
            [0, 1, 2, 59, 60, 61, 62, 200].map(|seconds| bound.admit(at(seconds))).into();
        let expected = [Some(0), Some(0), None, None, Some(2), Some(0), None, Some(1)];
        assert_eq!(told, expected);
        assert_eq!(Bound::new(0).admit(at(0)), None);
    }
}
