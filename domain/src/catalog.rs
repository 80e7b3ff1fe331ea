//! The configuration as a whole, without keys: what there is, what refers to what, and whether it fits together.
//!
//! Where every change of the configuration passes: what [`Catalog::validate`] refuses reaches no data plane. Keys may be
//! millions and are checked one at a time against the rest.

mod costs;
mod check;
mod references;
mod at_cost;

pub use at_cost::AtCost;
pub(crate) use costs::{Cost, CostIndex, Costs};

use crate::config::{Entity, FxRate, Key, Kind, MarkupRule, Model, Org, Plan, PriceBook, Upstream};
use crate::money::Currency;
use std::collections::BTreeMap;
use std::fmt;

/// All that is configured but the keys, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Who sells.
    pub entities: BTreeMap<String, Entity>,
    /// Limits.
    pub plans: BTreeMap<String, Plan>,
    /// What we call.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Exchange rates.
    pub fx_rates: BTreeMap<String, FxRate>,
    /// What upstreams charge.
    pub price_books: BTreeMap<String, PriceBook>,
    /// What clients name.
    pub models: BTreeMap<String, Model>,
    /// Who buys.
    pub orgs: BTreeMap<String, Org>,
    /// What is added.
    pub markup_rules: BTreeMap<String, MarkupRule>,
}

/// Any configured object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// Who sells.
    Entity(Entity),
    /// Limits.
    Plan(Plan),
    /// What we call.
    Upstream(Upstream),
    /// An exchange rate.
    FxRate(FxRate),
    /// What upstreams charge.
    PriceBook(PriceBook),
    /// What clients name.
    Model(Model),
    /// Who buys.
    Org(Org),
    /// What is added.
    MarkupRule(MarkupRule),
    /// Who may ask.
    Key(Key),
}

impl Object {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Entity(_) => Kind::Entity,
            Self::Plan(_) => Kind::Plan,
            Self::Upstream(_) => Kind::Upstream,
            Self::FxRate(_) => Kind::FxRate,
            Self::PriceBook(_) => Kind::PriceBook,
            Self::MarkupRule(_) => Kind::MarkupRule,
            Self::Model(_) => Kind::Model,
            Self::Org(_) => Kind::Org,
            Self::Key(_) => Kind::Key,
        }
    }

    /// Its name, unique within its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Entity(entity) => &entity.name,
            Self::Plan(plan) => &plan.name,
            Self::Upstream(upstream) => &upstream.name,
            Self::FxRate(rate) => &rate.name,
            Self::PriceBook(book) => &book.name,
            Self::MarkupRule(rule) => &rule.name,
            Self::Model(model) => &model.name,
            Self::Org(org) => &org.name,
            Self::Key(key) => &key.name,
        }
    }
}

/// Why an object cannot be accepted, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Of which kind the object is.
    pub kind: Kind,
    /// Which object.
    pub name: String,
    /// Which of its fields, as a path such as `routes[openai].weight`.
    pub field: String,
    /// What is wrong, and the remedy.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}: {}", self.kind, self.name, self.field, self.reason)
    }
}

impl Catalog {
    /// Puts an object in the place of the one of its kind and name. A key is handed back: the catalog holds none.
    pub fn put(&mut self, object: Object) -> Option<Key> {
        match object {
            Object::Entity(entity) => drop(self.entities.insert(entity.name.clone(), entity)),
            Object::Plan(plan) => drop(self.plans.insert(plan.name.clone(), plan)),
            Object::Upstream(upstream) => {
                drop(self.upstreams.insert(upstream.name.clone(), upstream));
            }
            Object::FxRate(rate) => drop(self.fx_rates.insert(rate.name.clone(), rate)),
            Object::PriceBook(book) => drop(self.price_books.insert(book.name.clone(), book)),
            Object::MarkupRule(rule) => drop(self.markup_rules.insert(rule.name.clone(), rule)),
            Object::Model(model) => drop(self.models.insert(model.name.clone(), model)),
            Object::Org(org) => drop(self.orgs.insert(org.name.clone(), org)),
            Object::Key(key) => return Some(key),
        }
        None
    }

    /// Takes an object out. `None`: there was none, or it is a key.
    pub fn remove(&mut self, kind: Kind, name: &str) -> Option<Object> {
        match kind {
            Kind::Entity => self.entities.remove(name).map(Object::Entity),
            Kind::Plan => self.plans.remove(name).map(Object::Plan),
            Kind::Upstream => self.upstreams.remove(name).map(Object::Upstream),
            Kind::FxRate => self.fx_rates.remove(name).map(Object::FxRate),
            Kind::PriceBook => self.price_books.remove(name).map(Object::PriceBook),
            Kind::MarkupRule => self.markup_rules.remove(name).map(Object::MarkupRule),
            Kind::Model => self.models.remove(name).map(Object::Model),
            Kind::Org => self.orgs.remove(name).map(Object::Org),
            Kind::Key => None,
        }
    }

    /// The currency of an org's wallet and of its keys' budgets: that of its entity.
    #[must_use]
    pub fn currency_of_org(&self, org: &str) -> Option<Currency> {
        let org = self.orgs.get(org)?;
        self.entities.get(&org.entity).map(|entity| entity.currency)
    }
}
