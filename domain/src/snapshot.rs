//! What a data plane needs of the configuration, at one revision, and the deltas that lead from one to the next.
//!
//! Keys are not in here but travel in the same changes: they may be millions, and a data plane keeps them in a table that
//! it updates in place.

use crate::config::{Dialect, Entity, Modality, Plan, Upstream};
use crate::id::{KeyUid, OrgUid, Revision};
use crate::jurisdiction::Allowed;
use crate::key::{KeyDigest, PreviousDigest};
use crate::name::Glob;
use crate::operation::Operation;
use crate::price::Schedule;
use crate::time::Timestamp;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// A model with its routes and their sell prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `author/slug`.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people, at more length; may be empty.
    pub description: String,
    /// Most tokens of input and output together.
    pub context_length: u64,
    /// Most tokens of output.
    pub max_output_tokens: u64,
    /// What it reads.
    pub input_modalities: Vec<Modality>,
    /// What it writes.
    pub output_modalities: Vec<Modality>,
    /// Most tokens one image part can cost.
    pub image_tokens_max: u64,
    /// Most tokens one audio part can cost.
    pub audio_tokens_max: u64,
    /// Reasons without showing it.
    pub hidden_reasoning: bool,
    /// Other names under which clients find it.
    pub aliases: Vec<String>,
    /// What it may be asked; empty: all that its outputs allow.
    pub operations: Vec<Operation>,
    /// Request parameters that all its routes honour; empty: those of its endpoint.
    pub supported_parameters: Vec<String>,
    /// Ascending by priority.
    pub routes: Vec<Route>,
    /// When it was first configured.
    pub created: Timestamp,
}

/// A route with what each buyer pays on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name of the upstream.
    pub upstream: String,
    /// The upstream's name of the model.
    pub model: String,
    /// Lower first.
    pub priority: u32,
    /// Share among equals, at least 1.
    pub weight: u32,
    /// Request parameters that it honours; empty: those of the model.
    pub supported_parameters: Vec<String>,
    /// For every entity that may use the upstream. None for the others: to them the route does not exist.
    pub prices: Vec<Arc<SellPrice>>,
}

/// What one entity asks of one audience, or of one org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SellPrice {
    /// Who sells.
    pub entity: String,
    /// To whom.
    pub audience: String,
    /// To this org alone.
    pub org: Option<String>,
    /// The configuration revision that brought this price about.
    pub revision: u64,
    /// Cards by date.
    pub schedule: Schedule,
}

impl Model {
    /// What it may be asked.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        if self.operations.is_empty() {
            Operation::of_outputs(&self.output_modalities)
        } else {
            &self.operations
        }
    }

    /// The request parameters that it honours: as configured, else what its first endpoint takes.
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        if self.supported_parameters.is_empty() {
            return self.operations().first().map_or(&[][..], |first| first.parameters()).to_vec();
        }
        self.supported_parameters.iter().map(String::as_str).collect()
    }

    /// Whether one of its routes honours a request parameter.
    #[must_use]
    pub fn supports(&self, route: &Route, parameter: &str) -> bool {
        if route.supported_parameters.is_empty() {
            return self.parameters().contains(&parameter);
        }
        route.supported_parameters.iter().any(|supported| supported == parameter)
    }
}

impl Route {
    /// What an org pays here: its own price, else its audience's. `None`: the route is not for it.
    #[must_use]
    pub fn price_for(&self, org: &Org) -> Option<&Arc<SellPrice>> {
        let mine =
            |price: &&Arc<SellPrice>| price.entity == org.entity && price.audience == org.audience;
        let own = |price: &&Arc<SellPrice>| mine(price) && price.org.as_deref() == Some(&org.name);
        let common = |price: &&Arc<SellPrice>| mine(price) && price.org.is_none();
        self.prices.iter().find(own).or_else(|| self.prices.iter().find(common))
    }
}

/// A customer, as far as a data plane needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Never reused.
    pub uid: OrgUid,
    /// Unique.
    pub name: String,
    /// Who sells to it.
    pub entity: String,
    /// Its limits.
    pub plan: String,
    /// Who it is, for prices.
    pub audience: String,
    /// Where its requests may go.
    pub allowed: Allowed,
    /// May not do anything.
    pub disabled: bool,
    /// Wants its prompts and completions kept.
    pub store_content: bool,
}

/// A key, as far as a data plane needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Never reused.
    pub uid: KeyUid,
    /// What it is looked up by.
    pub digest: KeyDigest,
    /// What it is looked up by, too, for a while after its secret was changed. Boxed, as few keys have one.
    pub previous: Option<Box<PreviousDigest>>,
    /// Whose it is.
    pub org: OrgUid,
    /// `org/name`.
    pub name: String,
    /// Which models; empty: all.
    pub models: Vec<Glob>,
    /// Has a budget, which must be held as well.
    pub budgeted: bool,
    /// When it stops.
    pub expires: Option<Timestamp>,
    /// May not do anything.
    pub disabled: bool,
    /// Where its requests may go.
    pub allowed: Allowed,
}

/// One step from one snapshot towards the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put.
    Entity(Entity),
    /// Put.
    Plan(Plan),
    /// Put.
    Upstream(Upstream),
    /// Put.
    Model(Model),
    /// Put.
    Org(Org),
    /// Put.
    Key(Key),
    /// Gone. Only this deletes: absence never does.
    Tombstone(Tombstone),
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// By name.
    Entity(String),
    /// By name.
    Plan(String),
    /// By name.
    Upstream(String),
    /// By name.
    Model(String),
    /// By uid.
    Org(OrgUid),
    /// By uid.
    Key(KeyUid),
}

/// Whole revisions: applies onto exactly `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Where it starts.
    pub from: Revision,
    /// Where it leads.
    pub to: Revision,
    /// In an order in which nothing points at what is not there yet.
    pub changes: Vec<Change>,
}

/// A delta that does not belong here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("delta from {from:?} does not apply onto {at:?}")]
pub struct WrongBase {
    /// Where the delta starts.
    pub from: Revision,
    /// Where the snapshot is.
    pub at: Revision,
}

/// A change to the key table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Put.
    Put(Key),
    /// Gone.
    Gone(KeyUid),
}

/// All but the keys. Cloning is cheap: objects are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The state this is.
    pub revision: Revision,
    /// By name.
    pub entities: HashMap<String, Arc<Entity>>,
    /// By name.
    pub plans: HashMap<String, Arc<Plan>>,
    /// By name.
    pub upstreams: HashMap<String, Arc<Upstream>>,
    /// By name, ordered for lists.
    pub models: BTreeMap<String, Arc<Model>>,
    /// By their other names. Follows from `models`.
    pub aliases: HashMap<String, Arc<Model>>,
    /// By uid.
    pub orgs: HashMap<OrgUid, Arc<Org>>,
}

impl Snapshot {
    /// The next snapshot, and what to do to the key table before it is shown.
    ///
    /// # Errors
    /// When the delta starts elsewhere.
    pub fn apply(&self, delta: Delta) -> Result<(Self, Vec<KeyChange>), WrongBase> {
        if delta.from != self.revision {
            return Err(WrongBase { from: delta.from, at: self.revision });
        }
        let mut next = Self { revision: delta.to, ..self.clone() };
        let keys = next.extend(delta.changes);
        Ok((next, keys))
    }

    /// A snapshot made of puts alone.
    #[must_use]
    pub fn assemble(revision: Revision, changes: Vec<Change>) -> (Self, Vec<KeyChange>) {
        let mut whole = Self { revision, ..Self::default() };
        let keys = whole.extend(changes);
        (whole, keys)
    }

    /// Takes in a part of a state that is being put together. Returns what to do to the key table.
    pub fn extend(&mut self, changes: Vec<Change>) -> Vec<KeyChange> {
        changes.into_iter().filter_map(|change| self.step(change)).collect()
    }

    fn step(&mut self, change: Change) -> Option<KeyChange> {
        match change {
            Change::Entity(entity) => {
                self.entities.insert(entity.name.clone(), Arc::new(entity));
            }
            Change::Plan(plan) => {
                self.plans.insert(plan.name.clone(), Arc::new(plan));
            }
            Change::Upstream(upstream) => {
                self.upstreams.insert(upstream.name.clone(), Arc::new(upstream));
            }
            Change::Model(model) => self.put_model(Arc::new(model)),
            Change::Org(org) => {
                self.orgs.insert(org.uid, Arc::new(org));
            }
            Change::Key(key) => return Some(KeyChange::Put(key)),
            Change::Tombstone(gone) => return self.bury(&gone),
        }
        None
    }

    fn bury(&mut self, gone: &Tombstone) -> Option<KeyChange> {
        match gone {
            Tombstone::Entity(name) => drop(self.entities.remove(name)),
            Tombstone::Plan(name) => drop(self.plans.remove(name)),
            Tombstone::Upstream(name) => drop(self.upstreams.remove(name)),
            Tombstone::Model(name) => self.bury_model(name),
            Tombstone::Org(uid) => drop(self.orgs.remove(uid)),
            Tombstone::Key(uid) => return Some(KeyChange::Gone(*uid)),
        }
        None
    }

    /// The model that clients mean by a name, which may be an alias.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.get(name).or_else(|| self.aliases.get(name))
    }

    fn put_model(&mut self, model: Arc<Model>) {
        self.bury_model(&model.name);
        for alias in &model.aliases {
            self.aliases.insert(alias.clone(), model.clone());
        }
        self.models.insert(model.name.clone(), model);
    }

    /// An alias may have moved to another model in the same delta; then it stays there.
    fn bury_model(&mut self, name: &str) {
        if let Some(gone) = self.models.remove(name) {
            self.aliases.retain(|_, model| model.name != gone.name);
        }
    }

    /// The dialect of an upstream.
    #[must_use]
    pub fn dialect(&self, upstream: &str) -> Option<Dialect> {
        self.upstreams.get(upstream).map(|upstream| upstream.dialect)
    }
}
