//! Settings of the admin API: what one call may ask, and one connection.

use super::human;
use ::links::tcp::{TcpLimits, TcpSettings};
use control_plane::AdminLimits;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Sizes and counts beyond which an operator's call is refused, or answered in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Objects on a page when the caller does not say.
    pub(crate) page_size: NonZeroU32,
    /// Most objects on a page.
    pub(crate) page_size_max: NonZeroU32,
    /// Most bytes of objects on a page.
    #[serde(with = "human::bytes")]
    pub(crate) page_bytes: u64,
    /// Most bytes of a list's filter.
    #[serde(with = "human::bytes")]
    pub(crate) filter_bytes: u64,
    /// Most objects that one page of a filtered list looks at and leaves out.
    pub(crate) filter_rows: NonZeroU32,
    /// Most objects of one `apply`.
    pub(crate) apply_objects: NonZeroUsize,
    /// Most keys of one import.
    pub(crate) import_keys: NonZeroUsize,
    /// Longest overlap of a key's old and new secret.
    #[serde(with = "human::duration")]
    pub(crate) key_overlap: Duration,
    /// Most bytes of one request.
    #[serde(with = "human::bytes")]
    pub(crate) request_bytes: u64,
    /// How long a repeated call (one with the same `request_id`) gets its earlier answer.
    #[serde(with = "human::duration")]
    pub(crate) request_id_window: Duration,
    /// How often kept answers are looked through for those whose time is over.
    #[serde(with = "human::duration")]
    pub(crate) request_id_sweep: Duration,
    /// Most characters of a `request_id`.
    pub(crate) request_id_length: NonZeroUsize,
    /// Most attempts at what an operator may not do that are recorded in a minute.
    pub(crate) denied_records_per_minute: u32,
    /// How long usage events must be missing before they can be written off.
    #[serde(with = "human::duration")]
    pub(crate) write_off_after: Duration,
    /// Most bytes of the reason for it.
    #[serde(with = "human::bytes")]
    pub(crate) reason_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let rows = |count: u32| NonZeroU32::MIN.saturating_add(count.saturating_sub(1));
        Self {
            page_size: rows(100),
            page_size_max: rows(1_000),
            page_bytes: 2 * MIB,
            filter_bytes: KIB,
            filter_rows: rows(10_000),
            apply_objects: NonZeroUsize::MIN.saturating_add(9_999),
            import_keys: NonZeroUsize::MIN.saturating_add(999),
            key_overlap: Duration::from_hours(30 * 24),
            request_bytes: 16 * MIB,
            request_id_window: Duration::from_hours(24),
            request_id_sweep: Duration::from_mins(10),
            request_id_length: NonZeroUsize::MIN.saturating_add(127),
            denied_records_per_minute: 20,
            write_off_after: Duration::from_mins(10),
            reason_bytes: 512,
        }
    }
}

impl From<&Limits> for AdminLimits {
    fn from(limits: &Limits) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            page_size_default: limits.page_size.get(),
            page_size_max: limits.page_size_max.get(),
            page_bytes_max: size(limits.page_bytes),
            filter_bytes_max: size(limits.filter_bytes),
            filter_rows_max: limits.filter_rows.get(),
            apply_objects_max: limits.apply_objects.get(),
            import_keys_max: limits.import_keys.get(),
            key_overlap_max: limits.key_overlap,
            request_bytes_max: size(limits.request_bytes),
            request_id_window: limits.request_id_window,
            request_id_sweep: limits.request_id_sweep,
            request_id_length_max: limits.request_id_length.get(),
            denied_records_per_minute: limits.denied_records_per_minute,
            write_off_after: limits.write_off_after,
            reason_bytes_max: size(limits.reason_bytes),
        }
    }
}

/// Sizes, counts and times beyond which an operator's connection is closed, or waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Connections {
    /// Most of them.
    pub(crate) most: NonZeroUsize,
    /// A client to say that it speaks HTTP/2.
    #[serde(with = "human::duration")]
    pub(crate) greeting_timeout: Duration,
    /// How often a client is asked whether it is still there.
    #[serde(with = "human::duration")]
    pub(crate) ping_interval: Duration,
    /// How long it may take to say so.
    #[serde(with = "human::duration")]
    pub(crate) ping_timeout: Duration,
    /// Most calls at once on one connection.
    pub(crate) calls: NonZeroU32,
    /// Most bytes of a call's head.
    #[serde(with = "human::bytes")]
    pub(crate) head_bytes: u64,
    /// Most calls that were given up before they were looked at.
    pub(crate) given_up_calls: NonZeroUsize,
    /// Most calls that break the rules of HTTP/2.
    pub(crate) broken_calls: NonZeroUsize,
}

impl Default for Connections {
    fn default() -> Self {
        let count = |count: usize| NonZeroUsize::MIN.saturating_add(count.saturating_sub(1));
        Self {
            most: count(1024),
            greeting_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(10),
            calls: NonZeroU32::MIN.saturating_add(255),
            head_bytes: 16 * KIB,
            given_up_calls: count(20),
            broken_calls: count(1024),
        }
    }
}

impl From<&Connections> for TcpSettings {
    fn from(connections: &Connections) -> Self {
        Self {
            heartbeat_interval: connections.ping_interval,
            heartbeat_timeout: connections.ping_timeout,
            connect_timeout: connections.greeting_timeout,
            limits: TcpLimits {
                connections: connections.most.get(),
                calls: connections.calls.get(),
                head_bytes: u32::try_from(connections.head_bytes).unwrap_or(u32::MAX),
                given_up_calls: connections.given_up_calls.get(),
                broken_calls: connections.broken_calls.get(),
            },
        }
    }
}
