//! The configuration of the feed world: what operators change, as one transaction after the other, and what is true at each
//! revision.

use crate::chance::Chance;
use domain::config::{Dialect, Entity, Plan, Upstream, VendorPages};
use domain::id::{KeyUid, OrgUid, Revision};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::KeyDigest;
use domain::money::Currency;
use domain::price::Schedule;
use domain::snapshot::{Change, Key, Model, Org, Route, SellPrice, Tombstone};
use domain::time::Timestamp;
use links::feed::ObjectId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A whole state: puts by what they are about.
pub(super) type Objects = BTreeMap<ObjectId, Change>;

const ENTITY: &str = "global";
const AUDIENCE: &str = "public";
const PLACES: [&str; 3] = ["SG", "DE", "CN"];
/// Where the entity's customers may be served; an org may narrow it.
const ALLOWED: [&str; 2] = ["SG", "DE"];

/// What an operator asks for. It is done if the rows allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    PutPlan(u64),
    DropPlan(u64),
    /// With its plan, and the only place it allows, if it narrows them.
    PutOrg(i64, u64, Option<usize>),
    DropOrg(i64),
    PutKey(i64, i64),
    Revoke(i64),
    DropKey(i64),
    /// An upstream is somewhere, or moves.
    PutUpstream(u64, usize),
    DropUpstream(u64),
}

impl Order {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let number = chance.below(3);
        let org = 1 + i64::try_from(chance.below(3)).unwrap_or(0);
        let key = 10 + i64::try_from(chance.below(5)).unwrap_or(0);
        match chance.below(13) {
            0 => Self::PutPlan(number),
            1 => Self::DropPlan(number),
            2..=4 => {
                let narrow = chance.percent(50).then(|| chance.index(ALLOWED.len()));
                Self::PutOrg(org, number, narrow)
            }
            5 => Self::DropOrg(org),
            6 | 7 => Self::PutKey(key, org),
            8 => Self::Revoke(key),
            9 => Self::DropKey(key),
            10 | 11 => Self::PutUpstream(number, chance.index(PLACES.len())),
            _ => Self::DropUpstream(number),
        }
    }

    /// The changes that it makes of a state, in an order in which nothing points at what is not there. `None`: refused.
    pub(super) fn changes(self, state: &Objects) -> Option<Vec<Change>> {
        let has = |id: &ObjectId| state.contains_key(id);
        match self {
            Self::PutPlan(number) => Some(vec![plan(number, state.len())]),
            Self::DropPlan(number) => {
                let name = plan_name(number);
                let is_used = orgs(state).any(|org| org.plan == name);
                (has(&ObjectId::Plan(name.clone())) && !is_used)
                    .then(|| vec![Change::Tombstone(Tombstone::Plan(name))])
            }
            Self::PutOrg(uid, number, narrow) => {
                let is_known = has(&ObjectId::Plan(plan_name(number)));
                // The plan of an org may come in the same revision.
                let plan = (!is_known).then(|| plan(number, state.len()));
                let org = Change::Org(org(uid, number, narrow));
                Some(plan.into_iter().chain([org]).collect())
            }
            Self::DropOrg(uid) => has(&ObjectId::Org(OrgUid(uid))).then(|| {
                let own = keys(state).filter(|key| key.org == OrgUid(uid));
                let graves = own.map(|key| Tombstone::Key(key.uid));
                graves.chain([Tombstone::Org(OrgUid(uid))]).map(Change::Tombstone).collect()
            }),
            Self::PutKey(uid, org) => {
                has(&ObjectId::Org(OrgUid(org))).then(|| vec![Change::Key(key(uid, org, false))])
            }
            Self::Revoke(uid) => match state.get(&ObjectId::Key(KeyUid(uid))) {
                Some(Change::Key(key)) if !key.disabled => {
                    Some(vec![Change::Key(Key { disabled: true, ..key.clone() })])
                }
                _ => None,
            },
            Self::DropKey(uid) => has(&ObjectId::Key(KeyUid(uid)))
                .then(|| vec![Change::Tombstone(Tombstone::Key(KeyUid(uid)))]),
            Self::PutUpstream(number, place) => {
                let change = Change::Upstream(upstream(number, place));
                let mut next = state.clone();
                apply(&mut next, &change);
                Some(vec![change, Change::Model(model(&next))])
            }
            Self::DropUpstream(number) => {
                let name = upstream_name(number);
                let grave = Change::Tombstone(Tombstone::Upstream(name.clone()));
                let mut next = state.clone();
                next.remove(&ObjectId::Upstream(name.clone()))?;
                Some(vec![Change::Model(model(&next)), grave])
            }
        }
    }
}

/// What a new database holds.
pub(super) fn beginning() -> Objects {
    let mut state = Objects::new();
    let first = [Change::Entity(entity()), plan(0, 0), Change::Upstream(upstream(0, 0))];
    first.iter().for_each(|change| apply(&mut state, change));
    let rest = [Change::Model(model(&state)), Change::Org(org(1, 0, None))];
    rest.iter().for_each(|change| apply(&mut state, change));
    apply(&mut state, &Change::Key(key(10, 1, false)));
    state
}

pub(super) fn apply(state: &mut Objects, change: &Change) {
    let id = ObjectId::of(change);
    match change {
        Change::Tombstone(_) => drop(state.remove(&id)),
        put => drop(state.insert(id, put.clone())),
    }
}

fn orgs(state: &Objects) -> impl Iterator<Item = &Org> {
    state.values().filter_map(|change| match change {
        Change::Org(org) => Some(org),
        _ => None,
    })
}

fn keys(state: &Objects) -> impl Iterator<Item = &Key> {
    state.values().filter_map(|change| match change {
        Change::Key(key) => Some(key),
        _ => None,
    })
}

fn place(name: &str) -> Jurisdiction {
    Jurisdiction::parse(name).expect("two capital letters")
}

fn places(names: &[&str]) -> Allowed {
    Allowed::Only(names.iter().map(|name| place(name)).collect())
}

fn plan_name(number: u64) -> String {
    format!("plan-{number}")
}

fn plan(number: u64, size: usize) -> Change {
    let concurrency = Some(size as u64);
    Change::Plan(Plan { name: plan_name(number), concurrency, ..Plan::default() })
}

fn upstream_name(number: u64) -> String {
    format!("upstream-{number}")
}

fn upstream(number: u64, at: usize) -> Upstream {
    Upstream {
        name: upstream_name(number),
        vendor: "vendor".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: "https://upstream.example/v1".to_owned(),
        sealed_credential: Vec::new(),
        jurisdiction: place(PLACES[at]),
        stops_on_abort: true,
        collects_no_data: true,
        zero_data_retention: true,
        vendor_pages: VendorPages::default(),
    }
}

fn entity() -> Entity {
    Entity {
        name: ENTITY.to_owned(),
        display_name: "Global".to_owned(),
        jurisdiction: place("SG"),
        currency: Currency::parse("USD").expect("a currency"),
        key_prefix: "sk-tp".to_owned(),
        allowed: places(&ALLOWED),
        charge_empty_answers: false,
        charge_cut_answers: true,
    }
}

fn org(uid: i64, plan: u64, narrow: Option<usize>) -> Org {
    Org {
        uid: OrgUid(uid),
        name: format!("org-{uid}"),
        entity: ENTITY.to_owned(),
        plan: plan_name(plan),
        audience: AUDIENCE.to_owned(),
        allowed: narrow.map_or(Allowed::Any, |at| places(&ALLOWED[at..=at])),
        disabled: false,
        store_content: false,
    }
}

fn key(uid: i64, org: i64, disabled: bool) -> Key {
    let byte = u8::try_from(uid).unwrap_or(0);
    Key {
        uid: KeyUid(uid),
        digest: KeyDigest([byte; 16]),
        previous: None,
        org: OrgUid(org),
        name: format!("org-{org}/key-{uid}"),
        models: Vec::new(),
        budgeted: false,
        expires: None,
        disabled,
        allowed: Allowed::Any,
    }
}

/// The one model: a route to each upstream, with a price where the entity may use it.
fn model(state: &Objects) -> Model {
    let routes = state.values().filter_map(|change| match change {
        Change::Upstream(upstream) => Some(route(upstream)),
        _ => None,
    });
    Model {
        name: "demo/chat".to_owned(),
        display_name: String::new(),
        description: String::new(),
        context_length: 1_000,
        max_output_tokens: 1_000,
        input_modalities: Vec::new(),
        output_modalities: Vec::new(),
        image_tokens_max: 0,
        audio_tokens_max: 0,
        hidden_reasoning: false,
        aliases: Vec::new(),
        operations: Vec::new(),
        supported_parameters: Vec::new(),
        routes: routes.collect(),
        created: Timestamp::default(),
    }
}

fn route(upstream: &Upstream) -> Route {
    let price = SellPrice {
        entity: ENTITY.to_owned(),
        audience: AUDIENCE.to_owned(),
        org: None,
        revision: 1,
        schedule: Schedule::default(),
    };
    let is_sold = places(&ALLOWED).permits(upstream.jurisdiction);
    Route {
        upstream: upstream.name.clone(),
        model: "chat".to_owned(),
        priority: 0,
        weight: 1,
        supported_parameters: Vec::new(),
        prices: is_sold.then(|| Arc::new(price)).into_iter().collect(),
    }
}

/// The database: the head, what is there, the log that led there; and, as nobody else knows, all that was ever committed.
#[derive(Debug)]
pub(super) struct ConfigLog {
    pub(super) head: Revision,
    states: BTreeMap<Revision, Objects>,
    log: BTreeMap<Revision, Vec<Change>>,
    ever: BTreeMap<Revision, Objects>,
    /// When each key was revoked or deleted for good, if it never came back.
    pub(super) gone: BTreeMap<KeyUid, Revision>,
}

impl ConfigLog {
    pub(super) fn new() -> Self {
        let head = Revision { generation: 1, rev: 1 };
        let states = BTreeMap::from([(head, beginning())]);
        let ever = states.clone();
        Self { head, states, log: BTreeMap::new(), ever, gone: BTreeMap::new() }
    }

    pub(super) fn state(&self) -> &Objects {
        &self.states[&self.head]
    }

    /// What was true at a revision; the last one, where a broken rule has given it to two states.
    pub(super) fn at(&self, revision: Revision) -> Option<&Objects> {
        self.ever.get(&revision)
    }

    /// One transaction. Returns whether it was committed.
    pub(super) fn commit(&mut self, order: Order) -> bool {
        let Some(changes) = order.changes(self.state()) else { return false };
        let mut next = self.state().clone();
        changes.iter().for_each(|change| apply(&mut next, change));
        self.head.rev += 1;
        for change in &changes {
            self.note_key(change);
        }
        self.states.insert(self.head, next.clone());
        self.ever.insert(self.head, next);
        self.log.insert(self.head, changes);
        true
    }

    fn note_key(&mut self, change: &Change) {
        match change {
            Change::Key(key) if !key.disabled => drop(self.gone.remove(&key.uid)),
            Change::Key(Key { uid, .. }) | Change::Tombstone(Tombstone::Key(uid)) => {
                self.gone.insert(*uid, self.head);
            }
            _ => {}
        }
    }

    /// The steps after a revision of the log, or nothing if it is not of it.
    pub(super) fn after(&self, at: Revision) -> Option<Vec<(Revision, Vec<Change>)>> {
        let is_known = self.states.contains_key(&at) && at.generation == self.head.generation;
        let steps = self.log.range(at..).filter(|(to, _)| **to > at);
        is_known.then(|| steps.map(|(to, changes)| (*to, changes.clone())).collect())
    }

    /// A standby takes over that did not have the last commits. What they had given out is never given out again.
    pub(super) fn lose(&mut self, count: u64, keeps_generation: bool) -> bool {
        let before = self.head;
        let kept = before.rev.saturating_sub(count).max(1);
        let at = Revision { rev: kept, ..before };
        if kept == before.rev || !self.states.contains_key(&at) {
            return false;
        }
        self.states.retain(|revision, _| *revision <= at);
        self.log.retain(|revision, _| *revision <= at);
        // Whether a revocation was lost is for the operator to find out.
        self.gone.retain(|_, since| *since <= at);
        self.head = at;
        if !keeps_generation {
            let state = self.state().clone();
            self.head = Revision { generation: at.generation + 1, rev: before.rev + 1 };
            self.states = BTreeMap::from([(self.head, state.clone())]);
            self.log.clear();
            self.ever.insert(self.head, state);
        }
        true
    }
}
