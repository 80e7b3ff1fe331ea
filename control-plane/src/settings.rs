//! What a control plane is started with. Secrets in here never print themselves.

use domain::escrow::life::Patience;
use domain::key::Pepper;
use domain::network::Networks;
use links::coordination::Coordination;
use links::feed::PublisherSettings;
use std::fmt;
use std::time::Duration;

/// Fewest characters of the operator token: below, it can be guessed.
const TOKEN_LENGTH_MIN: usize = 16;

/// Everything that the control plane is told from outside.
#[derive(Clone)]
pub struct ControlPlaneSettings {
    /// What operators present as their bearer token; at least 16 characters.
    pub operator_token: Secret,
    /// Turns keys into the digests that are stored.
    pub pepper: Pepper,
    /// Encrypts upstream credentials at rest and in the feed.
    pub seal_key: [u8; 32],
    /// Where upstreams may be beside public addresses.
    pub networks: Networks,
    /// Bounds on what one call may ask.
    pub limits: AdminLimits,
    /// How often it is looked for what other control planes changed.
    pub follow_every: Duration,
    /// How it hears of that sooner, and tells the others.
    pub coordination: Coordination,
    /// How data planes are told.
    pub feed: PublisherSettings,
    /// What it means that a data plane is silent; the desk's.
    pub patience: Patience,
}

impl fmt::Debug for ControlPlaneSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlaneSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Bounds on what one admin call may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminLimits {
    /// Objects on a page when the caller does not say.
    pub page_size_default: u32,
    /// Most objects on a page; more are not refused but given on the next one.
    pub page_size_max: u32,
    /// Most bytes of objects on a page; more are given on the next one. Clients accept 4 MiB.
    pub page_bytes_max: usize,
    /// Most bytes of a list's `filter`.
    pub filter_bytes_max: usize,
    /// Most objects that one page of a filtered list looks at and leaves out; the next page goes on.
    pub filter_rows_max: u32,
    /// Most objects in one `apply`.
    pub apply_objects_max: usize,
    /// Most keys in one import.
    pub import_keys_max: usize,
    /// Longest time that a key's secret of before stays good when it is rotated.
    pub key_overlap_max: Duration,
    /// Most bytes of one request.
    pub request_bytes_max: usize,
    /// How long a repeated call (one with the same `request_id`) gets its earlier answer.
    pub request_id_window: Duration,
    /// How often answers are looked through for those whose time is over.
    pub request_id_sweep: Duration,
    /// Most characters of a `request_id`.
    pub request_id_length_max: usize,
    /// Most attempts at what an operator may not do that are recorded in a minute.
    pub denied_records_per_minute: u32,
    /// How long usage events must be missing before they can be written off.
    pub write_off_after: Duration,
    /// Most bytes of the reason for it.
    pub reason_bytes_max: usize,
}

impl Default for AdminLimits {
    fn default() -> Self {
        Self {
            page_size_default: 100,
            page_size_max: 1_000,
            page_bytes_max: 2 * 1024 * 1024,
            filter_bytes_max: 1_024,
            filter_rows_max: 10_000,
            apply_objects_max: 10_000,
            import_keys_max: 1_000,
            key_overlap_max: Duration::from_hours(30 * 24),
            request_bytes_max: 16 * 1024 * 1024,
            request_id_window: Duration::from_hours(24),
            request_id_sweep: Duration::from_mins(10),
            request_id_length_max: 128,
            denied_records_per_minute: 20,
            write_off_after: Duration::from_mins(10),
            reason_bytes_max: 512,
        }
    }
}

/// Text that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes it over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is long enough to be an operator's token.
    pub(crate) fn is_long_enough(&self) -> bool {
        self.0.chars().count() >= TOKEN_LENGTH_MIN
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
