//! Who refers to whom: what may not be deleted while something else needs it.

use super::Catalog;
use crate::config::{Kind, MarkupRule, Org};

impl Catalog {
    /// All objects that name this one, in order of kind and name. It may be deleted only when there are none. Keys are
    /// not looked at: whoever holds them must ask for those of an org.
    #[must_use]
    pub fn referrers(&self, kind: Kind, name: &str) -> Vec<(Kind, String)> {
        match kind {
            Kind::Entity => {
                let orgs = self.orgs_where(|org| org.entity == name);
                orgs.chain(self.rules_where(|rule| rule.entity.as_deref() == Some(name))).collect()
            }
            Kind::Plan => self.orgs_where(|org| org.plan == name).collect(),
            Kind::Upstream => self.users_of_upstream(name),
            Kind::Org => self.rules_where(|rule| rule.org.as_deref() == Some(name)).collect(),
            Kind::FxRate | Kind::PriceBook | Kind::MarkupRule | Kind::Model | Kind::Key => {
                Vec::new()
            }
        }
    }

    fn users_of_upstream(&self, name: &str) -> Vec<(Kind, String)> {
        let books =
            self.price_books.values().filter(|book| book.upstreams.iter().any(|u| u == name));
        let models =
            self.models.values().filter(|model| model.routes.iter().any(|r| r.upstream == name));
        books
            .map(|book| (Kind::PriceBook, book.name.clone()))
            .chain(models.map(|model| (Kind::Model, model.name.clone())))
            .collect()
    }

    fn rules_where(
        &self,
        wanted: impl Fn(&MarkupRule) -> bool,
    ) -> impl Iterator<Item = (Kind, String)> {
        let rules = self.markup_rules.values().filter(move |rule| wanted(rule));
        rules.map(|rule| (Kind::MarkupRule, rule.name.clone()))
    }

    fn orgs_where(&self, wanted: impl Fn(&Org) -> bool) -> impl Iterator<Item = (Kind, String)> {
        let orgs = self.orgs.values().filter(move |org| wanted(org));
        orgs.map(|org| (Kind::Org, org.name.clone()))
    }
}
