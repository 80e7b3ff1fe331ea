//! What the catalog refuses: each violation names the object, the field and the remedy.

mod keys;
mod objects;

use crate::sample::{
    TEXT_RATES, any_catalog, book, catalog, entity, entry, fx, model, org, rates, rule, upstream,
    with,
};
use domain::catalog::{Catalog, Object, Violation};
use domain::config::{Kind, MarkupRule, Modality, Model, Org};
use domain::jurisdiction::Allowed;
use keys::key;
use proptest::prelude::*;

/// The catalog is refused for this alone.
fn assert_refused(catalog: &Catalog, kind: Kind, name: &str, field: &str, reason: &str) {
    let violations = catalog.validate();
    assert!(
        violations.iter().any(|v| v.kind == kind
            && v.name == name
            && v.field == field
            && v.reason.contains(reason)),
        "no {kind} {name:?} {field}: {reason:?} in {violations:#?}"
    );
    let others = violations.iter().filter(|v| (v.kind, v.name.as_str()) != (kind, name));
    assert_eq!(others.count(), 0, "{violations:#?}");
}

fn allowed(codes: &[&str]) -> Allowed {
    let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
    Allowed::parse(&codes).expect("codes")
}

#[test]
fn a_small_catalog_is_valid() {
    assert_eq!(catalog().validate(), []);
    assert_eq!(Catalog::default().validate(), []);
}

#[test]
fn an_org_cannot_allow_what_its_entity_does_not() {
    let seller = Object::Entity(entity("sg", "USD", &["SG", "US"]));
    let wide = Org { allowed: allowed(&["CN", "SG"]), ..org(1, "acme", "sg", "global") };
    let refused = with([seller.clone(), Object::Org(wide)]);
    let reason = "entity \"sg\" does not allow CN: remove it here";
    assert_refused(&refused, Kind::Org, "acme", "allowed_jurisdictions", reason);
    let narrow = Org { allowed: allowed(&["SG"]), ..org(1, "acme", "sg", "global") };
    assert_eq!(with([seller, Object::Org(narrow)]).validate(), []);
}

#[test]
fn every_class_that_may_be_reported_needs_a_price() {
    let text = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];
    let media = Model {
        input_modalities: vec![Modality::Text, Modality::Image, Modality::Audio],
        output_modalities: vec![Modality::Text, Modality::Image, Modality::Audio],
        image_tokens_max: 1,
        audio_tokens_max: 1,
        ..model("a/m", &["openai"])
    };
    let vectors = Model {
        output_modalities: vec![Modality::Embeddings],
        max_output_tokens: 0,
        ..model("a/m", &["openai"])
    };
    let all = [text.as_slice(), &["image_in", "audio_in", "image_out", "audio_out"]].concat();
    let table =
        [(model("a/m", &["openai"]), text.as_slice()), (media, &all), (vectors, &["input"])];
    for (model, classes) in table {
        let priced = |without: &str| {
            let list: Vec<String> =
                classes.iter().filter(|c| **c != without).map(|c| format!("{c} 1")).collect();
            let list = if list.is_empty() { "request 1".to_owned() } else { list.join(", ") };
            let own = book("own", &[], vec![entry("a/m", 0, &list)]);
            with([Object::Model(model.clone()), Object::PriceBook(own)])
        };
        assert_eq!(priced("").validate(), []);
        for class in classes {
            let reason =
                format!("class {class} has no price: add it to entry \"a/m\" of PriceBook \"own\"");
            assert_refused(&priced(class), Kind::Model, "a/m", "routes[openai]", &reason);
        }
    }
}

#[test]
fn a_price_that_lacks_a_class_later_is_refused_now() {
    let mut sparse = entry("openai/gpt-5", 1_000, TEXT_RATES);
    sparse.card.base = rates("input 1");
    let wrong = with([Object::PriceBook(book("next", &[], vec![sparse]))]);
    assert_refused(
        &wrong,
        Kind::Model,
        "openai/gpt-5",
        "routes[openai]",
        "class output has no price",
    );
}

#[test]
fn a_route_without_any_price_is_refused() {
    let mut unpriced = catalog();
    unpriced.remove(Kind::PriceBook, "list");
    assert_refused(
        &unpriced,
        Kind::Model,
        "openai/gpt-5",
        "routes[openai]",
        "has no price: add an entry",
    );
    unpriced.put(Object::PriceBook(book("list", &["openai"], vec![entry("*", 0, TEXT_RATES)])));
    assert_eq!(unpriced.validate(), []);
    let elsewhere = book("list", &["other"], vec![entry("*", 0, TEXT_RATES)]);
    unpriced.put(Object::PriceBook(elsewhere));
    unpriced.put(Object::Upstream(upstream("other", "US")));
    assert_refused(
        &unpriced,
        Kind::Model,
        "openai/gpt-5",
        "routes[openai]",
        "has no price: add an entry",
    );
}

#[test]
fn a_price_needs_an_exchange_rate_into_every_sellers_currency() {
    let both = with([Object::Entity(entity("tw", "TWD", &[]))]);
    let reason = "costs USD and entity \"tw\" sells in TWD: create an FxRate from USD to TWD";
    assert_refused(&both, Kind::Model, "openai/gpt-5", "routes[openai]", reason);
    for rate in [fx("f", "USD", "TWD", 320_000_000_000), fx("f", "TWD", "USD", 312_500_000)] {
        let seller = Object::Entity(entity("tw", "TWD", &[]));
        assert_eq!(with([seller, Object::FxRate(rate)]).validate(), []);
    }
    let unconcerned = with([Object::Entity(entity("tw", "TWD", &["TW"]))]);
    assert_eq!(unconcerned.validate(), [], "an entity that may not use the upstream needs no rate");
}

#[test]
fn a_route_into_a_place_that_no_entity_allows_is_refused() {
    let beyond = with([Object::Entity(entity("sg", "USD", &["SG", "TW"]))]);
    let reason = "is in US, which no entity allows: allow it for one, or remove the route";
    assert_refused(&beyond, Kind::Model, "openai/gpt-5", "routes[openai]", reason);
    let other = Object::Entity(entity("us", "USD", &["US"]));
    let seller = Object::Entity(entity("sg", "USD", &["SG", "TW"]));
    assert_eq!(with([seller, other]).validate(), [], "one entity that may use it is enough");
}

#[test]
fn price_books_between_which_nothing_decides_are_refused() {
    let rival = |upstreams: &[&str], glob: &str, from: u64| {
        with([Object::PriceBook(book("rival", upstreams, vec![entry(glob, from, TEXT_RATES)]))])
    };
    let reason = "entry \"*\" of PriceBook \"rival\" prices the same models";
    assert_refused(&rival(&[], "*", 0), Kind::PriceBook, "list", "entries[*]", reason);
    assert_eq!(rival(&[], "*", 5).validate(), [], "a later one replaces");
    assert_eq!(rival(&[], "openai/*", 0).validate(), [], "a narrower one wins");
    assert_eq!(rival(&["openai"], "*", 0).validate(), [], "one that names the upstream wins");
    assert_eq!(rival(&[], "other/*", 0).validate(), [], "other models do not matter");
}

#[test]
fn what_is_named_by_others_is_known_before_it_is_deleted() {
    let mut catalog = with([
        Object::PriceBook(book("own", &["openai"], vec![entry("*", 0, TEXT_RATES)])),
        Object::MarkupRule(MarkupRule {
            entity: Some("sg".to_owned()),
            ..rule("r", 0, None, Some("acme"))
        }),
    ]);
    let table = [
        (Kind::Entity, "sg", vec![(Kind::Org, "acme"), (Kind::MarkupRule, "r")]),
        (Kind::Plan, "basic", vec![(Kind::Org, "acme")]),
        (Kind::Upstream, "openai", vec![(Kind::PriceBook, "own"), (Kind::Model, "openai/gpt-5")]),
        (Kind::Org, "acme", vec![(Kind::MarkupRule, "r")]),
        (Kind::Model, "openai/gpt-5", vec![]),
        (Kind::PriceBook, "own", vec![]),
        (Kind::Entity, "other", vec![]),
    ];
    for (kind, name, expected) in table {
        let expected: Vec<_> = expected.into_iter().map(|(k, n)| (k, n.to_owned())).collect();
        assert_eq!(catalog.referrers(kind, name), expected, "{kind} {name}");
        let before = catalog.clone();
        catalog.remove(kind, name);
        let dangling = catalog.validate().iter().any(|v| v.reason.contains("there is no"));
        assert_eq!(dangling, !expected.is_empty(), "deleting {kind} {name}");
        catalog = before;
    }
}

#[test]
fn money_does_not_change_its_currency() {
    let rate = Object::FxRate(fx("f", "USD", "TWD", 5));
    let before = with([
        rate,
        Object::Entity(entity("tw", "TWD", &[])),
        Object::Entity(entity("us", "USD", &[])),
    ]);
    let change = |object: Object| {
        let mut after = before.clone();
        after.put(object);
        assert_eq!(after.validate(), []);
        after.validate_change(&before)
    };
    let find = |found: &[Violation], kind: Kind, name: &str, field: &str| {
        found.iter().filter(|v| v.kind == kind && v.name == name && v.field == field).count()
    };
    let moved = change(Object::Org(org(1, "acme", "tw", "global")));
    assert_eq!(find(&moved, Kind::Org, "acme", "entity"), 1, "{moved:#?}");
    let turned = change(Object::Entity(entity("sg", "TWD", &[])));
    assert_eq!(find(&turned, Kind::Entity, "sg", "currency"), 1, "{turned:#?}");
    assert_eq!(change(Object::Org(org(1, "acme", "us", "global"))), []);
    assert_eq!(change(Object::Entity(entity("tw", "USD", &[]))), [], "nobody has money there");
}

#[test]
fn a_key_is_handed_back_because_the_catalog_holds_none() {
    let mut catalog = catalog();
    let key = key("acme", "acme/ci");
    assert_eq!(catalog.put(Object::Key(key.clone())), Some(key));
    assert_eq!(catalog.remove(Kind::Key, "acme/ci"), None);
    assert_eq!(catalog.currency_of_org("acme").map(|c| c.to_string()).as_deref(), Some("USD"));
    assert_eq!(catalog.currency_of_org("gone"), None);
}

#[test]
fn kinds_are_found_by_the_names_that_people_type() {
    for text in ["PriceBook", "pricebook", "price-book", "price_books", "PRICEBOOKS"] {
        assert_eq!(Kind::parse(text), Some(Kind::PriceBook), "{text}");
    }
    assert_eq!(Kind::parse("entities"), Some(Kind::Entity));
    assert_eq!(Kind::parse("entitys"), None);
    assert_eq!(Kind::parse(""), None);
    assert!(Kind::ALL.is_sorted(), "the order of the list is the order of the kinds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_taken_out_can_be_put_back(catalog in any_catalog()) {
        let names: Vec<String> = catalog.models.keys().cloned().collect();
        for name in names {
            let mut other = catalog.clone();
            let model = other.remove(Kind::Model, &name).unwrap();
            prop_assert_eq!((model.kind(), model.name()), (Kind::Model, name.as_str()));
            prop_assert!(other != catalog);
            other.put(model);
            prop_assert_eq!(&other, &catalog);
        }
    }

    #[test]
    fn violations_are_sorted_and_never_repeated(catalog in any_catalog()) {
        prop_assert!(catalog.validate().is_sorted_by(|a, b| a < b));
    }
}
