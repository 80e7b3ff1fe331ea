//! Keys, as operators write them; their secrets are made elsewhere and never written.

use super::{Identity, Reader, amount, moment};
use domain::catalog::Violation;
use domain::config::{Key, Kind};
use domain::id::KeyUid;
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::name::Glob;
use proto::admin::v1::KeySpec;

pub(super) fn read(identity: Identity<'_>, spec: &KeySpec) -> Result<Key, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Key, identity.name);
    let budget = reader.field("budget", amount(&spec.budget, identity.currency));
    let expires = reader.field("expire_time", spec.expire_time.as_ref().map(moment).transpose());
    let allowed =
        reader.field("allowed_jurisdictions", Allowed::parse(&spec.allowed_jurisdictions));
    let digest = reader.field("secret", digest(identity.secret));
    reader.finish(|| {
        Some(Key {
            uid: KeyUid(identity.uid),
            name: identity.name.to_owned(),
            org: spec.org.clone(),
            digest: digest?,
            previous: identity.previous,
            models: spec.models.iter().cloned().map(Glob).collect(),
            budget: budget?,
            expires: expires?,
            disabled: spec.disabled,
            allowed: allowed?,
        })
    })
}

fn digest(secret: &[u8]) -> Result<KeyDigest, &'static str> {
    secret.try_into().map(KeyDigest).map_err(|_| "the stored digest is not 16 bytes")
}
