//! Keys against the rest of the configuration.

use super::allowed;
use crate::sample::{entity, org, with};
use domain::catalog::Object;
use domain::config::{Key, Kind, Org};
use domain::id::KeyUid;
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::money::Nano;
use domain::name::Glob;
use std::collections::BTreeSet;

pub(super) fn key(org: &str, name: &str) -> Key {
    Key {
        uid: KeyUid(0),
        name: name.to_owned(),
        org: org.to_owned(),
        digest: KeyDigest([0; 16]),
        previous: None,
        models: vec![Glob("openai/*".to_owned())],
        budget: Some(Nano::ZERO),
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    }
}

#[test]
fn keys_are_checked_against_their_org_and_its_entity() {
    let limited = with([
        Object::Entity(entity("sg", "USD", &["SG", "US"])),
        Object::Org(Org { allowed: allowed(&["US"]), ..org(1, "acme", "sg", "global") }),
        Object::Org(org(2, "free", "sg", "global")),
    ]);
    assert_eq!(limited.validate_key(&key("acme", "acme/ci")), []);
    let good = key("acme", "acme/ci");
    let table = [
        (key("gone", "gone/ci"), "org", "there is no Org \"gone\""),
        (key("acme", "ci"), "name", "must be acme/NAME"),
        (key("acme", "free/ci"), "name", "must be acme/NAME"),
        (key("acme", "acme/a/b"), "name", "without another '/'"),
        (key("acme", "acme/CI"), "name", "is not a name"),
        (key("acme", "acme"), "name", "must be acme/NAME"),
        (
            Key { budget: Some(Nano::saturating(-1)), ..good.clone() },
            "budget",
            "must not be negative",
        ),
        (
            Key { models: vec![Glob("A*".to_owned())], ..good.clone() },
            "models[A*]",
            "is not a pattern",
        ),
        (
            Key { allowed: allowed(&["SG", "US"]), ..good.clone() },
            "allowed_jurisdictions",
            "org \"acme\" does not allow SG",
        ),
        (
            Key { allowed: allowed(&["CN"]), ..key("free", "free/ci") },
            "allowed_jurisdictions",
            "entity \"sg\" does not allow CN",
        ),
        (
            Key { allowed: Allowed::Only(BTreeSet::new()), ..good },
            "allowed_jurisdictions",
            "no place at all",
        ),
    ];
    for (key, field, reason) in table {
        let violations = limited.validate_key(&key);
        assert!(
            violations
                .iter()
                .any(|v| v.kind == Kind::Key && v.field == field && v.reason.contains(reason)),
            "no {field}: {reason:?} in {violations:#?}"
        );
    }
}
