//! `GET models`: the models that the caller's entity sells to it, in OpenAI's shape with OpenRouter's additions.

use crate::error::ApiError;
use crate::metric;
use crate::pipeline::authenticate::{Caller, authenticate};
use crate::pipeline::mint_request_id;
use crate::pipeline::route::{candidate, may_use};
use crate::plane::{Core, now};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use domain::money::Nano;
use domain::price::{PER_MILLION, Rates};
use domain::snapshot::{Model, Snapshot};
use domain::tokens::TokenClass;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Nano-units in a unit, times tokens in a million: the decimals of a price per token.
const PRICE_DECIMALS: usize = 15;

pub(crate) async fn list(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let request_id = mint_request_id();
    let response = match authenticate(&core.plane.parts, &headers, now()) {
        Ok(caller) => answer(&core.plane.parts.configuration.snapshot(), &caller, &request_id),
        Err(error) => ApiError::from(error).response(&request_id),
    };
    metric::answered(response.status().as_u16());
    response
}

fn answer(snapshot: &Snapshot, caller: &Caller, request_id: &str) -> Response {
    let data: Vec<Value> = snapshot
        .models
        .values()
        .filter(|model| may_use(caller, model))
        .filter_map(|model| describe(snapshot, caller, model))
        .collect();
    let mut response =
        Response::new(Body::from(json!({"object": "list", "data": data}).to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// `None` when no route of it may be used by this caller.
fn describe(snapshot: &Snapshot, caller: &Caller, model: &Arc<Model>) -> Option<Value> {
    let route = model.routes.iter().find_map(|route| candidate(snapshot, caller, model, route))?;
    let rates = route.price.schedule.at(now())?.rates(0, now());
    let inputs: Vec<&str> = model.input_modalities.iter().map(|m| m.name()).collect();
    let outputs: Vec<&str> = model.output_modalities.iter().map(|m| m.name()).collect();
    let author = model.name.split_once('/').map_or("", |(author, _)| author);
    Some(json!({
        "id": model.name,
        "object": "model",
        "created": model.created.0 / 1_000_000,
        "owned_by": author,
        "name": model.display_name,
        "context_length": model.context_length,
        "architecture": {
            "modality": format!("{}->{}", inputs.join("+"), outputs.join("+")),
            "input_modalities": inputs,
            "output_modalities": outputs,
        },
        "pricing": pricing(&rates),
        "top_provider": {
            "context_length": model.context_length,
            "max_completion_tokens": model.max_output_tokens,
        },
        "supported_parameters": model.supported_parameters,
    }))
}

/// Prices per single token or item as decimal text, under OpenRouter's names.
fn pricing(rates: &Rates) -> Map<String, Value> {
    let names = [
        ("prompt", TokenClass::Input),
        ("completion", TokenClass::Output),
        ("internal_reasoning", TokenClass::Reasoning),
        ("input_cache_read", TokenClass::CacheRead),
        ("input_cache_write", TokenClass::CacheWrite5m),
        ("input_cache_write_1h", TokenClass::CacheWrite1h),
        ("image_token", TokenClass::ImageIn),
        ("audio", TokenClass::AudioIn),
        ("request", TokenClass::Request),
        ("web_search", TokenClass::WebSearch),
    ];
    let priced = |(name, class): (&str, TokenClass)| {
        rates.get(class).map(|rate| (name.to_owned(), Value::from(per_token(rate))))
    };
    names.into_iter().filter_map(priced).collect()
}

/// 3 USD per million is `0.000003`.
fn per_token(rate: Nano) -> String {
    let units = 10_i128.pow(9).saturating_mul(PER_MILLION);
    let rate = i128::from(rate.get());
    let (whole, fraction) = (rate / units, rate % units);
    let text = format!("{whole}.{fraction:0PRICE_DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
