//! The control plane's metrics, in one place. `docs/metrics.md` says what each means and what to do when it moves.

use links::coordination::Coordination;
use links::feed::FeedPublisher;
use metrics::{counter, describe_counter, describe_gauge, gauge};

const CHANGES: &str = "turnpike_config_changes_total";
const PUBLISHED: &str = "turnpike_config_published_revision";
const LAG: &str = "turnpike_config_lag_revisions";
const DATA_PLANES: &str = "turnpike_config_data_planes";
const REJECTS: &str = "turnpike_config_fleet_rejects";
const GENERATIONS: &str = "turnpike_config_generations_total";
const TOUCH: &str = "turnpike_coordination_connected";
const MEMBERS: &str = "turnpike_coordination_members";
const BREAKS: &str = "turnpike_coordination_breaks_total";
const POKES: &str = "turnpike_coordination_pokes_total";
const LISTS: &str = "turnpike_coordination_lists_total";
const CONTENTS_KEPT: &str = "turnpike_contents_kept_total";
const CONTENTS_ERASED: &str = "turnpike_contents_erased_total";

/// Tells the registry what each metric of the control plane means.
pub fn describe() {
    describe_counter!(CHANGES, "Changes of the configuration that were asked for, by result.");
    describe_gauge!(PUBLISHED, "The newest configuration revision.");
    describe_gauge!(LAG, "Revisions that the slowest connected data plane has yet to apply.");
    describe_gauge!(DATA_PLANES, "Data planes that follow the configuration.");
    describe_counter!(
        CONTENTS_KEPT,
        "Prompts with completions that were stored for orgs that want it."
    );
    describe_counter!(CONTENTS_ERASED, "Stored prompts with completions that were erased again.");
    counter!(CONTENTS_KEPT).increment(0);
    counter!(CONTENTS_ERASED).increment(0);
    describe_counter!(GENERATIONS, "Generations that began because the database had lost commits.");
    counter!(GENERATIONS).increment(0);
    describe_gauge!(TOUCH, "Whether etcd is reached; 1 as well where there is none.");
    describe_gauge!(MEMBERS, "Control planes that are there, this one included.");
    describe_counter!(BREAKS, "Connections to etcd that broke, and attempts at one.");
    describe_counter!(POKES, "News that came from other control planes.");
    describe_counter!(LISTS, "Times that all keys in etcd were listed, by reason.");
    describe_gauge!(REJECTS, "Objects that connected data planes cannot use, by their own word.");
}

/// A change was asked for.
pub(crate) fn changed(result: &'static str) {
    counter!(CHANGES, "result" => result).increment(1);
}

/// The database had lost commits.
pub(crate) fn generation_begun() {
    counter!(GENERATIONS).increment(1);
}

/// Contents were stored.
pub(crate) fn contents_kept(contents: usize) {
    counter!(CONTENTS_KEPT).increment(u64::try_from(contents).unwrap_or(0));
}

/// Contents were erased.
pub(crate) fn contents_erased(contents: u64) {
    counter!(CONTENTS_ERASED).increment(contents);
}

/// The same for what control planes tell each other.
pub(crate) fn observe_coordination(coordination: &Coordination) {
    let standing = coordination.standing();
    let is_in_touch = standing.is_none_or(|standing| standing.is_connected);
    gauge!(TOUCH).set(f64::from(u8::from(is_in_touch)));
    gauge!(MEMBERS).set(coordination.members().borrow().len() as f64);
    let standing = standing.unwrap_or_default();
    counter!(BREAKS).absolute(standing.breaks);
    counter!(POKES).absolute(standing.pokes_heard);
    let lists = standing.lists;
    let reasons = [
        ("begun", lists.begun),
        ("compacted", lists.compacted),
        ("rewound", lists.rewound),
        ("audit", lists.audits),
    ];
    for (reason, count) in reasons {
        counter!(LISTS, "reason" => reason).absolute(count);
    }
}

/// Brings the gauges up to date.
pub(crate) fn observe(publisher: &FeedPublisher) {
    let head = publisher.head();
    let data_planes = publisher.data_planes();
    let behind = data_planes.iter().map(|plane| head.rev.saturating_sub(plane.applied.rev)).max();
    let rejects: usize = data_planes.iter().map(|plane| plane.rejects.len()).sum();
    gauge!(PUBLISHED).set(head.rev as f64);
    gauge!(LAG).set(behind.unwrap_or(0) as f64);
    gauge!(DATA_PLANES).set(data_planes.len() as f64);
    gauge!(REJECTS).set(rejects as f64);
}
