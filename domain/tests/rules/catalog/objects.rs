//! Each kind of object on its own: every field that can be wrong, and what is said of it.

use super::assert_refused;
use crate::sample::{
    TEXT_RATES, book, entity, entry, fx, model, org, plan, rates, route, rule, upstream, with,
};
use domain::catalog::Object;
use domain::config::{
    Entity, Kind, MarkupRule, Modality, Model, Org, Plan, Route, Upstream, VendorPages,
};
use domain::id::OrgUid;
use domain::jurisdiction::Allowed;
use domain::limits::LIMIT_MAX;
use domain::money::Nano;
use domain::name::Glob;
use domain::operation::Operation;
use domain::price::{RateOverride, Rates, UtcWindow};
use domain::tokens::TokenClass;
use std::collections::BTreeSet;

#[test]
fn entities_are_checked() {
    let good = entity("tw", "USD", &[]);
    let table = [
        (Entity { name: "T W".to_owned(), ..good.clone() }, "name", "is not a name"),
        (Entity { key_prefix: String::new(), ..good.clone() }, "key_prefix", "1 to 24 of a-z"),
        (
            Entity { key_prefix: "sk_tw_".to_owned(), ..good.clone() },
            "key_prefix",
            "1 to 24 of a-z",
        ),
        (Entity { key_prefix: "SK-".to_owned(), ..good.clone() }, "key_prefix", "1 to 24 of a-z"),
        (Entity { key_prefix: "x".repeat(25), ..good.clone() }, "key_prefix", "1 to 24 of a-z"),
        (
            Entity { key_prefix: "sk-sg-".to_owned(), ..good.clone() },
            "key_prefix",
            "entity \"sg\" has the same",
        ),
        (
            Entity { allowed: Allowed::Only(BTreeSet::new()), ..good },
            "allowed_jurisdictions",
            "no place at all",
        ),
    ];
    for (entity, field, reason) in table {
        let name = entity.name.clone();
        assert_refused(&with([Object::Entity(entity)]), Kind::Entity, &name, field, reason);
    }
}

#[test]
fn plans_are_checked() {
    let table = [
        (Plan { requests_per_minute: Some(0), ..plan("p") }, "requests_per_minute"),
        (Plan { tokens_per_minute: Some(LIMIT_MAX + 1), ..plan("p") }, "tokens_per_minute"),
        (Plan { concurrency: Some(0), ..plan("p") }, "concurrency"),
    ];
    for (plan, field) in table {
        assert_refused(
            &with([Object::Plan(plan)]),
            Kind::Plan,
            "p",
            field,
            "leave it out for no limit",
        );
    }
    assert_refused(&with([Object::Plan(plan("-"))]), Kind::Plan, "-", "name", "is not a name");
}

#[test]
fn orgs_are_checked() {
    let good = org(2, "other", "sg", "global");
    let table = [
        (
            Org { entity: "xx".to_owned(), ..good.clone() },
            "entity",
            "there is no Entity \"xx\": create it",
        ),
        (Org { entity: String::new(), ..good.clone() }, "entity", "needed: name one Entity"),
        (Org { plan: "gold".to_owned(), ..good.clone() }, "plan", "there is no Plan \"gold\""),
        (Org { audience: "Global ".to_owned(), ..good.clone() }, "audience", "is not a name"),
        (Org { name: "a/b".to_owned(), ..good.clone() }, "name", "must have no '/'"),
        (
            Org { credit_limit: Nano::saturating(-1), ..good.clone() },
            "credit_limit",
            "must not be negative",
        ),
        (Org { uid: OrgUid(1), ..good.clone() }, "uid", "org \"acme\" has the same"),
        (
            Org { allowed: Allowed::Only(BTreeSet::new()), ..good.clone() },
            "allowed_jurisdictions",
            "no place",
        ),
    ];
    for (org, field, reason) in table {
        let name = org.name.clone();
        assert_refused(&with([Object::Org(org)]), Kind::Org, &name, field, reason);
    }
    let unnumbered = [org(0, "new-a", "sg", ""), org(0, "new-b", "sg", "")].map(Object::Org);
    assert_eq!(with(unnumbered).validate(), [], "uids that are yet to be given may be equal");
}

#[test]
fn upstreams_are_checked() {
    let bad = [
        ("", "must begin with https://"),
        ("api.openai.com/v1", "must begin with https://"),
        ("ftp://api.openai.com", "must begin with https://"),
        ("https://", "must name a host"),
        ("https:///v1", "must name a host"),
        ("http://:8080/", "must name a host"),
        ("https://host:99999/", "a port from 1 to 65535"),
        ("https://host:/", "a port from 1 to 65535"),
        ("https://user:secret@host/", "must not contain a user or password"),
        ("https://user@host/", "must not contain a user or password"),
        ("https://host/v1?key=1", "plain URL"),
        ("https://host/v1#x", "plain URL"),
        ("https://host/v 1", "plain URL"),
        ("https://host/\r\nx: y", "plain URL"),
    ];
    for (url, reason) in bad {
        let wrong = Upstream { base_url: url.to_owned(), ..upstream("u", "US") };
        assert_refused(&with([Object::Upstream(wrong)]), Kind::Upstream, "u", "base_url", reason);
    }
    for url in
        ["https://api.openai.com/v1", "http://127.0.0.1:8080", "http://[::1]:9/x/", "http://[::1]/"]
    {
        let right = Upstream { base_url: url.to_owned(), ..upstream("u", "US") };
        assert_eq!(with([Object::Upstream(right)]).validate(), [], "{url}");
    }
}

#[test]
fn pages_of_vendors_are_checked_and_upstreams_of_one_vendor_agree() {
    let with_page = |name: &str, page: &str| {
        let vendor_pages = VendorPages { status: page.to_owned(), ..VendorPages::default() };
        Upstream { vendor_pages, ..upstream(name, "US") }
    };
    let long = format!("https://vendor.example/{}", "a".repeat(1_024));
    for (page, reason) in [
        ("vendor.example/status", "must begin with https://"),
        ("https://", "must name a host"),
        ("https://user@vendor.example/", "must not contain a user"),
        ("https://vendor.example/a b", "visible ASCII"),
        ("javascript:alert(1)", "must begin with https://"),
        (long.as_str(), "at most 1024 bytes"),
    ] {
        let wrong = with([Object::Upstream(with_page("u", page))]);
        assert_refused(&wrong, Kind::Upstream, "u", "status_page_url", reason);
    }
    let page = "https://status.vendor.example/?at=sg#now";
    let agree = [with_page("u", page), with_page("v", ""), with_page("w", page)];
    assert_eq!(with(agree.map(Object::Upstream)).validate(), []);
    let differ =
        with([with_page("u", page), with_page("v", "https://other.example")].map(Object::Upstream));
    assert_refused(
        &differ,
        Kind::Upstream,
        "v",
        "status_page_url",
        "upstream \"u\" of the same vendor",
    );
    let other_vendor =
        Upstream { vendor: "other".to_owned(), ..with_page("v", "https://other.example") };
    let apart = [with_page("u", page), other_vendor];
    assert_eq!(with(apart.map(Object::Upstream)).validate(), []);
}

#[test]
fn models_are_checked() {
    let good = model("a/m", &["openai"]);
    let named = |name: &str| Model { name: name.to_owned(), ..good.clone() };
    let reads = |list: &[Modality]| Model { input_modalities: list.to_vec(), ..good.clone() };
    let writes = |list: &[Modality]| Model { output_modalities: list.to_vec(), ..good.clone() };
    let called = |names: &[&str]| Model {
        aliases: names.iter().map(|name| (*name).to_owned()).collect(),
        ..good.clone()
    };
    let asked = |list: &[Operation]| Model { operations: list.to_vec(), ..good.clone() };
    let honours =
        |name: &str| Model { supported_parameters: vec![name.to_owned()], ..good.clone() };
    let table = [
        (named("gpt-5"), "name", "author/slug"),
        (named("a/b/c"), "name", "author/slug"),
        (named("A/b"), "name", "is not a name"),
        (Model { origin: "U S".to_owned(), ..good.clone() }, "origin", "is not a name"),
        (Model { context_length: 0, ..good.clone() }, "context_length", "needed"),
        (
            Model { max_output_tokens: 128_001, ..good.clone() },
            "max_output_tokens",
            "not be larger",
        ),
        (Model { max_output_tokens: 0, ..good.clone() }, "max_output_tokens", "needed"),
        (reads(&[]), "input_modalities", "needed"),
        (writes(&[]), "output_modalities", "needed"),
        (reads(&[Modality::Text, Modality::Text]), "input_modalities", "listed twice"),
        (reads(&[Modality::Embeddings]), "input_modalities", "only come out"),
        (writes(&[Modality::File]), "output_modalities", "only go in"),
        (writes(&[Modality::Text, Modality::Embeddings]), "output_modalities", "the only one"),
        (reads(&[Modality::Image]), "image_tokens_max", "needed with image input"),
        (reads(&[Modality::Audio]), "audio_tokens_max", "needed with audio input"),
        (called(&["GPT"]), "aliases", "is not a name"),
        (called(&["openai/gpt-5"]), "aliases", "is the name of a model"),
        (called(&["gpt", "gpt"]), "aliases", "use it once"),
        (asked(&[Operation::Embeddings]), "operations", "output_modalities"),
        (asked(&[Operation::Chat, Operation::Chat]), "operations", "listed twice"),
        (honours("top p"), "supported_parameters", "names of request fields"),
        (
            Model { description: "a".repeat(4_097), ..good.clone() },
            "description",
            "at most 4096 bytes",
        ),
    ];
    for (model, field, reason) in table {
        let name = model.name.clone();
        assert_refused(&with([Object::Model(model)]), Kind::Model, &name, field, reason);
    }
}

#[test]
fn routes_are_checked() {
    let to = |upstream: &str, model: &str, weight: u32| Route {
        model: model.to_owned(),
        weight,
        ..route(upstream, 0)
    };
    let table = [
        (vec![to("gone", "gpt", 1)], "routes[gone].upstream", "there is no Upstream \"gone\""),
        (vec![to("openai", "", 1)], "routes[openai].model", "needed"),
        (vec![to("openai", "gpt", 0)], "routes[openai].weight", "at least 1"),
        (
            vec![to("openai", "gpt", 1), to("openai", "gpt", 2)],
            "routes[openai].model",
            "listed twice",
        ),
    ];
    for (routes, field, reason) in table {
        let wrong = Model { routes, ..model("a/m", &[]) };
        assert_refused(&with([Object::Model(wrong)]), Kind::Model, "a/m", field, reason);
    }
}

#[test]
fn price_books_are_checked() {
    let mut negative = entry("x/*", 0, TEXT_RATES);
    negative.card.base.set(TokenClass::Input, Nano::saturating(-1));
    let conditional = |above: Option<u64>, window: Option<(u32, u32)>, rates: Rates| {
        let mut entry = entry("x/*", 0, TEXT_RATES);
        entry.card.overrides.push(RateOverride {
            above_input_tokens: above,
            window: window.map(|(from_minute, to_minute)| UtcWindow { from_minute, to_minute }),
            rates,
        });
        entry
    };
    let some = rates("input 1");
    let mut nothing = entry("x/*", 0, TEXT_RATES);
    nothing.card.base = Rates::NONE;
    let table = [
        (vec![entry("X/*", 0, TEXT_RATES)], "entries[X/*].model", "is not a pattern"),
        (vec![nothing], "entries[x/*].prices", "at least one class"),
        (vec![negative], "entries[x/*].prices.input", "must not be negative"),
        (
            vec![entry("x/*", 5, TEXT_RATES), entry("x/*", 5, TEXT_RATES)],
            "entries[x/*]",
            "same valid_from",
        ),
        (vec![conditional(None, None, some)], "entries[x/*].overrides[0]", "needs a condition"),
        (
            vec![conditional(Some(1), None, Rates::NONE)],
            "entries[x/*].overrides[0].prices",
            "at least one",
        ),
        (
            vec![conditional(None, Some((1_440, 3)), some)],
            "entries[x/*].overrides[0]",
            "00:00 to 24:00",
        ),
        (
            vec![conditional(None, Some((3, 1_441)), some)],
            "entries[x/*].overrides[0]",
            "00:00 to 24:00",
        ),
        (vec![conditional(None, Some((60, 60)), some)], "entries[x/*].overrides[0]", "must differ"),
        (
            vec![conditional(None, Some((0, 1_440)), some)],
            "entries[x/*].overrides[0]",
            "must differ",
        ),
    ];
    for (entries, field, reason) in table {
        let wrong = with([Object::PriceBook(book("b", &[], entries))]);
        assert_refused(&wrong, Kind::PriceBook, "b", field, reason);
    }
    let lost = with([Object::PriceBook(book("b", &["gone"], Vec::new()))]);
    assert_refused(&lost, Kind::PriceBook, "b", "upstreams", "there is no Upstream \"gone\"");
}

#[test]
fn exchange_rates_are_checked() {
    let table = [
        (fx("f", "USD", "TWD", 0), "rate", "more than 0"),
        (fx("f", "USD", "USD", 1), "quote", "must differ from base"),
    ];
    for (rate, field, reason) in table {
        assert_refused(&with([Object::FxRate(rate)]), Kind::FxRate, "f", field, reason);
    }
    let twice = with([fx("f", "USD", "TWD", 5), fx("g", "USD", "TWD", 6)].map(Object::FxRate));
    assert_refused(&twice, Kind::FxRate, "g", "base", "FxRate \"f\" is USD to TWD too: remove one");
    let both_ways = with([fx("f", "USD", "TWD", 5), fx("g", "TWD", "USD", 6)].map(Object::FxRate));
    assert_eq!(both_ways.validate(), []);
}

#[test]
fn markup_rules_are_checked() {
    let good = rule("r", 0, None, None);
    let table = [
        (
            MarkupRule { entity: Some("xx".to_owned()), ..good.clone() },
            "entity",
            "there is no Entity",
        ),
        (MarkupRule { org: Some("xx".to_owned()), ..good.clone() }, "org", "there is no Org"),
        (
            MarkupRule { audience: Some("A".to_owned()), ..good.clone() },
            "audience",
            "is not a name",
        ),
        (MarkupRule { origin: Some("A".to_owned()), ..good.clone() }, "origin", "is not a name"),
        (
            MarkupRule { model: Some(Glob("A".to_owned())), ..good.clone() },
            "model",
            "is not a pattern",
        ),
        (MarkupRule { markup_ppm: -1_000_000, ..good.clone() }, "percent", "more than -100"),
    ];
    for (rule, field, reason) in table {
        assert_refused(&with([Object::MarkupRule(rule)]), Kind::MarkupRule, "r", field, reason);
    }
    let discount = MarkupRule { markup_ppm: -999_999, ..good };
    assert_eq!(with([Object::MarkupRule(discount)]).validate(), []);
}
