//! What can be set about the purse, with its defaults.

use domain::money::{NANO_PER_UNIT, Nano};
use std::time::Duration;

/// How the purse asks for money and gives it back.
#[derive(Clone, Debug)]
pub struct PurseSettings {
    /// The data plane's name, the same as its spool's.
    pub data_plane: String,
    /// How long a request may wait for money in all.
    pub wait_max: Duration,
    /// How long a running stream may wait for more of it: it has more to lose.
    pub top_up_wait_max: Duration,
    /// For so long after the start, requests wait for the first connection as well; later they do not wait for one.
    pub first_welcome_within: Duration,
    /// A want that was not answered for so long is given up: the control plane could not serve it.
    pub answer_within: Duration,
    /// How often a request that waits may ask for what others have taken meanwhile.
    pub rounds_max: u32,
    /// How often changes are told, and idle slices looked for.
    pub report_every: Duration,
    /// A slice that no request has used for so long is given back.
    pub idle_release_after: Duration,
    /// A slice is renewed when less than this part is left of what it had after its last grant.
    pub renew_below_percent: u8,
    /// How long a slice that got less than it wanted waits before it is renewed again.
    pub renew_pause: Duration,
    /// How much of its recent use a slice wants to have in store.
    pub store: Duration,
    /// How many holds of the asking request's size a slice wants to have in store.
    pub store_holds: u32,
    /// A slice wants no more than this at once, unless one request needs it.
    pub want_max: Nano,
    /// Slices in one report; more are told in several.
    pub report_slices: usize,
    /// How long the control plane may take to hear the last word.
    pub last_word_within: Duration,
}

impl PurseSettings {
    /// The defaults.
    #[must_use]
    pub fn new(data_plane: impl Into<String>) -> Self {
        Self {
            data_plane: data_plane.into(),
            wait_max: Duration::from_millis(300),
            top_up_wait_max: Duration::from_secs(5),
            first_welcome_within: Duration::from_secs(5),
            answer_within: Duration::from_secs(1),
            rounds_max: 4,
            report_every: Duration::from_secs(5),
            idle_release_after: Duration::from_secs(30),
            renew_below_percent: 50,
            renew_pause: Duration::from_secs(1),
            store: Duration::from_secs(60),
            store_holds: 4,
            want_max: Nano::saturating(1_000 * i128::from(NANO_PER_UNIT)),
            report_slices: 1_000,
            last_word_within: Duration::from_secs(5),
        }
    }
}
