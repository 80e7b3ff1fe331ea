//! Whether each object that a change is about, as it was and as it will be, is the caller's to change. What he may not
//! even see is not found, as if it were not there.

use super::step::Step;
use crate::errors::{AdminError, Refusal};
use crate::operator::{Belongs, Caller, Scope};
use crate::resource::{Parts, Spec};
use crate::rows::Row;
use domain::catalog::Catalog;
use std::collections::BTreeMap;

/// How far the caller of a change reaches.
pub(super) struct Reach<'a> {
    caller: &'a Caller,
    catalog: &'a Catalog,
    /// Who sells to orgs that the change itself makes.
    new_orgs: BTreeMap<String, String>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(caller: &'a Caller, catalog: &'a Catalog, steps: &[Step]) -> Self {
        let new_org = |step: &Step| match step {
            Step::Create(parts) | Step::Put(parts) | Step::Import(parts, _) => match &parts.spec {
                Spec::Org(org) => Some((parts.name.clone(), org.entity.clone())),
                _ => None,
            },
            Step::Update(..) | Step::Rotate { .. } | Step::Delete { .. } => None,
        };
        Self { caller, catalog, new_orgs: steps.iter().filter_map(new_org).collect() }
    }

    /// Before it is looked up whether the name is taken: who may not make it learns nothing.
    pub(super) fn expect_new(&self, parts: &Parts) -> Result<(), AdminError> {
        self.expect_writes(&parts.name, &parts.spec)
    }

    /// What is there must be the caller's. What he cannot see is not there for him, unless he wants its name.
    pub(super) fn expect_changeable(&self, step: &Step, before: &Row) -> Result<(), AdminError> {
        let is_seen = self.caller.operator.scope.reads(&self.belongs(&before.name, &before.spec));
        match step {
            Step::Create(_) => Ok(()),
            Step::Update(..) | Step::Rotate { .. } | Step::Delete { .. } if !is_seen => {
                let (kind, name) = (before.spec.kind(), before.name.clone());
                Err(Refusal::NotFound { kind, name }.into())
            }
            Step::Put(_)
            | Step::Import(..)
            | Step::Update(..)
            | Step::Rotate { .. }
            | Step::Delete { .. } => self.expect_writes(&before.name, &before.spec),
        }
    }

    /// What becomes of it must be the caller's, too: nothing is given away to others.
    pub(super) fn expect_own(&self, after: &Row) -> Result<(), AdminError> {
        self.expect_writes(&after.name, &after.spec)
    }

    fn expect_writes(&self, name: &str, spec: &Spec) -> Result<(), AdminError> {
        let resource = || format!("{} {name}", spec.kind());
        self.caller.expect_writes(&self.belongs(name, spec), resource)?;
        match spec {
            // Keys are named after their org; a name of another's would tell whether it is taken.
            Spec::Key(key) if self.caller.operator.scope != Scope::Everything => {
                let own = name.strip_prefix(&key.org).is_some_and(|rest| rest.starts_with('/'));
                let refused = || self.caller.denied(resource(), "its name is another org's");
                if own { Ok(()) } else { Err(refused()) }
            }
            _ => Ok(()),
        }
    }

    fn belongs(&self, name: &str, spec: &Spec) -> Belongs {
        let known = |org: &str| self.catalog.orgs.get(org).map(|org| &org.entity);
        let entity_of = |org: &str| known(org).or_else(|| self.new_orgs.get(org)).cloned();
        Belongs::of(name, spec, entity_of)
    }
}
