//! Samples that the other files build upon: rates as text, random prices and quantities, and a small valid catalog.

use domain::catalog::{Catalog, Object};
use domain::config::{
    Dialect, Entity, FxRate, MarkupRule, Modality, Model, Org, Plan, PriceBook, PriceEntry, Route,
    Upstream, VendorPages,
};
use domain::id::OrgUid;
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::money::{Currency, Nano, parse_decimal};
use domain::name::Glob;
use domain::price::{RateCard, RateOverride, Rates, UtcWindow};
use domain::time::Timestamp;
use domain::tokens::{Quantities, TokenClass};
use proptest::prelude::*;

/// All classes that a text model needs.
pub(crate) const TEXT_RATES: &str =
    "input 3, cache_read 0.3, cache_write_5m 3.75, cache_write_1h 6, output 15, reasoning 15";

/// Reads `class decimal, class decimal`: units per million.
pub(crate) fn rates(text: &str) -> Rates {
    text.split(", ").fold(Rates::NONE, |rates, item| {
        let (class, number) = item.split_once(' ').expect("class and number");
        let class = TokenClass::parse(class).expect("a class");
        let nano = parse_decimal(number, 9).expect("a decimal");
        rates.with(class, Nano::new(i64::try_from(nano).expect("fits")).expect("in range"))
    })
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

pub(crate) fn entity(name: &str, currency: &str, allowed: &[&str]) -> Entity {
    let allowed: Vec<String> = allowed.iter().map(|code| (*code).to_owned()).collect();
    Entity {
        name: name.to_owned(),
        display_name: name.to_uppercase(),
        jurisdiction: Jurisdiction::parse("SG").expect("a code"),
        currency: Currency::parse(currency).expect("a code"),
        key_prefix: format!("sk-{name}-"),
        allowed: Allowed::parse(&allowed).expect("codes"),
        charge_empty_answers: false,
        charge_cut_answers: true,
    }
}

pub(crate) fn upstream(name: &str, jurisdiction: &str) -> Upstream {
    Upstream {
        name: name.to_owned(),
        vendor: "openai".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: "https://api.example.com/v1/".to_owned(),
        sealed_credential: vec![1, 2, 3],
        jurisdiction: Jurisdiction::parse(jurisdiction).expect("a code"),
        stops_on_abort: true,
        collects_no_data: false,
        zero_data_retention: false,
        vendor_pages: VendorPages::default(),
    }
}

pub(crate) fn route(upstream: &str, priority: u32) -> Route {
    Route {
        upstream: upstream.to_owned(),
        model: "gpt".to_owned(),
        priority,
        weight: 1,
        supported_parameters: Vec::new(),
    }
}

pub(crate) fn model(name: &str, upstreams: &[&str]) -> Model {
    Model {
        name: name.to_owned(),
        display_name: "A model".to_owned(),
        description: String::new(),
        origin: "us".to_owned(),
        context_length: 128_000,
        max_output_tokens: 16_000,
        input_modalities: vec![Modality::Text],
        output_modalities: vec![Modality::Text],
        image_tokens_max: 0,
        audio_tokens_max: 0,
        hidden_reasoning: false,
        aliases: Vec::new(),
        operations: Vec::new(),
        supported_parameters: Vec::new(),
        routes: (0..).zip(upstreams).map(|(priority, name)| route(name, priority)).collect(),
    }
}

pub(crate) fn entry(glob: &str, from_seconds: u64, rates_text: &str) -> PriceEntry {
    PriceEntry {
        model: Glob(glob.to_owned()),
        valid_from: at(from_seconds),
        card: RateCard { base: rates(rates_text), overrides: Vec::new() },
    }
}

pub(crate) fn book(name: &str, upstreams: &[&str], entries: Vec<PriceEntry>) -> PriceBook {
    PriceBook {
        name: name.to_owned(),
        currency: Currency::parse("USD").expect("a code"),
        upstreams: upstreams.iter().map(|name| (*name).to_owned()).collect(),
        entries,
    }
}

pub(crate) fn fx(name: &str, base: &str, quote: &str, rate_e10: i64) -> FxRate {
    FxRate {
        name: name.to_owned(),
        base: Currency::parse(base).expect("a code"),
        quote: Currency::parse(quote).expect("a code"),
        rate_e10,
        source: "test".to_owned(),
    }
}

pub(crate) fn org(uid: i64, name: &str, entity: &str, audience: &str) -> Org {
    Org {
        uid: OrgUid(uid),
        name: name.to_owned(),
        display_name: String::new(),
        entity: entity.to_owned(),
        plan: "basic".to_owned(),
        audience: audience.to_owned(),
        allowed: Allowed::Any,
        credit_limit: Nano::ZERO,
        disabled: false,
        store_content: false,
    }
}

pub(crate) fn plan(name: &str) -> Plan {
    Plan { name: name.to_owned(), requests_per_minute: Some(60), ..Plan::default() }
}

/// One of each that a request needs, without a markup.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for object in [
        Object::Entity(entity("sg", "USD", &[])),
        Object::Plan(plan("basic")),
        Object::Upstream(upstream("openai", "US")),
        Object::Model(model("openai/gpt-5", &["openai"])),
        Object::PriceBook(book("list", &[], vec![entry("*", 0, TEXT_RATES)])),
        Object::Org(org(1, "acme", "sg", "global")),
    ] {
        assert!(catalog.put(object).is_none());
    }
    catalog
}

/// The same with some more, or others in their place.
pub(crate) fn with(objects: impl IntoIterator<Item = Object>) -> Catalog {
    let mut catalog = catalog();
    for object in objects {
        catalog.put(object);
    }
    catalog
}

/// Input, output, request and web search priced, the others perhaps.
pub(crate) fn any_rates() -> impl Strategy<Value = Rates> {
    prop::array::uniform12(prop::option::of(0..100_000_000_000_i64)).prop_map(|prices| {
        let mut rates = Rates::NONE;
        for (class, price) in TokenClass::ALL.into_iter().zip(prices) {
            let price = if class.parent() == class { price.or(Some(7)) } else { price };
            if let Some(price) = price {
                rates.set(class, Nano::new(price).expect("in range"));
            }
        }
        rates
    })
}

pub(crate) fn any_quantities() -> impl Strategy<Value = Quantities> {
    let count = prop_oneof![Just(0_u64), 0..50_u64, 0..2_000_000_u64];
    prop::array::uniform12(count).prop_map(|counts| {
        TokenClass::ALL.into_iter().zip(counts).fold(Quantities::NONE, |sum, (c, n)| sum.with(c, n))
    })
}

pub(crate) fn any_card() -> impl Strategy<Value = RateCard> {
    let window = (0..1_440_u32, 0..1_440_u32)
        .prop_map(|(from_minute, to_minute)| UtcWindow { from_minute, to_minute });
    let conditional = (prop::option::of(0..200_000_u64), prop::option::of(window), any_rates())
        .prop_map(|(above_input_tokens, window, rates)| RateOverride {
            above_input_tokens,
            window,
            rates,
        });
    (any_rates(), prop::collection::vec(conditional, 0..4))
        .prop_map(|(base, overrides)| RateCard { base, overrides })
}

/// Catalogs that may be valid or not: few names, so that references mostly hit and sometimes dangle.
pub(crate) fn any_catalog() -> impl Strategy<Value = Catalog> {
    let places = || prop::collection::btree_set(prop::sample::select(vec!["CN", "SG", "US"]), 0..3);
    let entities =
        prop::collection::btree_map(prop::sample::select(vec!["sg", "tw"]), places(), 0..3);
    let upstreams = prop::collection::btree_map(
        prop::sample::select(vec!["alpha", "beta", "gamma"]),
        prop::sample::select(vec!["CN", "SG", "US"]),
        1..4,
    );
    let names = prop::sample::subsequence(vec!["alpha", "beta", "gamma"], 0..3);
    let models =
        prop::collection::btree_map(prop::sample::select(vec!["a/one", "b/two"]), names, 0..3);
    let orgs = prop::collection::btree_map(
        prop::sample::select(vec!["acme", "other"]),
        (
            1..4_i64,
            prop::sample::select(vec!["sg", "tw"]),
            prop::sample::select(vec!["", "global"]),
            places(),
        ),
        0..3,
    );
    let rules = prop::collection::btree_map(
        prop::sample::select(vec!["rule-a", "rule-b"]),
        (
            0..3_i64,
            prop::option::of(prop::sample::select(vec!["global", "china"])),
            prop::option::of(prop::sample::select(vec!["acme", "other"])),
        ),
        0..3,
    );
    (entities, upstreams, models, orgs, rules).prop_map(
        |(entities, upstreams, models, orgs, rules)| {
            let mut catalog = Catalog::default();
            catalog.put(Object::Plan(plan("basic")));
            catalog.put(Object::PriceBook(book("list", &[], vec![entry("*", 0, TEXT_RATES)])));
            catalog.put(Object::FxRate(fx("usd-twd", "USD", "TWD", 320_000_000_000)));
            for (name, places) in entities {
                let currency = if name == "tw" { "TWD" } else { "USD" };
                let places: Vec<&str> = places.into_iter().collect();
                catalog.put(Object::Entity(entity(name, currency, &places)));
            }
            for (name, place) in upstreams {
                catalog.put(Object::Upstream(upstream(name, place)));
            }
            for (name, upstreams) in models {
                let known =
                    upstreams.into_iter().filter(|name| catalog.upstreams.contains_key(*name));
                let known: Vec<&str> = known.collect();
                catalog.put(Object::Model(model(name, &known)));
            }
            for (name, (uid, seller, audience, places)) in orgs {
                if catalog.entities.contains_key(seller) {
                    let places: Vec<String> = places.into_iter().map(str::to_owned).collect();
                    let allowed = Allowed::parse(&places).expect("codes");
                    let uid = uid * 10 + i64::from(name == "acme");
                    catalog.put(Object::Org(Org { allowed, ..org(uid, name, seller, audience) }));
                }
            }
            for (name, (percent, audience, org)) in rules {
                let org = org.filter(|org| catalog.orgs.contains_key(*org));
                catalog.put(Object::MarkupRule(rule(name, percent * 10_000, audience, org)));
            }
            catalog
        },
    )
}

pub(crate) fn rule(
    name: &str,
    markup_ppm: i64,
    audience: Option<&str>,
    org: Option<&str>,
) -> MarkupRule {
    MarkupRule {
        name: name.to_owned(),
        priority: 0,
        entity: None,
        audience: audience.map(str::to_owned),
        origin: None,
        model: None,
        org: org.map(str::to_owned),
        markup_ppm,
    }
}
