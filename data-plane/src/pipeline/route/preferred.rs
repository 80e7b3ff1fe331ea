//! What a client prefers among the upstreams that law and catalog allow: hard filters first, then the order. Prices are
//! those of the buyer, in the buyer's currency.

use crate::body::preferences::{MaxPrice, Preferences, Sort};
use crate::body::request::ClientRequest;
use crate::pipeline::route::{Candidate, RouteError};
use crate::plane::Shared;
use domain::config::Upstream;
use domain::money::Nano;
use domain::price::{PER_MILLION, Rates};
use domain::snapshot::{Model, Route};
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Why upstreams were left out, under OpenRouter's names.
#[derive(Default)]
pub(super) struct Exclusions {
    by: BTreeSet<&'static str>,
    /// Parameters that an upstream does not honour.
    unsupported: BTreeSet<String>,
}

impl Exclusions {
    /// What to tell when nothing is left; `None` when nothing was left out.
    pub(super) fn into_error(self) -> Option<RouteError> {
        if self.by.is_empty() {
            return None;
        }
        if self.by.len() == 1 && !self.unsupported.is_empty() {
            return Some(RouteError::Unsupported(self.unsupported.into_iter().collect()));
        }
        Some(RouteError::Excluded(self.by.into_iter().collect()))
    }
}

/// Leaves out what the client does not want.
pub(super) fn keep_preferred(
    model: &Model,
    routes: Vec<(&Route, Candidate)>,
    request: &ClientRequest,
    at: Timestamp,
    exclusions: &mut Exclusions,
) -> Vec<Candidate> {
    let preferences = &request.preferences;
    let mut kept = Vec::new();
    for (route, candidate) in routes {
        let lacks = |name: &&String| !model.supports(route, name);
        let lacking: Vec<String> = preferences.required.iter().filter(lacks).cloned().collect();
        let reason = if lacking.is_empty() {
            refused_by(preferences, &candidate, at)
        } else {
            Some("require_parameters")
        };
        exclusions.unsupported.extend(lacking);
        match reason {
            Some(reason) => drop(exclusions.by.insert(reason)),
            None => kept.push(candidate),
        }
    }
    kept
}

/// The filter that an upstream does not pass.
fn refused_by(
    preferences: &Preferences,
    candidate: &Candidate,
    at: Timestamp,
) -> Option<&'static str> {
    let upstream = &candidate.upstream;
    let named = |list: &[String]| list.iter().any(|name| is_named(upstream, name));
    let only_named = !preferences.only.is_empty() && !named(&preferences.only);
    let only_ordered = preferences.refuses_fallbacks && !preferences.order.is_empty();
    if only_named || named(&preferences.ignore) || (only_ordered && !named(&preferences.order)) {
        return Some("allowed_providers");
    }
    if preferences.zero_data_retention && !upstream.zero_data_retention {
        return Some("data_policy:zdr");
    }
    let collects = !upstream.collects_no_data && !upstream.zero_data_retention;
    if preferences.denies_collection && collects {
        return Some("data_policy:training");
    }
    is_too_dear(preferences, candidate, at).then_some("max_price")
}

/// By our name for it, or by that of its vendor, which stands for all its upstreams.
fn is_named(upstream: &Upstream, name: &str) -> bool {
    let is_vendor = || {
        let slug = upstream.vendor.replace(' ', "-");
        name.eq_ignore_ascii_case(&upstream.vendor) || name.eq_ignore_ascii_case(&slug)
    };
    name.eq_ignore_ascii_case(&upstream.name) || is_vendor()
}

fn is_too_dear(preferences: &Preferences, candidate: &Candidate, at: Timestamp) -> bool {
    let most = preferences.max_price;
    if most == MaxPrice::default() {
        return false;
    }
    let rates = rates(candidate, at);
    let exceeds = |most: Option<Nano>, class: TokenClass| {
        most.is_some_and(|most| rates.effective(class).unwrap_or_default() > most)
    };
    let per_million = |most: Nano| i128::from(most.get()).saturating_mul(PER_MILLION);
    let of_request = rates.get(TokenClass::Request).unwrap_or_default();
    let request = most.request.map(per_million);
    exceeds(most.prompt, TokenClass::Input)
        || exceeds(most.completion, TokenClass::Output)
        || exceeds(most.image, TokenClass::ImageIn)
        || exceeds(most.audio, TokenClass::AudioIn)
        || request.is_some_and(|most| i128::from(of_request.get()) > most)
}

/// What is asked for a small request, as lists of prices show it.
fn rates(candidate: &Candidate, at: Timestamp) -> Rates {
    candidate.price.schedule.at(at).map_or(Rates::NONE, |card| card.rates(0, at))
}

/// As the client orders or sorts, else by priority, among equals by weighted lot; those that rest after a failure come last.
pub(super) fn order(
    candidates: &mut Vec<Candidate>,
    request: &ClientRequest,
    plane: &Shared,
    at: Timestamp,
) {
    if candidates.len() < 2 {
        return;
    }
    let preferences = &request.preferences;
    let mut dice = rand::rng();
    candidates.sort_by_cached_key(|candidate| {
        let upstream = &candidate.upstream;
        let place = preferences.order.iter().position(|name| is_named(upstream, name));
        let place = place.unwrap_or(preferences.order.len());
        let rests = plane.health.is_resting(&upstream.name);
        let wish = preferences.sort.map(|sort| wish(sort, candidate, plane, at));
        // The largest of `weight` throws wins with probability proportional to the weight.
        let throw = (0..candidate.weight.clamp(1, 100)).map(|_| dice.random::<u32>()).max();
        (place, rests, wish, candidate.priority, Reverse(throw))
    });
    if preferences.refuses_fallbacks && preferences.order.is_empty() {
        candidates.truncate(1);
    }
}

/// What to sort by, the least first; what is not known comes last.
fn wish(sort: Sort, candidate: &Candidate, plane: &Shared, at: Timestamp) -> i128 {
    let known = || {
        let age_max = plane.parts.settings.pace.speed_age_max;
        plane.speeds.known(&candidate.upstream.name, &candidate.model.name, at, age_max)
    };
    match sort {
        Sort::Price => price(candidate, at),
        Sort::Latency => known().first_token_us.map_or(i128::MAX, i128::from),
        Sort::Throughput => {
            known().throughput.map_or(i128::MAX, |throughput| -i128::from(throughput))
        }
    }
}

/// Of one token in and one out.
fn price(candidate: &Candidate, at: Timestamp) -> i128 {
    let rates = rates(candidate, at);
    let of = |class| i128::from(rates.effective(class).unwrap_or_default().get());
    of(TokenClass::Input).saturating_add(of(TokenClass::Output))
}
