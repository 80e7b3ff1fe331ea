//! What is sold at cost because no markup rule speaks of it: allowed, and said.

use super::Catalog;
use crate::config::{Entity, MarkupRule};
use crate::markup::{Buyer, choose};
use std::collections::BTreeSet;
use std::fmt;

/// Models named in a warning; of more the number is told.
const MODELS_TOLD: usize = 3;

/// Buyers for whom no markup rule decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtCost {
    /// Who sells.
    pub entity: String,
    /// To whom.
    pub audience: String,
    /// What, in order.
    pub models: Vec<String>,
}

impl Catalog {
    /// Every audience that has an org, and is sold something at cost for want of a rule. A rule of zero percent says that
    /// it is meant.
    #[must_use]
    pub fn at_cost(&self) -> Vec<AtCost> {
        let rules: Vec<MarkupRule> = self.markup_rules.values().cloned().collect();
        let mut found = Vec::new();
        for entity in self.entities.values() {
            let orgs = self.orgs.values().filter(|org| org.entity == entity.name);
            let audiences: BTreeSet<&str> = orgs.map(|org| org.audience.as_str()).collect();
            found.extend(audiences.into_iter().filter_map(|to| self.unruled(entity, to, &rules)));
        }
        found
    }

    fn unruled(&self, entity: &Entity, audience: &str, rules: &[MarkupRule]) -> Option<AtCost> {
        let places = |name: &str| self.upstreams.get(name).map(|upstream| upstream.jurisdiction);
        let sold = self.models.values().filter(|model| {
            let mut places = model.routes.iter().filter_map(|route| places(&route.upstream));
            places.any(|place| entity.allowed.permits(place))
        });
        let unruled = sold.filter(|model| {
            let (entity, model, origin) = (&*entity.name, &*model.name, &*model.origin);
            choose(rules, &Buyer { entity, audience, org: None, model, origin }).is_none()
        });
        let models: Vec<String> = unruled.map(|model| model.name.clone()).collect();
        let (entity, audience) = (entity.name.clone(), audience.to_owned());
        (!models.is_empty()).then_some(AtCost { entity, audience, models })
    }
}

impl fmt::Display for AtCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entity, audience, models } = self;
        let told: Vec<&str> = models.iter().take(MODELS_TOLD).map(String::as_str).collect();
        let more = if models.len() > MODELS_TOLD { " and others" } else { "" };
        write!(
            f,
            "Entity {entity:?} sells {} models ({}{more}) at cost to audience {audience:?}: no MarkupRule matches; \
             add one, of 0 percent if that is meant",
            models.len(),
            told.join(", ")
        )
    }
}
