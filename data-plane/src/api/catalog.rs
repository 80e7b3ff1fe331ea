//! Models, their prices and who serves them, as one caller may see them: what it may not use is not there, and prices are
//! those that it pays.

use crate::clock::now;
use crate::pipeline::authenticate::Caller;
use crate::pipeline::route::{Candidate, candidate, may_use};
use crate::plane::Core;
use domain::money::Nano;
use domain::price::{PER_MILLION, RateCard, RateOverride, Rates, UtcWindow};
use domain::snapshot::{Model, Snapshot};
use domain::tokens::TokenClass;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Nano-units in a unit, times tokens in a million: the decimals of a price per token.
const PRICE_DECIMALS: usize = 15;

/// Prices under OpenRouter's names.
const PRICE_NAMES: [(&str, TokenClass); 12] = [
    ("prompt", TokenClass::Input),
    ("completion", TokenClass::Output),
    ("internal_reasoning", TokenClass::Reasoning),
    ("input_cache_read", TokenClass::CacheRead),
    ("input_cache_write", TokenClass::CacheWrite5m),
    ("input_cache_write_1h", TokenClass::CacheWrite1h),
    ("image_token", TokenClass::ImageIn),
    ("image_output", TokenClass::ImageOut),
    ("audio", TokenClass::AudioIn),
    ("audio_output", TokenClass::AudioOut),
    ("request", TokenClass::Request),
    ("web_search", TokenClass::WebSearch),
];

/// A model with the routes that this caller may use; never none.
pub(super) struct Offer<'a> {
    model: &'a Arc<Model>,
    candidates: Vec<Candidate>,
}

/// What a caller is offered under a name.
pub(super) fn offer<'a>(snapshot: &'a Snapshot, caller: &Caller, name: &str) -> Option<Offer<'a>> {
    offer_of(snapshot, caller, snapshot.model(name)?)
}

/// All that a caller is offered, by name.
pub(super) fn offers<'a>(
    snapshot: &'a Snapshot,
    caller: &'a Caller,
) -> impl Iterator<Item = Offer<'a>> {
    snapshot.models.values().filter_map(|model| offer_of(snapshot, caller, model))
}

fn offer_of<'a>(snapshot: &Snapshot, caller: &Caller, model: &'a Arc<Model>) -> Option<Offer<'a>> {
    let routes = model.routes.iter().filter(|_| may_use(caller, model));
    let candidates: Vec<Candidate> =
        routes.filter_map(|route| candidate(snapshot, caller, model, route)).collect();
    (!candidates.is_empty()).then_some(Offer { model, candidates })
}

impl Offer<'_> {
    pub(super) fn model(&self) -> &Model {
        self.model
    }

    pub(super) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Who made it, by its name.
    pub(super) fn author(&self) -> &str {
        self.model.name.split_once('/').map_or("", |(author, _)| author)
    }

    /// OpenAI's four fields, and OpenRouter's beside them.
    pub(super) fn describe(&self) -> Value {
        let model = self.model;
        json!({
            "id": model.name,
            "object": "model",
            "created": model.created.0 / 1_000_000,
            "owned_by": self.author(),
            "canonical_slug": model.name,
            "name": model.display_name,
            "description": model.description,
            "context_length": model.context_length,
            "architecture": architecture(model),
            "pricing": self.candidates.first().map(pricing),
            "top_provider": {
                "context_length": model.context_length,
                "max_completion_tokens": completion_tokens_max(model),
                "is_moderated": false,
            },
            "per_request_limits": null,
            "supported_parameters": self.model.parameters(),
            "default_parameters": null,
            "hugging_face_id": null,
            "knowledge_cutoff": null,
            "expiration_date": null,
            "links": {"details": format!("/api/v1/models/{}/endpoints", model.name)},
        })
    }

    /// Who serves it, in the order of preference.
    pub(super) fn endpoints(&self, core: &Core) -> Value {
        let model = self.model;
        let rows = self.candidates.iter().map(|candidate| self.endpoint(core, candidate));
        json!({
            "id": model.name,
            "name": model.display_name,
            "created": model.created.0 / 1_000_000,
            "description": model.description,
            "architecture": architecture(model),
            "endpoints": rows.collect::<Vec<Value>>(),
        })
    }

    fn endpoint(&self, core: &Core, candidate: &Candidate) -> Value {
        let (model, upstream) = (self.model, &candidate.upstream);
        // OpenRouter's scale goes from 0, well, downwards.
        let status = if core.plane.health.is_resting(&upstream.name) { -1 } else { 0 };
        json!({
            "name": format!("{} | {}", upstream.vendor, model.name),
            "model_id": model.name,
            "model_name": model.display_name,
            "provider_name": upstream.vendor,
            "tag": format!("{}/{}", upstream.vendor, upstream.jurisdiction).to_lowercase(),
            "quantization": null,
            "context_length": model.context_length,
            "max_prompt_tokens": null,
            "max_completion_tokens": completion_tokens_max(model),
            "pricing": pricing(candidate),
            "supported_parameters": self.model.parameters(),
            "supports_implicit_caching": false,
            "status": status,
            "uptime_last_30m": null,
            "latency_last_30m": null,
            "throughput_last_30m": null,
        })
    }
}

fn completion_tokens_max(model: &Model) -> Option<u64> {
    (model.max_output_tokens > 0).then_some(model.max_output_tokens)
}

fn architecture(model: &Model) -> Value {
    let inputs: Vec<&str> = model.input_modalities.iter().map(|m| m.name()).collect();
    let outputs: Vec<&str> = model.output_modalities.iter().map(|m| m.name()).collect();
    json!({
        "modality": format!("{}->{}", inputs.join("+"), outputs.join("+")),
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": "Other",
        "instruct_type": null,
    })
}

/// What the caller pays per token or item, as decimal text, with what applies under conditions.
fn pricing(candidate: &Candidate) -> Map<String, Value> {
    let Some(card) = candidate.price.schedule.at(now()) else {
        return Map::new();
    };
    let mut prices = named(&card.base);
    let overrides = overrides(card);
    if !overrides.is_empty() {
        prices.insert("overrides".to_owned(), overrides.into());
    }
    prices
}

fn named(rates: &Rates) -> Map<String, Value> {
    let priced = |(name, class): (&str, TokenClass)| {
        rates.get(class).map(|rate| (name.to_owned(), Value::from(per_token(rate))))
    };
    PRICE_NAMES.into_iter().filter_map(priced).collect()
}

fn overrides(card: &RateCard) -> Vec<Value> {
    let described = |over: &RateOverride| {
        let mut prices = named(&over.rates);
        if let Some(limit) = over.above_input_tokens {
            prices.insert("min_prompt_tokens".to_owned(), limit.saturating_add(1).into());
        }
        if let Some(UtcWindow { from_minute, to_minute }) = over.window {
            prices.insert("utc_start".to_owned(), clock(from_minute).into());
            prices.insert("utc_end".to_owned(), clock(to_minute).into());
        }
        Value::from(prices)
    };
    card.overrides.iter().map(described).collect()
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// 3 USD per million is `0.000003`.
fn per_token(rate: Nano) -> String {
    let units = 10_i128.pow(9).saturating_mul(PER_MILLION);
    let rate = i128::from(rate.get());
    let (whole, fraction) = (rate / units, rate % units);
    let text = format!("{whole}.{fraction:0PRICE_DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
