//! What a caller may see of what is stored: each row is bound to whom it belongs by the rows of the same moment.

use super::{Belongs, Scope};
use crate::errors::Failure;
use crate::resource::Spec;
use crate::rows::{self, Row};
use domain::config::Kind;
use sqlx::AnyConnection;
use std::collections::BTreeMap;

/// Looks at rows for one caller. Orgs that were looked up are remembered.
pub(crate) struct Sight<'a> {
    scope: &'a Scope,
    entity_of: BTreeMap<String, String>,
}

impl<'a> Sight<'a> {
    pub(crate) const fn of(scope: &'a Scope) -> Self {
        Self { scope, entity_of: BTreeMap::new() }
    }

    /// Whether the caller may see the row.
    pub(crate) async fn sees(
        &mut self,
        connection: &mut AnyConnection,
        row: &Row,
    ) -> Result<bool, Failure> {
        if *self.scope == Scope::Everything {
            return Ok(true);
        }
        if let Some(org) = org_of(&row.spec) {
            self.look_up(connection, org).await?;
        }
        Ok(self.scope.reads(&Belongs::of(&row.name, &row.spec, |org| self.entity(org))))
    }

    /// Whether the caller may see an operator of that scope.
    pub(crate) async fn sees_operator_of(
        &mut self,
        connection: &mut AnyConnection,
        scope: &Scope,
    ) -> Result<bool, Failure> {
        if let Scope::Org(org) = scope {
            self.look_up(connection, org).await?;
        }
        Ok(self.scope.holds(&scope.belongs(|org| self.entity(org))))
    }

    fn entity(&self, org: &str) -> Option<String> {
        self.entity_of.get(org).cloned()
    }

    async fn look_up(&mut self, connection: &mut AnyConnection, org: &str) -> Result<(), Failure> {
        if self.entity_of.contains_key(org) {
            return Ok(());
        }
        let found = rows::find(connection, Kind::Org, org).await?;
        if let Some(Row { spec: Spec::Org(spec), .. }) = found {
            self.entity_of.insert(org.to_owned(), spec.entity);
        }
        Ok(())
    }
}

/// The org whose entity says whose the object is.
fn org_of(spec: &Spec) -> Option<&str> {
    match spec {
        Spec::Key(key) => Some(&key.org),
        Spec::MarkupRule(rule) if !rule.org.is_empty() => Some(&rule.org),
        _ => None,
    }
}
