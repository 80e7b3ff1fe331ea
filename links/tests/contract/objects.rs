//! Objects to put into feeds.

use domain::config::Plan;
use domain::id::{KeyUid, OrgUid, Revision};
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::snapshot::{Change, Delta, Key, Org};

pub(crate) fn rev(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

pub(crate) fn plan(name: &str) -> Change {
    Change::Plan(Plan { name: name.into(), requests_per_minute: Some(60), ..Plan::default() })
}

pub(crate) fn org(uid: i64) -> Change {
    Change::Org(Org {
        uid: OrgUid(uid),
        name: format!("org-{uid}"),
        entity: "acme".into(),
        plan: "starter".into(),
        audience: "retail".into(),
        allowed: Allowed::Any,
        disabled: false,
        store_content: false,
    })
}

/// A key whose name has `name_bytes` bytes.
pub(crate) fn key(uid: i64, name_bytes: usize) -> Change {
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&uid.to_le_bytes());
    Change::Key(Key {
        uid: KeyUid(uid),
        digest: KeyDigest(digest),
        org: OrgUid(1),
        name: "k".repeat(name_bytes),
        models: Vec::new(),
        previous: None,
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    })
}

/// The delta to `to` from the revision before it.
pub(crate) fn delta(to: u64, changes: Vec<Change>) -> Delta {
    Delta { from: rev(to - 1), to: rev(to), changes }
}
