//! Markup rules, as operators write them.

use super::{Reader, decimal, given};
use domain::catalog::Violation;
use domain::config::{Kind, MarkupRule};
use domain::name::Glob;
use proto::admin::v1::MarkupRuleSpec;

/// A percentage in parts per million has four decimals.
const PERCENT_DECIMALS: u32 = 4;

pub(super) fn read(name: &str, spec: &MarkupRuleSpec) -> Result<MarkupRule, Vec<Violation>> {
    let mut reader = Reader::new(Kind::MarkupRule, name);
    let markup_ppm = reader.field("percent", decimal(&spec.percent, PERCENT_DECIMALS));
    reader.finish(|| {
        Some(MarkupRule {
            name: name.to_owned(),
            priority: spec.priority,
            entity: given(&spec.entity),
            audience: given(&spec.audience),
            origin: given(&spec.origin),
            model: given(&spec.model).map(Glob),
            org: given(&spec.org),
            markup_ppm: markup_ppm?,
        })
    })
}
