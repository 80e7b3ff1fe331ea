//! What leads from one compiled state to the next.

use super::Compiled;
use crate::id::OrgUid;
use crate::snapshot::{Change, Model, Route, SellPrice, Tombstone};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Compiled {
    /// Prices that were in effect before, each with its model and upstream, and nothing else: what a control plane that
    /// just started compiles against, so that prices keep their revisions. Of several for the same buyer the latest
    /// counts.
    #[must_use]
    pub fn remembering(prices: impl IntoIterator<Item = (String, String, SellPrice)>) -> Self {
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        for (name, upstream, price) in prices {
            let model = models.entry(name.clone()).or_insert_with(|| bare_model(name));
            match model.routes.iter_mut().find(|route| route.upstream == upstream) {
                Some(route) => route.prices.push(price.into()),
                None => model.routes.push(bare_route(upstream, price)),
            }
        }
        Self { models, ..Self::default() }
    }

    /// What leads from `previous` to here: puts in an order in which each refers only to what is there, then tombstones
    /// in the reverse of it.
    #[must_use]
    pub fn changes_from(&self, previous: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(puts(&self.entities, &previous.entities, Change::Entity));
        changes.extend(puts(&self.plans, &previous.plans, Change::Plan));
        changes.extend(puts(&self.upstreams, &previous.upstreams, Change::Upstream));
        changes.extend(puts(&self.models, &previous.models, Change::Model));
        changes.extend(puts(&self.orgs, &previous.orgs, Change::Org));

        changes.extend(self.buried_orgs(previous));
        changes.extend(graves(&self.models, &previous.models, Tombstone::Model));
        changes.extend(graves(&self.upstreams, &previous.upstreams, Tombstone::Upstream));
        changes.extend(graves(&self.plans, &previous.plans, Tombstone::Plan));
        changes.extend(graves(&self.entities, &previous.entities, Tombstone::Entity));
        changes
    }

    /// By uid: an org that was deleted and created again under its name is another one.
    fn buried_orgs(&self, previous: &Self) -> impl Iterator<Item = Change> {
        let alive: BTreeSet<OrgUid> = self.orgs.values().map(|org| org.uid).collect();
        let uids =
            previous.orgs.values().map(|org| org.uid).filter(move |uid| !alive.contains(uid));
        uids.map(|uid| Change::Tombstone(Tombstone::Org(uid)))
    }
}

fn puts<'a, T: Clone + PartialEq>(
    now: &'a BTreeMap<String, T>,
    before: &'a BTreeMap<String, T>,
    put: fn(T) -> Change,
) -> impl Iterator<Item = Change> + 'a {
    let differs = |(name, object): &(&String, &T)| before.get(*name) != Some(*object);
    now.iter().filter(differs).map(move |(_, object)| put(object.clone()))
}

fn graves<'a, T>(
    now: &'a BTreeMap<String, T>,
    before: &'a BTreeMap<String, T>,
    grave: fn(String) -> Tombstone,
) -> impl Iterator<Item = Change> + 'a {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    gone.map(move |name| Change::Tombstone(grave(name.clone())))
}

fn bare_model(name: String) -> Model {
    Model {
        name,
        display_name: String::new(),
        description: String::new(),
        context_length: 0,
        max_output_tokens: 0,
        input_modalities: Vec::new(),
        output_modalities: Vec::new(),
        image_tokens_max: 0,
        audio_tokens_max: 0,
        hidden_reasoning: false,
        aliases: Vec::new(),
        operations: Vec::new(),
        supported_parameters: Vec::new(),
        routes: Vec::new(),
        created: Timestamp::default(),
    }
}

fn bare_route(upstream: String, price: SellPrice) -> Route {
    Route {
        upstream,
        model: String::new(),
        priority: 0,
        weight: 0,
        supported_parameters: Vec::new(),
        prices: vec![price.into()],
    }
}
