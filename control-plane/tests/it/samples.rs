//! A small configuration that is right, to be bent by the tests.

use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    Entity, EntitySpec, FxRate, FxRateSpec, Key, KeySpec, MarkupRule, MarkupRuleSpec, Model,
    ModelSpec, Org, OrgSpec, Plan, PlanSpec, PriceBook, PriceBookSpec, PriceEntry, PriceOverride,
    Route, Upstream, UpstreamSpec,
};
use std::collections::BTreeMap;

pub(crate) const CREDENTIAL: &str = "credential-that-must-not-be-seen";

pub(crate) fn entity() -> Entity {
    named_entity("global", "SG", "USD", "sk-tp-")
}

pub(crate) fn named_entity(name: &str, place: &str, currency: &str, prefix: &str) -> Entity {
    let spec = EntitySpec {
        display_name: "Global Pte. Ltd.".to_owned(),
        jurisdiction: place.to_owned(),
        currency: currency.to_owned(),
        key_prefix: prefix.to_owned(),
        allowed_jurisdictions: vec![place.to_owned()],
        ..EntitySpec::default()
    };
    Entity { name: name.to_owned(), spec: Some(spec), ..Entity::default() }
}

pub(crate) fn plan() -> Plan {
    let spec = PlanSpec { requests_per_minute: Some(10), ..PlanSpec::default() };
    Plan { name: "starter".to_owned(), spec: Some(spec), ..Plan::default() }
}

pub(crate) fn upstream() -> Upstream {
    let spec = UpstreamSpec {
        vendor: "simulator".to_owned(),
        dialect: "openai".to_owned(),
        base_url: "https://upstream.example/v1".to_owned(),
        credential: CREDENTIAL.to_owned(),
        jurisdiction: "SG".to_owned(),
        stops_on_abort: true,
        ..UpstreamSpec::default()
    };
    Upstream { name: "alpha".to_owned(), spec: Some(spec), ..Upstream::default() }
}

pub(crate) fn model() -> Model {
    let spec = ModelSpec {
        display_name: "Chat".to_owned(),
        origin: "us".to_owned(),
        context_length: 8_000,
        max_output_tokens: 1_000,
        input_modalities: vec!["text".to_owned()],
        routes: vec![Route {
            upstream: "alpha".to_owned(),
            model: "sim-chat".to_owned(),
            priority: 1,
            weight: 0,
            supported_parameters: Vec::new(),
        }],
        ..ModelSpec::default()
    };
    Model { name: "demo/chat".to_owned(), spec: Some(spec), ..Model::default() }
}

pub(crate) fn prices(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(class, price)| ((*class).to_owned(), (*price).to_owned())).collect()
}

pub(crate) fn price_book() -> PriceBook {
    let entry = PriceEntry {
        model: "demo/*".to_owned(),
        prices: prices(&[
            ("input", "2.50"),
            ("cache_read", "0.25"),
            ("cache_write_5m", "3.00"),
            ("cache_write_1h", "5.00"),
            ("output", "10"),
            ("reasoning", "10"),
        ]),
        overrides: vec![PriceOverride {
            above_input_tokens: Some(200_000),
            utc_from: "16:30".to_owned(),
            utc_to: "00:30".to_owned(),
            prices: prices(&[("input", "1.25")]),
        }],
        ..PriceEntry::default()
    };
    let spec = PriceBookSpec {
        currency: "USD".to_owned(),
        entries: vec![entry],
        ..PriceBookSpec::default()
    };
    PriceBook { name: "costs".to_owned(), spec: Some(spec), ..PriceBook::default() }
}

pub(crate) fn markup_rule() -> MarkupRule {
    let spec = MarkupRuleSpec {
        audience: "retail".to_owned(),
        percent: "20".to_owned(),
        ..MarkupRuleSpec::default()
    };
    MarkupRule { name: "retail".to_owned(), spec: Some(spec), ..MarkupRule::default() }
}

pub(crate) fn fx_rate() -> FxRate {
    let spec = FxRateSpec {
        base: "USD".to_owned(),
        quote: "CNY".to_owned(),
        rate: "7.1".to_owned(),
        source: "the central bank".to_owned(),
    };
    FxRate { name: "usd-cny".to_owned(), spec: Some(spec), ..FxRate::default() }
}

pub(crate) fn org() -> Org {
    let spec = OrgSpec {
        display_name: "Acme".to_owned(),
        entity: "global".to_owned(),
        plan: "starter".to_owned(),
        audience: "retail".to_owned(),
        credit_limit: "5.00 USD".to_owned(),
        ..OrgSpec::default()
    };
    Org { name: "acme".to_owned(), spec: Some(spec), ..Org::default() }
}

pub(crate) fn key() -> Key {
    let spec = KeySpec {
        org: "acme".to_owned(),
        models: vec!["demo/*".to_owned()],
        budget: "3.00 USD".to_owned(),
        ..KeySpec::default()
    };
    Key { name: "acme/production".to_owned(), spec: Some(spec), ..Key::default() }
}

/// One of each kind but keys, which `apply` does not make; in an order in which most refer to what comes later.
pub(crate) fn all() -> Vec<Any> {
    vec![
        Any::Org(org()),
        Any::Model(model()),
        Any::MarkupRule(markup_rule()),
        Any::PriceBook(price_book()),
        Any::FxRate(fx_rate()),
        Any::Upstream(upstream()),
        Any::Plan(plan()),
        Any::Entity(entity()),
    ]
}
