//! How hard the tests of promises that must hold under any load press: TURNPIKE_TEST_LOAD multiplies their clients.

/// The factor; 1 unless it is told.
///
/// # Panics
/// When what is told is no number.
#[must_use]
pub fn load_factor() -> usize {
    std::env::var("TURNPIKE_TEST_LOAD").map_or(1, |factor| factor.parse().unwrap())
}
