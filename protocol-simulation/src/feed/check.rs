//! The invariants of the feed world.

use super::World;
use super::config::Objects;
use super::data_plane::State;
use crate::invariant::Invariant::{C1, C2, C3, C4, C6, J2};
use domain::id::{KeyUid, Revision};
use domain::jurisdiction::all_permit;
use domain::snapshot::Change;
use links::feed::ObjectId;

impl World {
    /// What a data plane shows after an update, which it had `before`.
    pub(super) fn check_applied(&mut self, number: usize, before: Option<Revision>) {
        let data_plane = &self.data_planes[number];
        let (applied, state) = (data_plane.shown(), data_plane.state.clone());
        let is_corrupt = data_plane.is_corrupt;
        self.claim(C1, applied >= before, || format!("{before:?}, then {applied:?}"));
        self.check_whole(&state);
        self.check_gone(applied, &state);
        let truth = applied.and_then(|applied| self.log.at(applied));
        let is_true = truth.is_some_and(|truth| *truth == state.objects());
        self.claim(C2, is_true || is_corrupt, || {
            format!("data plane {number} at {applied:?} holds {}", named(&state.objects()))
        });
    }

    /// What is shown at any moment.
    pub(super) fn check_whole(&mut self, state: &State) {
        let dangling = state.dangling();
        self.claim(C3, dangling.is_none(), || dangling.unwrap_or_default());
    }

    fn check_gone(&mut self, applied: Option<Revision>, state: &State) {
        let is_usable = |key: &KeyUid| state.keys.get(key).is_some_and(|key| !key.disabled);
        let mut gone = self.log.gone.iter().filter(|(_, since)| applied >= Some(**since));
        let found = gone.find(|(key, _)| is_usable(key)).map(|(key, since)| (*key, *since));
        self.claim(C4, found.is_none(), || format!("{found:?} is used at {applied:?}"));
    }

    /// An attempt at an upstream by a data plane that has applied a revision.
    pub(super) fn check_attempt(&mut self, number: usize, key: KeyUid, upstream: &str) {
        let applied = self.data_planes[number].shown();
        let truth = applied.and_then(|applied| self.log.at(applied));
        let is_permitted = truth.is_some_and(|truth| is_permitted(truth, key, upstream));
        self.claim(J2, is_permitted, || format!("{key:?} at {upstream}, by {applied:?}"));
    }

    /// After all has been healed and is quiet.
    pub(super) fn check_quiet(&mut self) {
        for number in 0..self.data_planes.len() {
            let (head, state) = (self.log.head, self.log.state().clone());
            let data_plane = &self.data_planes[number];
            let (applied, objects) = (data_plane.shown(), data_plane.state.objects());
            let is_same = applied == Some(head) && objects == state;
            self.claim(C6, is_same, || {
                format!("data plane {number} has {applied:?} of {head:?}: {}", named(&objects))
            });
        }
    }
}

/// By the rows of a revision alone, and not by what was compiled of them.
fn is_permitted(rows: &Objects, key: KeyUid, upstream: &str) -> bool {
    let Some(Change::Key(key)) = rows.get(&ObjectId::Key(key)) else { return false };
    let Some(Change::Org(org)) = rows.get(&ObjectId::Org(key.org)) else { return false };
    let Some(Change::Entity(entity)) = rows.get(&ObjectId::Entity(org.entity.clone())) else {
        return false;
    };
    let Some(Change::Upstream(at)) = rows.get(&ObjectId::Upstream(upstream.to_owned())) else {
        return false;
    };
    all_permit([&entity.allowed, &org.allowed, &key.allowed], at.jurisdiction)
}

fn named(objects: &Objects) -> String {
    let names: Vec<String> = objects.keys().map(|id| format!("{} {id}", id.kind())).collect();
    names.join(", ")
}
