//! Caller and request → `RoutePlan`: where the request may go, in which order, and at which price. Pure but for the dice
//! that balance equals; nothing is touched, so a 404 costs nothing.

mod preferred;

use crate::body::request::ClientRequest;
use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::pipeline::authenticate::Caller;
use crate::plane::Shared;
use domain::config::Upstream;
use domain::hold::{ModelBounds, TokenPrices, input_tokens_max, may_apply};
use domain::jurisdiction::all_permit;
use domain::operation::Operation;
use domain::snapshot::{Model, Route, SellPrice, Snapshot};
use domain::time::Timestamp;
use http::StatusCode;
use preferred::{Exclusions, keep_preferred, order};
use std::sync::Arc;
use thiserror::Error;

/// One upstream that may serve the request, as which model, and what it costs there.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) model: Arc<Model>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) upstream_model: String,
    pub(crate) price: Arc<SellPrice>,
    priority: u32,
    weight: u32,
}

/// Where a request may go. Never empty.
pub(crate) struct RoutePlan {
    /// In the order in which they are tried.
    pub(crate) candidates: Vec<Candidate>,
    /// The dearest of all candidates, side by side: whoever serves, the hold covers it.
    pub(crate) prices: TokenPrices,
    /// Most input tokens that it can be billed for.
    pub(crate) input_tokens_max: u64,
    /// Most output tokens of one choice, by the client's word or the model's.
    pub(crate) output_limit: u64,
    /// How many choices.
    pub(crate) choices: u64,
    /// The stream can be metered as it goes and stopped at any event, so that a window of output is enough to hold.
    pub(crate) is_windowed: bool,
    pub(crate) routed_at: Timestamp,
}

/// Why there is nowhere to go.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RouteError {
    #[error("the model `{0}` is not known: GET /v1/models lists those that are")]
    UnknownModel(String),
    #[error("the model `{0}` has no upstream at the moment: choose another of GET /v1/models")]
    NoUpstream(String),
    #[error("this API key may not use the model `{0}`")]
    ModelNotAllowed(String),
    #[error("the model `{model}` is not served here: ask POST {}", endpoints(.operations))]
    WrongEndpoint { model: String, operations: Vec<Operation> },
    #[error("the model `{0}` is only served outside the jurisdictions that this API key may use")]
    Jurisdiction(String),
    #[error("no upstream of this model is known to honour all of these: `{}`; leave them out, or `require_parameters`", .0.join("`, `"))]
    Unsupported(Vec<String>),
    #[error("no upstream of this model is left by `provider`: ask for less in it")]
    Excluded(Vec<&'static str>),
}

fn endpoints(operations: &[Operation]) -> String {
    let paths: Vec<&str> = operations.iter().map(|operation| operation.endpoint()).collect();
    paths.join(" or ")
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        let row = |status, kind| Self::new(status, kind, message);
        let missing = (StatusCode::NOT_FOUND, ErrorType::NotFound);
        let forbidden = (StatusCode::FORBIDDEN, ErrorType::PermissionDenied);
        match error {
            RouteError::UnknownModel(_) | RouteError::NoUpstream(_) => {
                row(missing.0, missing.1).with("field", "model")
            }
            RouteError::ModelNotAllowed(_) | RouteError::Jurisdiction(_) => {
                row(forbidden.0, forbidden.1).with("field", "model")
            }
            RouteError::WrongEndpoint { .. } => {
                row(StatusCode::BAD_REQUEST, ErrorType::InvalidRequest).with("field", "model")
            }
            RouteError::Unsupported(_) => {
                row(StatusCode::UNPROCESSABLE_ENTITY, ErrorType::Unprocessable)
                    .with("field", "provider")
                    .with("excluded_by", vec!["require_parameters"])
            }
            RouteError::Excluded(by) => {
                row(missing.0, missing.1).with("field", "provider").with("excluded_by", by)
            }
        }
    }
}

/// Finds every upstream that law, customer, catalog and client allow, for each of the models in their order.
pub(crate) fn route(
    snapshot: &Snapshot,
    caller: &Caller,
    request: &ClientRequest,
    plane: &Shared,
) -> Result<RoutePlan, RouteError> {
    let routed_at = now();
    let mut candidates = Vec::new();
    let mut exclusions = Exclusions::default();
    let mut failed = None;
    for name in &request.models {
        match of_model(snapshot, caller, request.operation, name) {
            // What a key may not use, it may not use in second place either.
            Err(error @ RouteError::ModelNotAllowed(_)) => return Err(error),
            Err(error) => failed = failed.or(Some(error)),
            Ok(Supply { model, routes }) => {
                let mut found = keep_preferred(model, routes, request, routed_at, &mut exclusions);
                order(&mut found, request, plane, routed_at);
                candidates.extend(found);
            }
        }
    }
    if candidates.is_empty() {
        return Err(exclusions.into_error().or(failed).unwrap_or_else(|| {
            RouteError::UnknownModel(request.models.first().cloned().unwrap_or_default())
        }));
    }
    Ok(plan(candidates, request, routed_at))
}

/// A model with the routes that law and catalog allow; at least one.
struct Supply<'a> {
    model: &'a Model,
    routes: Vec<(&'a Route, Candidate)>,
}

/// Finds the model of a name, and who may serve it.
fn of_model<'a>(
    snapshot: &'a Snapshot,
    caller: &Caller,
    operation: Operation,
    name: &str,
) -> Result<Supply<'a>, RouteError> {
    let name_of = || name.to_owned();
    let model = snapshot.model(name).ok_or_else(|| RouteError::UnknownModel(name_of()))?;
    if !may_use(caller, model) {
        return Err(RouteError::ModelNotAllowed(name_of()));
    }
    if !model.operations().contains(&operation) {
        let operations = model.operations().to_vec();
        return Err(RouteError::WrongEndpoint { model: name_of(), operations });
    }
    if model.routes.is_empty() {
        return Err(RouteError::NoUpstream(name_of()));
    }
    let pair = |route: &'a Route| Some((route, candidate(snapshot, caller, model, route)?));
    let routes: Vec<_> = model.routes.iter().filter_map(pair).collect();
    if routes.is_empty() {
        return Err(RouteError::Jurisdiction(name_of()));
    }
    Ok(Supply { model, routes })
}

/// Whether the key may use a model at all.
pub(crate) fn may_use(caller: &Caller, model: &Model) -> bool {
    let globs = &caller.key.key.models;
    globs.is_empty() || globs.iter().any(|glob| glob.matches(&model.name))
}

/// The one rule of jurisdiction at the proxy: the upstream exists, entity, org and key all permit its place, and the
/// entity sells it. Asked again before each attempt.
pub(crate) fn offer<'a>(
    snapshot: &'a Snapshot,
    caller: &Caller,
    route: &'a Route,
) -> Option<(&'a Arc<Upstream>, &'a Arc<SellPrice>)> {
    let upstream = snapshot.upstreams.get(&route.upstream)?;
    let parties = [&caller.entity.allowed, &caller.org.allowed, &caller.key.key.allowed];
    let is_permitted = all_permit(parties, upstream.jurisdiction);
    is_permitted.then_some((upstream, route.price_for(&caller.org)?))
}

pub(crate) fn candidate(
    snapshot: &Snapshot,
    caller: &Caller,
    model: &Arc<Model>,
    route: &Route,
) -> Option<Candidate> {
    let (upstream, price) = offer(snapshot, caller, route)?;
    Some(Candidate {
        model: model.clone(),
        upstream: upstream.clone(),
        upstream_model: route.model.clone(),
        price: price.clone(),
        priority: route.priority,
        weight: route.weight,
    })
}

fn plan(candidates: Vec<Candidate>, request: &ClientRequest, routed_at: Timestamp) -> RoutePlan {
    let ask = &request.ask;
    let inputs =
        candidates.iter().map(|candidate| input_tokens_max(ask.size, bounds(&candidate.model)));
    let input_tokens_max = inputs.max().unwrap_or_default();
    let prices = candidates
        .iter()
        .filter_map(|candidate| {
            let card = candidate.price.schedule.at(routed_at)?;
            let outputs = &candidate.model.output_modalities;
            let dearest = card.dearest(input_tokens_max, routed_at);
            let rates = dearest.only(|class| may_apply(class, ask.size, outputs));
            Some(TokenPrices::of(&rates).with_searches(&rates, ask.size.searches))
        })
        .reduce(TokenPrices::or_dearer)
        .unwrap_or_default();
    let limit = |candidate: &Candidate| {
        let most = candidate.model.max_output_tokens;
        request.output_limit().map_or(most, |limit| limit.min(most))
    };
    let hides = |candidate: &Candidate| candidate.model.hidden_reasoning;
    let all_stop = candidates.iter().all(|candidate| candidate.upstream.stops_on_abort);
    let shows_all = ask.echoes == 0 && !ask.hides_output && !candidates.iter().any(hides);
    RoutePlan {
        prices,
        input_tokens_max,
        output_limit: candidates.iter().map(limit).max().unwrap_or_default(),
        choices: ask.choices,
        is_windowed: request.stream && all_stop && shows_all,
        candidates,
        routed_at,
    }
}

fn bounds(model: &Model) -> ModelBounds {
    ModelBounds {
        context_length: model.context_length,
        image_tokens_max: model.image_tokens_max,
        audio_tokens_max: model.audio_tokens_max,
    }
}
