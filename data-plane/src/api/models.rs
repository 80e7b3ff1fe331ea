//! `GET models`, one model, its endpoints, and `GET providers`: what is sold to the caller, from the snapshot alone.

use super::answer::{Data, answer};
use super::catalog::{Offer, offer, offers};
use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::pipeline::authenticate::{Caller, authenticate};
use crate::plane::Core;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use domain::config::VendorPages;
use domain::snapshot::Snapshot;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// OpenRouter's filters, as far as the snapshot can tell. Lists are separated by commas; all of one must hold.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    q: String,
    model_authors: String,
    supported_parameters: String,
    input_modalities: String,
    output_modalities: String,
    context: Option<u64>,
}

impl Filter {
    fn keeps(&self, offer: &Offer<'_>) -> bool {
        let model = offer.model();
        let sought = self.q.to_lowercase();
        let is_found = model.name.to_lowercase().contains(&sought)
            || model.display_name.to_lowercase().contains(&sought);
        let inputs: Vec<&str> = model.input_modalities.iter().map(|m| m.name()).collect();
        let outputs: Vec<&str> = model.output_modalities.iter().map(|m| m.name()).collect();
        is_found
            && self.context.is_none_or(|context| model.context_length >= context)
            && (self.model_authors.is_empty()
                || listed(&self.model_authors).any(|a| a == offer.author()))
            && listed(&self.supported_parameters)
                .all(|name| offer.model().parameters().contains(&name))
            && listed(&self.input_modalities).all(|name| inputs.contains(&name))
            && listed(&self.output_modalities).all(|name| name == "all" || outputs.contains(&name))
    }
}

fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Who asks, and what there is.
struct Asked {
    snapshot: Arc<Snapshot>,
    caller: Caller,
}

fn ask(core: &Core, headers: &HeaderMap) -> Result<Asked, ApiError> {
    let parts = &core.plane.parts;
    let caller = authenticate(parts, headers, now())?;
    Ok(Asked { snapshot: parts.configuration.snapshot(), caller })
}

pub(super) async fn list(
    State(core): State<Arc<Core>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    answer(ask(&core, &headers).and_then(|asked| list_of(&asked, filter)))
}

fn list_of(
    asked: &Asked,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Value, ApiError> {
    let Query(filter) = filter.map_err(|_| {
        ApiError::invalid(
            "query",
            "the filters cannot be read: `context` is a whole number, lists have commas",
        )
    })?;
    let kept = offers(&asked.snapshot, &asked.caller).filter(|offer| filter.keeps(offer));
    let data: Vec<Value> = kept.map(|offer| offer.describe()).collect();
    Ok(json!({"object": "list", "total_count": data.len(), "data": data}))
}

pub(super) async fn one(
    State(core): State<Arc<Core>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    answer(ask(&core, &headers).and_then(|asked| one_of(&asked, &id, |offer| offer.describe())))
}

pub(super) async fn one_by_parts(
    State(core): State<Arc<Core>>,
    parts: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let id = joined(parts);
    answer(ask(&core, &headers).and_then(|asked| one_of(&asked, &id, |offer| offer.describe())))
}

pub(super) async fn endpoints(
    State(core): State<Arc<Core>>,
    parts: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let id = joined(parts);
    let told = ask(&core, &headers)
        .and_then(|asked| one_of(&asked, &id, |offer| json!({"data": offer.endpoints(&core)})));
    answer(told)
}

/// Parts that are no text name no model.
fn joined(parts: Result<Path<(String, String)>, PathRejection>) -> String {
    parts.map(|Path((author, slug))| format!("{author}/{slug}")).unwrap_or_default()
}

fn one_of(
    asked: &Asked,
    id: &str,
    tell: impl FnOnce(&Offer<'_>) -> Value,
) -> Result<Value, ApiError> {
    offer(&asked.snapshot, &asked.caller, id).map(|offer| tell(&offer)).ok_or_else(|| {
        let message = "this model is not known here: GET /v1/models lists those that are";
        ApiError::new(StatusCode::NOT_FOUND, ErrorType::NotFound, message).with("field", "model")
    })
}

pub(super) async fn providers(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    answer(ask(&core, &headers).map(|asked| Data { data: providers_of(&asked) }))
}

/// Vendors of the upstreams that the caller's requests may go to, and where these are.
fn providers_of(asked: &Asked) -> Vec<Value> {
    let mut vendors = BTreeMap::<String, Vendor>::new();
    for offer in offers(&asked.snapshot, &asked.caller) {
        for candidate in offer.candidates() {
            let upstream = &candidate.upstream;
            let vendor = vendors.entry(upstream.vendor.clone()).or_default();
            vendor.places.insert(upstream.jurisdiction.to_string());
            vendor.pages.complete(&upstream.vendor_pages);
        }
    }
    vendors.into_iter().map(|(name, vendor)| vendor.describe(&name)).collect()
}

/// What is told of one vendor.
#[derive(Default)]
struct Vendor {
    places: BTreeSet<String>,
    pages: VendorPages,
}

impl Vendor {
    fn describe(&self, name: &str) -> Value {
        let mut told = json!({
            "name": name,
            "slug": name.to_lowercase(),
            "headquarters": null,
            "datacenters": self.places,
        });
        for (field, page) in self.pages.fields() {
            told[field] = if page.is_empty() { Value::Null } else { page.into() };
        }
        told
    }
}
