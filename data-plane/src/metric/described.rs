//! What each metric means, as `/metrics` says it; `docs/metrics.md` says the same, and what to do when it moves.

use crate::genai::metric;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram};

/// Counters without labels: they begin at zero, so that the first event is seen as a step.
const COUNTERS: [(&str, &str); 12] = [
    (
        "turnpike_requests_interrupted_total",
        "Requests of an earlier process that this one ended at its start.",
    ),
    (
        "turnpike_refused_while_parked_total",
        "Requests refused although the money was there: held elsewhere, by no request of this data plane.",
    ),
    (
        "turnpike_usage_events_not_written_total",
        "Usage events that the spool did not take; the next start writes them.",
    ),
    (
        "turnpike_contents_dropped_total",
        "Prompts with completions that found no room on the way to the store.",
    ),
    ("turnpike_spool_sync_failures_total", "Syncs of the spool that failed."),
    (
        "turnpike_spool_progress_skipped_total",
        "Progress records skipped for want of room; a crash would charge those requests less.",
    ),
    (
        "turnpike_usage_topic_failures_total",
        "Usage events that may not have reached the topic, and are sent again.",
    ),
    (
        "turnpike_usage_topic_resent_total",
        "Times that usage events were sent again which the topic had acknowledged, and billing had not seen.",
    ),
    (
        "turnpike_config_divergences_total",
        "Times that the configuration differed from the control plane's at the same revision.",
    ),
    (
        "turnpike_config_held_back_total",
        "Updates of the configuration that were held back since they would delete too much.",
    ),
    (
        "turnpike_config_not_written_total",
        "Times that the configuration could not be written to the disk.",
    ),
    ("turnpike_traces_sampled_total", "Requests of which spans were made."),
];

/// Counters whose labels come with what happens.
const LABELLED: [(&str, &str); 8] = [
    (
        "turnpike_http_responses_total",
        "Answers to clients, by class of status; a stream counts as it began.",
    ),
    ("turnpike_requests_refused_total", "Requests that were not admitted, by type of error."),
    ("turnpike_requests_settled_total", "Admitted requests that ended, by how."),
    (
        "turnpike_charged_nano_total",
        "What customers were charged, in nano-units of the entity's currency.",
    ),
    (
        "turnpike_uncollected_nano_total",
        "What requests cost beyond their holds: the company's loss, in nano-units of the entity's currency.",
    ),
    ("turnpike_hold_shortfalls_total", "Requests that cost more than they held."),
    (
        "turnpike_usage_anomalies_total",
        "Answers whose reported usage did not add up or was impossible, by upstream.",
    ),
    ("turnpike_upstream_attempts_total", "Attempts on upstreams, by what came of them."),
];

const GAUGES: [(&str, &str); 18] = [
    ("turnpike_client_connections", "Connections of clients."),
    ("turnpike_requests_in_flight", "Admitted requests that have not ended."),
    ("turnpike_streams_in_flight", "Streams that are being relayed."),
    ("turnpike_purse_slices", "Accounts that ever had a slice here."),
    (
        "turnpike_purse_parked_nano",
        "Money in slices that no request holds, in nano-units, currencies added up.",
    ),
    ("turnpike_purse_held_nano", "Money that requests hold, in nano-units, currencies added up."),
    (
        "turnpike_purse_holds",
        "Holds: one of the wallet for each request, and one of the budget if its key has one.",
    ),
    ("turnpike_spool_bytes", "Size of the spool's files, preallocated room included."),
    ("turnpike_spool_unbilled_events", "Usage events in the spool that billing has not confirmed."),
    ("turnpike_spool_oldest_unbilled_seconds", "Age of the oldest of them."),
    (
        "turnpike_usage_topic_oldest_unshipped_seconds",
        "Age of the oldest usage event that is on its way to the topic without an acknowledgement.",
    ),
    ("turnpike_spool_full", "1 while new requests are refused for want of room in the spool."),
    ("turnpike_spool_failing", "1 while new requests are refused since the disk does not sync."),
    (
        "turnpike_config_applied_revision",
        "The configuration revision that this data plane goes by.",
    ),
    (
        "turnpike_config_age_seconds",
        "Since the control plane last stood by the configuration; infinite if it never did.",
    ),
    (
        "turnpike_config_rejects",
        "Objects of the configuration that cannot be used; the last good ones are.",
    ),
    ("turnpike_config_keys", "API keys that this data plane knows."),
    ("turnpike_upstream_resting", "1 while an upstream is tried last because it failed."),
];

const HISTOGRAMS: [(&str, &str); 7] = [
    (metric::TOKEN_USAGE, "Billed tokens of each request, by type."),
    (metric::OPERATION_DURATION, "Time of each attempt on an upstream, to the end of its answer."),
    (metric::TIME_TO_FIRST_CHUNK, "Time from an attempt's start to its first token, of streams."),
    (
        metric::TIME_PER_OUTPUT_CHUNK,
        "Mean time between two chunks of an upstream, one sample for each stream.",
    ),
    (metric::REQUEST_DURATION, "Time from a request's admission to its end."),
    (
        metric::TIME_TO_FIRST_TOKEN,
        "Time from a request's admission to its first token, failovers included.",
    ),
    (
        metric::TIME_PER_OUTPUT_TOKEN,
        "Mean time between two tokens after the first, one sample for each stream.",
    ),
];

/// Tells the registry what each metric of the data plane means.
pub fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(name, meaning);
        counter!(name).increment(0);
    }
    for (name, meaning) in LABELLED {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(name, meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(name, meaning);
    }
}
