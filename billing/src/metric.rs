//! Billing's metrics, in one place. `docs/metrics.md` says what each means and what to do when it moves.

use crate::gaps::Missing;
use crate::rows;
use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};
use std::sync::LazyLock;
use std::time::Duration;

const UNBACKED: &str = "turnpike_billing_unbacked_nano_total";
const SHORTFALL: &str = "turnpike_billing_shortfall_nano_total";
const EVENTS: &str = "turnpike_billing_events_total";
const DIFFERENCES: &str = "turnpike_billing_charge_differences_total";
const GAPS: &str = "turnpike_billing_gaps_total";
const PAUSES: &str = "turnpike_billing_pauses_total";
const CONFLICTS: &str = "turnpike_billing_conflicts_total";
const WANTS: &str = "turnpike_escrow_wants_total";
const REFUSED_CLAIMS: &str = "turnpike_escrow_refused_claims_total";
const GIVEN_UP: &str = "turnpike_escrow_given_up_nano_total";
const SUSPECTS: &str = "turnpike_escrow_suspect_data_planes";
const LAG: &str = "turnpike_billing_lag_seconds";
const ROLLED_UP: &str = "turnpike_billing_records_rolled_up_total";
const POISON: &str = "turnpike_billing_poison_events";
const MISSING: &str = "turnpike_billing_missing_events";
const WRITTEN_OFF: &str = "turnpike_billing_written_off_events";
const TOPIC_LAG: &str = "turnpike_usage_topic_lag_events";
const OWNED: &str = "turnpike_usage_topic_partitions_owned";
const FENCED: &str = "turnpike_usage_topic_fenced_total";
const FOREIGN: &str = "turnpike_usage_topic_foreign_total";
const SKIPPED: &str = "turnpike_usage_topic_skipped_total";

/// Registered once: events and wants are counted in the path of money.
struct Handles {
    applied: Counter,
    duplicates: Counter,
    poisoned: Counter,
    lag: Histogram,
}

/// Made at first use, which is after the recorder was installed.
static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    applied: counter!(EVENTS, "result" => "applied"),
    duplicates: counter!(EVENTS, "result" => "duplicate"),
    poisoned: counter!(EVENTS, "result" => "poison"),
    lag: histogram!(LAG),
});

/// Tells the registry what each metric of billing means, and begins those that should stay zero.
pub fn describe() {
    describe_counter!(
        UNBACKED,
        "Grants that data planes proved, whose commit was lost and that no account could back, in nano-units."
    );
    describe_counter!(
        SHORTFALL,
        "Charges beyond what was granted and free: the company's loss, in nano-units."
    );
    describe_counter!(EVENTS, "Usage events, by what became of them.");
    describe_counter!(
        DIFFERENCES,
        "Charges that are not what billing computes from the same quantities and prices."
    );
    describe_counter!(GAPS, "Gaps that were seen in the numbers of usage events.");
    describe_counter!(PAUSES, "Times that billing waited for the database.");
    describe_counter!(
        CONFLICTS,
        "Transactions that gave way to others which wanted the same rows, and were done again."
    );
    describe_counter!(WANTS, "Requests of data planes for money, by answer.");
    describe_counter!(
        REFUSED_CLAIMS,
        "Totals of data planes that no account ever had, and that were not believed."
    );
    describe_counter!(
        GIVEN_UP,
        "What data planes held of wallets when it was given up, by cause: the most that the company bears for it, in nano-units."
    );
    describe_gauge!(
        SUSPECTS,
        "Data planes, by their lives, that hold money and have been silent for too long."
    );
    describe_counter!(ROLLED_UP, "Usage records that were older than may be and became sums.");
    describe_histogram!(
        LAG,
        "Time from the end of the oldest request of a batch to its commit in the ledger."
    );
    describe_gauge!(POISON, "Usage events that are kept because they cannot be applied.");
    describe_gauge!(MISSING, "Usage events that are known to be missing.");
    describe_gauge!(WRITTEN_OFF, "Missing usage events that operators gave up.");
    describe_topic();
    let zero =
        [UNBACKED, SHORTFALL, DIFFERENCES, GAPS, PAUSES, CONFLICTS, ROLLED_UP, REFUSED_CLAIMS];
    for name in zero {
        counter!(name).increment(0);
    }
    for cause in ["word", "silence"] {
        counter!(GIVEN_UP, "cause" => cause).increment(0);
    }
}

/// What only moves where usage comes through a topic.
fn describe_topic() {
    describe_gauge!(
        TOPIC_LAG,
        "Messages of the usage topic that are not billed yet, in the partitions of this process."
    );
    describe_gauge!(OWNED, "Partitions of the usage topic that this process bills.");
    describe_counter!(
        FENCED,
        "Partitions of the usage topic that another process had claimed before a batch was committed."
    );
    describe_counter!(
        FOREIGN,
        "Messages of the usage topic that are no usage event, and are kept for a version that can read them."
    );
    describe_counter!(
        SKIPPED,
        "Messages that were deleted from the usage topic before they were billed."
    );
    for name in [FENCED, FOREIGN, SKIPPED] {
        counter!(name).increment(0);
    }
    for name in [TOPIC_LAG, OWNED] {
        gauge!(name).set(0);
    }
}

/// So many messages are not billed yet.
pub(crate) fn topic_lag(messages: u64) {
    gauge!(TOPIC_LAG).set(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// So many partitions are this process's.
pub(crate) fn owned(partitions: usize) {
    gauge!(OWNED).set(u32::try_from(partitions).unwrap_or(u32::MAX));
}

/// So many partitions were another's already.
pub(crate) fn fenced(partitions: usize) {
    counter!(FENCED).increment(rows::length(partitions));
}

/// So many messages are no events.
pub(crate) fn foreign(messages: u64) {
    counter!(FOREIGN).increment(messages);
}

/// So many messages were gone.
pub(crate) fn skipped(messages: u64) {
    counter!(SKIPPED).increment(messages);
}

/// A data plane proved a grant whose commit was lost, and this much of it no account could back.
pub(crate) fn unbacked(nano: i64) {
    counter!(UNBACKED).increment(nano.unsigned_abs());
}

/// A data plane told totals that cannot be.
pub(crate) fn claim_refused() {
    counter!(REFUSED_CLAIMS).increment(1);
}

/// What a data plane held was given up.
pub(crate) fn given_up(cause: &'static str, nano: i64) {
    counter!(GIVEN_UP, "cause" => cause).increment(nano.unsigned_abs());
}

/// So many data planes are suspect.
pub(crate) fn suspects(count: usize) {
    gauge!(SUSPECTS).set(u32::try_from(count).unwrap_or(u32::MAX));
}

/// This much of a charge could not be collected.
pub(crate) fn shortfall(nano: i64) {
    counter!(SHORTFALL).increment(nano.unsigned_abs());
}

/// Events were applied, the oldest of which ended so long ago.
pub(crate) fn applied(fresh: u64, duplicates: u64, poisoned: u64, lag: Option<Duration>) {
    HANDLES.applied.increment(fresh);
    HANDLES.duplicates.increment(duplicates);
    HANDLES.poisoned.increment(poisoned);
    lag.into_iter().for_each(|lag| HANDLES.lag.record(lag));
}

/// The database was away.
pub(crate) fn paused() {
    counter!(PAUSES).increment(1);
}

/// A transaction gave way to another one.
pub(crate) fn conflicted() {
    counter!(CONFLICTS).increment(1);
}

/// How many events are kept, and how many are missing.
pub(crate) fn backlog(poison: u64, missing: Missing) {
    let shown = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    gauge!(POISON).set(shown(poison));
    gauge!(MISSING).set(shown(missing.awaited));
    gauge!(WRITTEN_OFF).set(shown(missing.written_off));
}

/// A charge is not what billing computes from the same quantities and prices.
pub(crate) fn charge_differs() {
    counter!(DIFFERENCES).increment(1);
}

/// Sequence numbers are missing.
pub(crate) fn gaps(opened: u64) {
    counter!(GAPS).increment(opened);
}

/// A want was answered.
pub(crate) fn answered(answer: &'static str) {
    counter!(WANTS, "answer" => answer).increment(1);
}

/// Records were deleted because they are older than they may be; their sums are kept.
pub(crate) fn rolled_up(records: u64) {
    counter!(ROLLED_UP).increment(records);
}
