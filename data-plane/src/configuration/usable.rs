//! What this data plane can use: an object that it cannot use leaves the last good one in place, and is told.
//!
//! The control plane refuses the same when it is written; this is for what that one did not see or cannot know.

use super::Configuration;
use super::guard::{Loss, Losses};
use domain::config::Upstream;
use domain::snapshot::{Change, Org, Snapshot, Tombstone};
use http::Uri;
use links::feed::{ObjectId, UnreadableChange};
use links::seal::unseal;
use std::collections::{BTreeMap, HashSet};

/// A snapshot of which nothing is left that cannot be used.
pub(super) struct Whole {
    /// What can be used, and in the place of what cannot, the last good.
    pub(super) changes: Vec<Change>,
    /// What cannot be used.
    pub(super) unusable: BTreeMap<ObjectId, String>,
    /// What of the applied state is not in it.
    pub(super) losses: Losses,
}

impl Whole {
    pub(super) fn of(
        applied: &Configuration,
        seal_key: &[u8; 32],
        unreadable: &[UnreadableChange],
        changes: Vec<Change>,
    ) -> Self {
        let last_good = |id: &ObjectId| applied.object(id);
        let unread = unreadable.iter().filter_map(|change| change.id.as_ref());
        let mut all: Vec<Change> = unread.filter_map(last_good).collect();
        let mut judge = Judge::new(seal_key, &Snapshot::default());
        for kept in &all {
            // It was good when it came, and is needed whatever it lacks now.
            drop(judge.judge(kept));
        }
        let mut unusable = BTreeMap::new();
        for change in changes {
            match judge.judge(&change) {
                Ok(()) => all.push(change),
                Err(reason) => {
                    let id = ObjectId::of(&change);
                    tracing::error!(kind = id.kind(), name = %id, reason, "an object cannot be used; the last good one stays");
                    all.extend(last_good(&id));
                    unusable.insert(id, reason);
                }
            }
        }
        let losses = losses(applied, &all);
        Self { changes: all, unusable, losses }
    }
}

fn losses(applied: &Configuration, changes: &[Change]) -> Losses {
    let snapshot = applied.snapshot();
    let is_key = |change: &&Change| match change {
        Change::Key(key) => applied.has_key(key.uid),
        _ => false,
    };
    let is_model = |change: &&Change| match change {
        Change::Model(model) => snapshot.models.contains_key(&model.name),
        _ => false,
    };
    let loss = |of: usize, kept: usize| Loss {
        gone: u64::try_from(of.saturating_sub(kept)).unwrap_or(u64::MAX),
        of: u64::try_from(of).unwrap_or(u64::MAX),
    };
    Losses {
        keys: loss(applied.key_count(), changes.iter().filter(is_key).count()),
        models: loss(snapshot.models.len(), changes.iter().filter(is_model).count()),
    }
}

/// Judges the changes that lead to one state, in their order.
pub(super) struct Judge<'a> {
    seal_key: &'a [u8; 32],
    entities: HashSet<String>,
    plans: HashSet<String>,
}

impl<'a> Judge<'a> {
    /// Before the first change onto `state`.
    pub(super) fn new(seal_key: &'a [u8; 32], state: &Snapshot) -> Self {
        Self {
            seal_key,
            entities: state.entities.keys().cloned().collect(),
            plans: state.plans.keys().cloned().collect(),
        }
    }

    /// The next change. What is refused counts as not having come.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn judge(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Entity(entity) => drop(self.entities.insert(entity.name.clone())),
            Change::Plan(plan) => drop(self.plans.insert(plan.name.clone())),
            Change::Upstream(upstream) => return self.upstream(upstream),
            Change::Org(org) => return self.org(org),
            Change::Model(_) | Change::Key(_) => {}
            Change::Tombstone(Tombstone::Entity(name)) => drop(self.entities.remove(name)),
            Change::Tombstone(Tombstone::Plan(name)) => drop(self.plans.remove(name)),
            Change::Tombstone(_) => {}
        }
        Ok(())
    }

    fn upstream(&self, upstream: &Upstream) -> Result<(), String> {
        let address: Option<Uri> = upstream.base_url.parse().ok();
        let is_address = address.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
        });
        if !is_address {
            return Err("its base_url is no http or https address".to_owned());
        }
        let sealed = &upstream.sealed_credential;
        if !sealed.is_empty() && unseal(self.seal_key, &upstream.name, sealed).is_err() {
            return Err(
                "its credential does not open with the seal key of this data plane".to_owned()
            );
        }
        Ok(())
    }

    fn org(&self, org: &Org) -> Result<(), String> {
        if !self.entities.contains(&org.entity) {
            return Err(format!("its entity {} is not here", org.entity));
        }
        if !self.plans.contains(&org.plan) {
            return Err(format!("its plan {} is not here", org.plan));
        }
        Ok(())
    }
}
