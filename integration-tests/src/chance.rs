//! Random choices that can be repeated: their seed is printed, and TURNPIKE_TEST_SEED sets it.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::ops::Range;

/// A source of random choices.
#[derive(Debug)]
pub struct Chance(StdRng);

impl Chance {
    /// A new one for a test.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let told = std::env::var("TURNPIKE_TEST_SEED").ok();
        let seed = told.map_or_else(rand::random, |seed| seed.parse().unwrap());
        eprintln!("{test}: repeat with TURNPIKE_TEST_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        self.0.random_range(range)
    }
}
