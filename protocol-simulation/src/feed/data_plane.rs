//! A data plane as far as configuration goes: the real reception, snapshots and digests, a disk, and requests that are
//! routed by what is there at the moment.

use super::config::Objects;
use crate::coverage::Seen;
use crate::schedule::Time;
use domain::id::{KeyUid, Revision};
use domain::jurisdiction::all_permit;
use domain::snapshot::{Change, Key, KeyChange, Snapshot};
use links::feed::simulated::Reception;
use links::feed::{FeedUpdate, Heartbeat, ObjectId, StateDigest};
use std::collections::BTreeMap;

/// What it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    pub(super) keys: BTreeMap<KeyUid, Key>,
}

#[derive(Debug)]
pub(super) struct DataPlane {
    pub(super) state: State,
    /// Until a snapshot has come.
    pub(super) wants_all: bool,
    /// When it last asked for one because of a difference.
    pub(super) mended: Option<Time>,
    pub(super) reception: Reception,
    /// What the disk has: what was applied a while ago.
    saved: Option<(State, Revision)>,
    /// Something of what it holds went bad.
    pub(super) is_corrupt: bool,
}

impl State {
    /// As changes, by what they are about.
    pub(super) fn objects(&self) -> Objects {
        let Snapshot { entities, plans, upstreams, models, orgs, .. } = &self.snapshot;
        let entities = entities.values().map(|of| Change::Entity((**of).clone()));
        let plans = plans.values().map(|of| Change::Plan((**of).clone()));
        let upstreams = upstreams.values().map(|of| Change::Upstream((**of).clone()));
        let models = models.values().map(|of| Change::Model((**of).clone()));
        let orgs = orgs.values().map(|of| Change::Org((**of).clone()));
        let keys = self.keys.values().map(|of| Change::Key(of.clone()));
        let all = entities.chain(plans).chain(upstreams).chain(models).chain(orgs).chain(keys);
        all.map(|change| (ObjectId::of(&change), change)).collect()
    }

    pub(super) fn change_keys(&mut self, changes: Vec<KeyChange>) {
        for change in changes {
            match change {
                KeyChange::Put(key) => drop(self.keys.insert(key.uid, key)),
                KeyChange::Gone(uid) => drop(self.keys.remove(&uid)),
            }
        }
    }

    /// What a key, an org or a model points at and is not there.
    pub(super) fn dangling(&self) -> Option<String> {
        let Snapshot { entities, plans, upstreams, models, orgs, .. } = &self.snapshot;
        let key = self.keys.values().find(|key| !orgs.contains_key(&key.org));
        let org = orgs
            .values()
            .find(|org| !plans.contains_key(&org.plan) || !entities.contains_key(&org.entity));
        let mut routes = models.values().flat_map(|model| &model.routes);
        let route = routes.find(|route| !upstreams.contains_key(&route.upstream));
        key.map(|key| format!("{} has no org", key.name))
            .or_else(|| org.map(|org| format!("{} has no plan or entity", org.name)))
            .or_else(|| route.map(|route| format!("no upstream {}", route.upstream)))
    }

    /// The upstreams that a key's request may go to: by price, and by what everyone allows.
    pub(super) fn candidates(&self, key: KeyUid, checks_places: bool) -> Vec<String> {
        let Some(key) = self.keys.get(&key).filter(|key| !key.disabled) else { return Vec::new() };
        let Some(org) = self.snapshot.orgs.get(&key.org) else { return Vec::new() };
        let Some(entity) = self.snapshot.entities.get(&org.entity) else { return Vec::new() };
        let parties = [&entity.allowed, &org.allowed, &key.allowed];
        let routes = self.snapshot.models.values().flat_map(|model| &model.routes);
        let sold = routes.filter(|route| route.price_for(org).is_some());
        let permitted = sold.filter(|route| {
            let upstream = self.snapshot.upstreams.get(&route.upstream);
            let is_permitted = upstream.is_some_and(|of| all_permit(parties, of.jurisdiction));
            is_permitted || !checks_places
        });
        permitted.map(|route| route.upstream.clone()).collect()
    }
}

impl DataPlane {
    pub(super) fn new() -> Self {
        Self {
            state: State::default(),
            wants_all: false,
            mended: None,
            reception: Reception::new(None),
            saved: None,
            is_corrupt: false,
        }
    }

    /// Applies an update as a whole, if it fits: what the data plane's keeper decides.
    pub(super) fn apply(&mut self, update: FeedUpdate, seen: &mut Seen) {
        match update {
            FeedUpdate::Snapshot { at, changes } => {
                self.wants_all = false;
                seen.note("snapshot applied");
                let (snapshot, keys) = Snapshot::assemble(at, changes);
                self.state = State { snapshot, keys: BTreeMap::new() };
                self.state.change_keys(keys);
                self.is_corrupt = false;
            }
            FeedUpdate::Delta(delta) if Some(delta.to) <= self.shown() => {}
            FeedUpdate::Delta(delta) => {
                let Ok((snapshot, keys)) = self.state.snapshot.apply(delta) else { return };
                seen.note("delta applied");
                self.state.snapshot = snapshot;
                self.state.change_keys(keys);
            }
        }
    }

    /// The revision by which requests are served, also while a data plane asks for all anew.
    pub(super) fn shown(&self) -> Option<Revision> {
        let revision = self.state.snapshot.revision;
        (revision != Revision::default()).then_some(revision)
    }

    /// Where what it holds differs from what a heartbeat says of the same revision.
    pub(super) fn differences(&self, heartbeat: &Heartbeat) -> Vec<String> {
        if self.shown() != Some(heartbeat.head) {
            return Vec::new();
        }
        let mut digest = StateDigest::default();
        self.state.objects().values().for_each(|change| digest.add(change));
        digest.differences(&heartbeat.digests)
    }

    pub(super) fn save(&mut self) {
        if let (Some(shown), false) = (self.shown(), self.is_corrupt) {
            self.saved = Some((self.state.clone(), shown));
        }
    }

    /// A process ends, and the next one begins with what the disk has.
    pub(super) fn restart(&mut self, is_disk_lost: bool) {
        let saved = self.saved.take().filter(|_| !is_disk_lost);
        *self = Self::new();
        if let Some((state, applied)) = saved {
            self.reception = Reception::new(Some(applied));
            self.saved = Some((state.clone(), applied));
            self.state = state;
        }
    }

    /// An object is lost without anyone noticing. Returns whether there was one.
    pub(super) fn corrupt(&mut self) -> bool {
        self.is_corrupt |= self.state.keys.pop_last().is_some();
        self.is_corrupt
    }
}
