//! From the catalog to what data planes get: objects as they need them, and a sell price for every buyer of every route.

mod changes;
mod prices;

use crate::catalog::{Catalog, Violation};
use crate::config::{self, Entity, Plan, Upstream};
use crate::snapshot::{Model, Org, Route, SellPrice};
use crate::time::Timestamp;
use prices::Pricing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What data planes get of a catalog, by name. Keys are not in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Who sells.
    pub entities: BTreeMap<String, Entity>,
    /// Limits.
    pub plans: BTreeMap<String, Plan>,
    /// What is called.
    pub upstreams: BTreeMap<String, Upstream>,
    /// What clients name, with prices.
    pub models: BTreeMap<String, Model>,
    /// Who buys.
    pub orgs: BTreeMap<String, Org>,
}

/// Compiles a catalog as of `revision`. `created` tells when a model was first configured. A price whose schedule is the
/// same as in `previous` keeps its revision.
///
/// # Errors
/// All that is wrong with the catalog.
pub fn compile(
    catalog: &Catalog,
    revision: u64,
    created: &dyn Fn(&str) -> Timestamp,
    previous: &Compiled,
) -> Result<Compiled, Vec<Violation>> {
    let mut violations = catalog.validate();
    if !violations.is_empty() {
        return Err(violations);
    }
    let pricing = Pricing::new(catalog, revision, previous);
    let mut models = BTreeMap::new();
    for model in catalog.models.values() {
        let routes = model.routes.iter().map(|route| {
            let prices = pricing.prices(model, &route.upstream);
            prices.map(|prices| compile_route(route, prices))
        });
        match routes.collect::<Result<Vec<_>, _>>() {
            Ok(routes) => {
                let compiled = compile_model(model, routes, created(&model.name));
                models.insert(model.name.clone(), compiled);
            }
            Err(violation) => violations.push(violation),
        }
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let orgs = catalog.orgs.values().map(|org| (org.name.clone(), compile_org(org)));
    Ok(Compiled {
        entities: catalog.entities.clone(),
        plans: catalog.plans.clone(),
        upstreams: catalog.upstreams.clone(),
        models,
        orgs: orgs.collect(),
    })
}

fn compile_model(model: &config::Model, mut routes: Vec<Route>, created: Timestamp) -> Model {
    routes.sort_by_key(|route| route.priority);
    Model {
        name: model.name.clone(),
        display_name: model.display_name.clone(),
        description: model.description.clone(),
        context_length: model.context_length,
        max_output_tokens: model.max_output_tokens,
        input_modalities: model.input_modalities.clone(),
        output_modalities: model.output_modalities.clone(),
        image_tokens_max: model.image_tokens_max,
        audio_tokens_max: model.audio_tokens_max,
        hidden_reasoning: model.hidden_reasoning,
        aliases: model.aliases.clone(),
        operations: model.operations.clone(),
        supported_parameters: model.supported_parameters.clone(),
        routes,
        created,
    }
}

fn compile_route(route: &config::Route, prices: Vec<SellPrice>) -> Route {
    Route {
        upstream: route.upstream.clone(),
        model: route.model.clone(),
        priority: route.priority,
        weight: route.weight,
        supported_parameters: route.supported_parameters.clone(),
        prices: prices.into_iter().map(Arc::new).collect(),
    }
}

fn compile_org(org: &config::Org) -> Org {
    Org {
        uid: org.uid,
        name: org.name.clone(),
        entity: org.entity.clone(),
        plan: org.plan.clone(),
        audience: org.audience.clone(),
        allowed: org.allowed.clone(),
        disabled: org.disabled,
        store_content: org.store_content,
    }
}

impl Compiled {
    /// Prices that `revision` brought about, with their model and upstream. Each is listed once, though a model may have
    /// several routes on one upstream.
    pub fn new_prices(&self, revision: u64) -> impl Iterator<Item = (&str, &str, &SellPrice)> {
        self.models.values().flat_map(move |model| {
            let mut seen = BTreeSet::new();
            let once = model.routes.iter().filter(move |route| seen.insert(&route.upstream));
            once.flat_map(move |route| {
                let new = route.prices.iter().filter(move |price| price.revision == revision);
                new.map(|price| (model.name.as_str(), route.upstream.as_str(), &**price))
            })
        })
    }
}
