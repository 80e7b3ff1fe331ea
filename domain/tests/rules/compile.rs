//! What is compiled: who gets which price, from when on, and never outside a jurisdiction.

mod revisions;

use crate::sample::{
    TEXT_RATES, any_catalog, at, book, catalog, entity, entry, fx, model, org, rates, rule,
    upstream, with,
};
use domain::catalog::{Catalog, Object};
use domain::compile::{Compiled, compile};
use domain::config::{Kind, MarkupRule, Org};
use domain::jurisdiction::Allowed;
use domain::money::Currency;
use domain::snapshot::SellPrice;
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use proptest::prelude::*;

fn compiled(catalog: &Catalog, revision: u64, previous: &Compiled) -> Compiled {
    compile(catalog, revision, &|_| Timestamp(7), previous).expect("valid")
}

fn fresh(catalog: &Catalog) -> Compiled {
    compiled(catalog, 1, &Compiled::default())
}

/// The prices of a model on its first route, as `entity/audience[/org]`.
fn prices<'a>(compiled: &'a Compiled, model: &str) -> Vec<(String, &'a SellPrice)> {
    let label = |price: &SellPrice| {
        let org = price.org.as_ref().map_or(String::new(), |org| format!("/{org}"));
        format!("{}/{}{org}", price.entity, price.audience)
    };
    compiled.models[model].routes[0].prices.iter().map(|price| (label(price), &**price)).collect()
}

fn buyers(compiled: &Compiled) -> Vec<String> {
    prices(compiled, "openai/gpt-5").into_iter().map(|(label, _)| label).collect()
}

/// The price of a million tokens of input at a moment.
fn input_price(price: &SellPrice, seconds: u64) -> Option<String> {
    let card = price.schedule.at(at(seconds))?;
    card.base.get(TokenClass::Input).map(|rate| rate.to_string())
}

fn input_price_of(compiled: &Compiled, buyer: &str) -> String {
    let all = prices(compiled, "openai/gpt-5");
    let (_, price) = all.iter().find(|(label, _)| label == buyer).expect("has a price");
    input_price(price, 1_000).expect("is in effect")
}

#[test]
fn without_a_rule_the_price_is_the_cost() {
    let compiled = fresh(&catalog());
    assert_eq!(buyers(&compiled), ["sg/", "sg/global"]);
    assert_eq!(input_price_of(&compiled, "sg/global"), "3.00");
    assert_eq!(compiled.models["openai/gpt-5"].created, Timestamp(7));
}

#[test]
fn every_audience_that_a_buyer_or_a_rule_has_gets_a_price() {
    let catalog = with([
        Object::Org(org(2, "other", "sg", "partners")),
        Object::Entity(entity("tw", "USD", &[])),
        Object::MarkupRule(rule("china", 200_000, Some("china"), None)),
    ]);
    let compiled = fresh(&catalog);
    assert_eq!(
        buyers(&compiled),
        ["sg/", "sg/china", "sg/global", "sg/partners", "tw/", "tw/china"],
    );
    assert_eq!(input_price_of(&compiled, "sg/china"), "3.60");
    assert_eq!(input_price_of(&compiled, "sg/global"), "3.00");
}

#[test]
fn an_org_has_a_price_of_its_own_where_its_own_rule_decides() {
    let own = rule("own", 100_000, None, Some("acme"));
    let only_other_models =
        MarkupRule { model: Some(domain::name::Glob("x/*".to_owned())), ..own.clone() };
    let compiled = fresh(&with([Object::MarkupRule(own.clone())]));
    assert_eq!(buyers(&compiled), ["sg/", "sg/global", "sg/global/acme"]);
    assert_eq!(input_price_of(&compiled, "sg/global/acme"), "3.30");
    let price =
        compiled.models["openai/gpt-5"].routes[0].price_for(&compiled.orgs["acme"]).unwrap();
    assert_eq!(input_price(price, 0).unwrap(), "3.30");

    assert_eq!(
        buyers(&fresh(&with([Object::MarkupRule(only_other_models)]))),
        ["sg/", "sg/global"]
    );
    let prior = MarkupRule { priority: 1, ..rule("all", 0, None, None) };
    let overruled = fresh(&with([Object::MarkupRule(own), Object::MarkupRule(prior)]));
    assert_eq!(buyers(&overruled), ["sg/", "sg/global"]);
}

#[test]
fn prices_are_exchanged_directly_by_the_inverse_or_not_at_all() {
    let seller = || Object::Entity(entity("sg", "TWD", &[]));
    let table = [
        (vec![fx("f", "USD", "TWD", 320_000_000_000)], "96.00"),
        (vec![fx("f", "TWD", "USD", 312_500_000)], "96.00"),
        // 1 / 0.03 = 33.3333333333, of which 3 million are 99.9999999999
        (vec![fx("f", "TWD", "USD", 300_000_000)], "100.00"),
        (vec![fx("f", "TWD", "USD", 1), fx("g", "USD", "TWD", 320_000_000_000)], "96.00"),
    ];
    for (rates, price) in table {
        let compiled = fresh(&with(rates.into_iter().map(Object::FxRate).chain([seller()])));
        assert_eq!(input_price_of(&compiled, "sg/global"), price);
    }
    let unrelated = fresh(&with([Object::FxRate(fx("f", "TWD", "USD", 1))]));
    assert_eq!(input_price_of(&unrelated, "sg/global"), "3.00");
}

#[test]
fn a_price_book_may_be_in_any_currency() {
    let mut yuan = book("yuan", &["openai"], vec![entry("*", 0, TEXT_RATES)]);
    yuan.currency = Currency::parse("CNY").unwrap();
    let rate = fx("f", "CNY", "USD", 1_400_000_000);
    let compiled = fresh(&with([Object::PriceBook(yuan), Object::FxRate(rate)]));
    assert_eq!(input_price_of(&compiled, "sg/global"), "0.42");
}

fn priced(input: &str) -> String {
    TEXT_RATES.replace("input 3", &format!("input {input}"))
}

#[test]
fn at_each_date_the_best_entry_of_those_already_valid_applies() {
    let list = book(
        "list",
        &[],
        vec![
            entry("*", 0, &priced("1")),
            entry("*", 50, &priced("2")),
            entry("openai/*", 100, &priced("3")),
            entry("*", 150, &priced("4")),
            entry("openai/gpt-5", 200, &priced("5")),
            entry("openai/gpt-5", 250, &priced("6")),
        ],
    );
    let named = book("named", &["openai"], vec![entry("*", 300, &priced("7"))]);
    let later = book("later", &[], vec![entry("openai/gpt-5", 400, &priced("8"))]);
    let compiled = fresh(&with([list, named, later].map(Object::PriceBook)));
    let all = prices(&compiled, "openai/gpt-5");
    let table = [
        (0, "1.00"),
        (49, "1.00"),
        (50, "2.00"),
        (100, "3.00"),
        (150, "3.00"),
        (200, "5.00"),
        (250, "6.00"),
        (300, "7.00"),
        (400, "7.00"),
    ];
    for (seconds, price) in table {
        assert_eq!(input_price(all[0].1, seconds).unwrap(), price, "at {seconds}");
    }
    let dates: Vec<Timestamp> = all[0].1.schedule.0.iter().map(|dated| dated.from).collect();
    assert_eq!(
        dates,
        [0, 50, 100, 200, 250, 300].map(at),
        "ascending, and only where something changes"
    );
}

#[test]
fn before_its_first_date_a_route_has_no_price() {
    let compiled =
        fresh(&with([Object::PriceBook(book("list", &[], vec![entry("*", 10, TEXT_RATES)]))]));
    let all = prices(&compiled, "openai/gpt-5");
    assert_eq!(input_price(all[0].1, 9), None);
}

#[test]
fn routes_are_ordered_by_priority_and_priced_by_their_own_upstream() {
    let mut two = model("openai/gpt-5", &["far", "openai"]);
    two.routes[0].priority = 5;
    let far = book("far", &["far"], vec![entry("*", 0, &priced("9"))]);
    let compiled = fresh(&with([
        Object::Upstream(upstream("far", "SG")),
        Object::Model(two),
        Object::PriceBook(far),
    ]));
    let routes = &compiled.models["openai/gpt-5"].routes;
    let order: Vec<&str> = routes.iter().map(|route| route.upstream.as_str()).collect();
    assert_eq!(order, ["openai", "far"]);
    assert_eq!(input_price(&routes[1].prices[0], 0).unwrap(), "9.00");
}

#[test]
fn an_entity_has_no_price_where_it_may_not_go_and_an_org_no_own_one() {
    let catalog = with([
        Object::Entity(entity("tw", "USD", &["TW"])),
        Object::Org(Org {
            allowed: Allowed::parse(&["SG".to_owned()]).unwrap(),
            ..org(1, "acme", "sg", "global")
        }),
        Object::MarkupRule(rule("own", 100_000, None, Some("acme"))),
    ]);
    assert_eq!(buyers(&fresh(&catalog)), ["sg/", "sg/global"]);
}

#[test]
fn a_catalog_that_is_not_valid_is_not_compiled() {
    let broken = with([Object::Model(model("a/m", &["gone"]))]);
    let violations = compile(&broken, 1, &|_| Timestamp(7), &Compiled::default()).unwrap_err();
    assert_eq!(violations, broken.validate());
    assert!(!violations.is_empty());
}

#[test]
fn a_price_out_of_range_is_refused_by_the_name_of_its_markup() {
    let dear = with([
        Object::PriceBook(book("list", &[], vec![entry("*", 0, &priced("4000000000"))])),
        Object::MarkupRule(rule("greedy", 1, None, None)),
    ]);
    assert_eq!(dear.validate(), []);
    let violations = compile(&dear, 1, &|_| Timestamp(7), &Compiled::default()).unwrap_err();
    assert_eq!((violations[0].kind, violations[0].name.as_str()), (Kind::Model, "openai/gpt-5"));
    assert!(violations[0].reason.contains("MarkupRule \"greedy\""), "{violations:?}");
}

#[test]
fn overrides_are_sold_with_their_conditions() {
    let mut long = entry("*", 0, TEXT_RATES);
    long.card.overrides.push(domain::price::RateOverride {
        above_input_tokens: Some(200_000),
        window: None,
        rates: rates("input 6"),
    });
    let compiled = fresh(&with([
        Object::PriceBook(book("list", &[], vec![long])),
        Object::MarkupRule(rule("half", 500_000, None, None)),
    ]));
    let card = prices(&compiled, "openai/gpt-5")[0].1.schedule.at(at(0)).unwrap().clone();
    let at_threshold = card.rates(200_000, at(0)).get(TokenClass::Input).unwrap();
    let above = card.rates(200_001, at(0)).get(TokenClass::Input).unwrap();
    assert_eq!((at_threshold.to_string().as_str(), above.to_string().as_str()), ("4.50", "9.00"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// P4: whatever is configured, what data planes get leads nowhere that its buyers do not allow.
    #[test]
    fn no_route_of_a_snapshot_leaves_its_jurisdiction(catalog in any_catalog()) {
        let Ok(compiled) = compile(&catalog, 1, &|_| Timestamp(7), &Compiled::default()) else {
            return Ok(());
        };
        for route in compiled.models.values().flat_map(|model| &model.routes) {
            let place = compiled.upstreams[&route.upstream].jurisdiction;
            for price in &route.prices {
                prop_assert!(compiled.entities[&price.entity].allowed.permits(place));
                if let Some(org) = &price.org {
                    prop_assert!(compiled.orgs[org].allowed.permits(place));
                }
            }
            let someone = compiled.entities.values().any(|entity| entity.allowed.permits(place));
            prop_assert!(someone || compiled.entities.is_empty());
            for org in compiled.orgs.values() {
                let permitted = compiled.entities[&org.entity].allowed.permits(place);
                prop_assert_eq!(route.price_for(org).is_some(), permitted, "priced exactly where allowed");
            }
        }
    }
}
