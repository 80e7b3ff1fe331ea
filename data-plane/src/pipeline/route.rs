//! Caller and request → `RoutePlan`: where the request may go, in which order, and at which price. Pure but for the dice
//! that balance equals; nothing is touched, so a 404 costs nothing.

use crate::body::chat::ChatRequest;
use crate::error::{ApiError, ErrorType};
use crate::pipeline::authenticate::Caller;
use crate::plane::{Shared, now};
use domain::config::Upstream;
use domain::hold::{ModelBounds, TokenPrices, input_tokens_max, may_apply};
use domain::jurisdiction::all_permit;
use domain::snapshot::{Model, Route, SellPrice, Snapshot};
use domain::time::Timestamp;
use http::StatusCode;
use rand::RngExt;
use std::sync::Arc;
use thiserror::Error;

/// One upstream that may serve the request, and what it costs there.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) upstream_model: String,
    pub(crate) price: SellPrice,
    priority: u32,
    weight: u32,
}

/// Where a request may go. Never empty.
pub(crate) struct RoutePlan {
    pub(crate) model: Arc<Model>,
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
    #[error("the model `{0}` is only served outside the jurisdictions that this API key may use")]
    Jurisdiction(String),
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        let (status, kind) = match error {
            RouteError::UnknownModel(_) | RouteError::NoUpstream(_) => {
                (StatusCode::NOT_FOUND, ErrorType::NotFound)
            }
            RouteError::ModelNotAllowed(_) | RouteError::Jurisdiction(_) => {
                (StatusCode::FORBIDDEN, ErrorType::PermissionDenied)
            }
        };
        Self::new(status, kind, message).with("field", "model")
    }
}

/// Finds every upstream that law, customer and catalog allow.
pub(crate) fn route(
    snapshot: &Snapshot,
    caller: &Caller,
    chat: &ChatRequest,
    plane: &Shared,
) -> Result<RoutePlan, RouteError> {
    let name = || chat.model.clone();
    let model = snapshot.models.get(&chat.model).ok_or_else(|| RouteError::UnknownModel(name()))?;
    let globs = &caller.key.key.models;
    if !globs.is_empty() && !globs.iter().any(|glob| glob.matches(&model.name)) {
        return Err(RouteError::ModelNotAllowed(name()));
    }
    if model.routes.is_empty() {
        return Err(RouteError::NoUpstream(name()));
    }
    let mut candidates: Vec<Candidate> =
        model.routes.iter().filter_map(|route| candidate(snapshot, caller, route)).collect();
    if candidates.is_empty() {
        return Err(RouteError::Jurisdiction(name()));
    }
    order(&mut candidates, plane);
    let routed_at = now();
    Ok(plan(model, candidates, chat, routed_at))
}

/// The one rule of jurisdiction at the proxy: the upstream exists, entity, org and key all permit its place, and the
/// entity sells it. Asked again before each attempt.
pub(crate) fn candidate(snapshot: &Snapshot, caller: &Caller, route: &Route) -> Option<Candidate> {
    let upstream = snapshot.upstreams.get(&route.upstream)?;
    let parties = [&caller.entity.allowed, &caller.org.allowed, &caller.key.key.allowed];
    if !all_permit(parties, upstream.jurisdiction) {
        return None;
    }
    Some(Candidate {
        upstream: upstream.clone(),
        upstream_model: route.model.clone(),
        price: route.price_for(&caller.org)?.clone(),
        priority: route.priority,
        weight: route.weight,
    })
}

/// By priority, among equals by weighted lot; those that rest after a failure come last.
fn order(candidates: &mut [Candidate], plane: &Shared) {
    let mut dice = rand::rng();
    candidates.sort_by_cached_key(|candidate| {
        let rests = plane.health.is_resting(&candidate.upstream.name);
        // The largest of `weight` throws wins with probability proportional to the weight.
        let throw = (0..candidate.weight.clamp(1, 100)).map(|_| dice.random::<u32>()).max();
        (rests, candidate.priority, std::cmp::Reverse(throw))
    });
}

fn plan(
    model: &Arc<Model>,
    candidates: Vec<Candidate>,
    chat: &ChatRequest,
    routed_at: Timestamp,
) -> RoutePlan {
    let bounds = ModelBounds {
        context_length: model.context_length,
        image_tokens_max: model.image_tokens_max,
        audio_tokens_max: model.audio_tokens_max,
    };
    let input_tokens_max = input_tokens_max(chat.size, bounds);
    let prices = candidates
        .iter()
        .filter_map(|candidate| candidate.price.schedule.at(routed_at))
        .map(|card| card.dearest(input_tokens_max, routed_at))
        .map(|rates| rates.only(|class| may_apply(class, chat.size, &model.output_modalities)))
        .map(|rates| TokenPrices::of(&rates).with_searches(&rates, chat.size.searches))
        .reduce(TokenPrices::or_dearer)
        .unwrap_or_default();
    let all_stop = candidates.iter().all(|candidate| candidate.upstream.stops_on_abort);
    RoutePlan {
        model: model.clone(),
        prices,
        input_tokens_max,
        output_limit: chat
            .output_limit
            .map_or(model.max_output_tokens, |limit| limit.min(model.max_output_tokens)),
        choices: chat.choices,
        is_windowed: chat.stream && all_stop && !model.hidden_reasoning,
        candidates,
        routed_at,
    }
}
