//! How far an operator reaches: what belongs to whom, who may see it and who may write it. Pure.

use crate::resource::Spec;
use std::fmt;

/// What an operator is responsible for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole zone.
    Everything,
    /// One entity, its orgs and what is theirs.
    Entity(String),
    /// One org and what is its own.
    Org(String),
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// Nobody's in particular: supply, prices and plans that all share.
    Zone,
    /// It is this entity.
    Entity(String),
    /// Something of this entity's.
    ToEntity(String),
    /// It is this org.
    Org {
        /// Which.
        org: String,
        /// Who sells to it.
        entity: String,
    },
    /// Something of this org's.
    ToOrg {
        /// Which.
        org: String,
        /// Who sells to it.
        entity: String,
    },
}

impl Scope {
    /// From the two columns and fields that hold it.
    pub(crate) fn new(entity: &str, org: &str) -> Self {
        match (entity, org) {
            ("", "") => Self::Everything,
            (entity, "") => Self::Entity(entity.to_owned()),
            (_, org) => Self::Org(org.to_owned()),
        }
    }

    /// The entity and the org, of which at most one is not empty.
    pub(crate) fn parts(&self) -> (&str, &str) {
        match self {
            Self::Everything => ("", ""),
            Self::Entity(entity) => (entity, ""),
            Self::Org(org) => ("", org),
        }
    }

    /// Whether it may be known. Whoever is responsible for an entity sees the supply that all share; an org does not: it
    /// tells what things cost us.
    pub(crate) fn reads(&self, belongs: &Belongs) -> bool {
        match self {
            Self::Everything => true,
            Self::Entity(own) => match belongs {
                Belongs::Zone => true,
                Belongs::Entity(entity)
                | Belongs::ToEntity(entity)
                | Belongs::Org { entity, .. }
                | Belongs::ToOrg { entity, .. } => entity == own,
            },
            Self::Org(own) => match belongs {
                Belongs::Zone | Belongs::Entity(_) | Belongs::ToEntity(_) => false,
                Belongs::Org { org, .. } | Belongs::ToOrg { org, .. } => org == own,
            },
        }
    }

    /// Whether it may be changed. The entity or org itself is written from above: it holds the bounds (jurisdictions,
    /// plan, credit limit) within which its own operators work.
    pub(crate) fn writes(&self, belongs: &Belongs) -> bool {
        match (self, belongs) {
            (Self::Everything, _) => true,
            (Self::Entity(_), Belongs::Entity(_)) | (Self::Org(_), Belongs::Org { .. }) => false,
            (Self::Entity(_), Belongs::Zone) => false,
            (Self::Entity(_) | Self::Org(_), _) => self.reads(belongs),
        }
    }

    /// What an operator of this scope belongs to: who reads that may see the operator, and who is above may change it.
    pub(crate) fn belongs(&self, entity_of: impl Fn(&str) -> Option<String>) -> Belongs {
        match self {
            Self::Everything => Belongs::Zone,
            Self::Entity(entity) => Belongs::ToEntity(entity.clone()),
            Self::Org(org) => {
                Belongs::ToOrg { org: org.clone(), entity: entity_of(org).unwrap_or_default() }
            }
        }
    }

    /// Whether another scope lies within this one.
    pub(crate) fn holds(&self, belongs: &Belongs) -> bool {
        match (self, belongs) {
            (Self::Everything, _) => true,
            (_, Belongs::Zone) => false,
            _ => self.reads(belongs),
        }
    }
}

impl Belongs {
    /// Whose an object of that name and spec is.
    pub(crate) fn of(name: &str, spec: &Spec, entity_of: impl Fn(&str) -> Option<String>) -> Self {
        match spec {
            Spec::Plan(_)
            | Spec::Upstream(_)
            | Spec::FxRate(_)
            | Spec::PriceBook(_)
            | Spec::Model(_) => Self::Zone,
            Spec::Entity(_) => Self::Entity(name.to_owned()),
            Spec::MarkupRule(rule) => of_rule(&rule.entity, &rule.org, entity_of),
            Spec::Org(org) => Self::Org { org: name.to_owned(), entity: org.entity.clone() },
            Spec::Key(key) => Self::ToOrg {
                org: key.org.clone(),
                entity: entity_of(&key.org).unwrap_or_default(),
            },
        }
    }
}

/// A rule that names an entity and another's org is nobody's, as is one for all.
fn of_rule(entity: &str, org: &str, entity_of: impl Fn(&str) -> Option<String>) -> Belongs {
    let seller = (!org.is_empty()).then(|| entity_of(org).unwrap_or_default());
    match (entity, seller) {
        ("", None) => Belongs::Zone,
        ("", Some(seller)) => Belongs::ToEntity(seller),
        (entity, Some(seller)) if entity != seller => Belongs::Zone,
        (entity, _) => Belongs::ToEntity(entity.to_owned()),
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Entity(entity) => write!(f, "entity {entity:?}"),
            Self::Org(org) => write!(f, "org {org:?}"),
        }
    }
}
