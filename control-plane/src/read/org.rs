//! Orgs, as operators write them.

use super::{Identity, Reader, amount};
use domain::catalog::Violation;
use domain::config::{Kind, Org};
use domain::id::OrgUid;
use domain::jurisdiction::Allowed;
use domain::money::Nano;
use proto::admin::v1::OrgSpec;

pub(super) fn read(identity: Identity<'_>, spec: &OrgSpec) -> Result<Org, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Org, identity.name);
    let allowed =
        reader.field("allowed_jurisdictions", Allowed::parse(&spec.allowed_jurisdictions));
    let credit_limit = reader.field("credit_limit", amount(&spec.credit_limit, identity.currency));
    reader.finish(|| {
        Some(Org {
            uid: OrgUid(identity.uid),
            name: identity.name.to_owned(),
            display_name: spec.display_name.clone(),
            entity: spec.entity.clone(),
            plan: spec.plan.clone(),
            audience: spec.audience.clone(),
            allowed: allowed?,
            credit_limit: credit_limit?.unwrap_or(Nano::ZERO),
            disabled: spec.disabled,
            store_content: spec.store_content,
        })
    })
}
