//! Plans, as operators write them.

use domain::config::Plan;
use proto::admin::v1::PlanSpec;

pub(super) fn read(name: &str, spec: &PlanSpec) -> Plan {
    Plan {
        name: name.to_owned(),
        requests_per_minute: spec.requests_per_minute,
        tokens_per_minute: spec.tokens_per_minute,
        concurrency: spec.concurrency,
    }
}
