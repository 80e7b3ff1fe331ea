//! From cost to sell price: one rule wins whatever the order, and every unit price is rounded once.

use crate::sample::{any_card, rates};
use domain::config::MarkupRule;
use domain::markup::{Buyer, RATE_ONE, choose, sell_card};
use domain::money::divide_half_away;
use domain::name::Glob;
use domain::price::{RateCard, RateOverride};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const BUYER: Buyer<'_> = Buyer {
    entity: "sg",
    audience: "global",
    org: Some("acme"),
    model: "deepseek/v3",
    origin: "cn",
};

fn rule(name: &str) -> MarkupRule {
    MarkupRule {
        name: name.to_owned(),
        priority: 0,
        entity: None,
        audience: None,
        origin: None,
        model: None,
        org: None,
        markup_ppm: 0,
    }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn glob(value: &str) -> Option<Glob> {
    Some(Glob(value.to_owned()))
}

fn winner(rules: &[MarkupRule]) -> Option<&str> {
    choose(rules, &BUYER).map(|rule| rule.name.as_str())
}

#[test]
fn priority_beats_narrowness_beats_name() {
    let any = rule("a-any");
    let entity = MarkupRule { entity: text("sg"), ..rule("b-entity") };
    let two = MarkupRule { entity: text("sg"), origin: text("cn"), ..rule("c-two") };
    let wide = MarkupRule { model: glob("deepseek/*"), ..rule("d-wide") };
    let narrow = MarkupRule { model: glob("deepseek/v*"), ..rule("e-narrow") };
    let exact = MarkupRule { model: glob("deepseek/v3"), ..rule("f-exact") };
    let org = MarkupRule { org: text("acme"), ..rule("g-org") };
    let prior = MarkupRule { priority: 1, ..rule("h-prior") };
    let ascending = [any, entity, two, wide, narrow, exact, org, prior];
    for end in 1..=ascending.len() {
        let rules = &ascending[..end];
        assert_eq!(winner(rules), rules.last().map(|rule| rule.name.as_str()));
    }
    assert_eq!(winner(&[rule("b"), rule("a")]), Some("a"), "nothing else decides");
}

#[test]
fn a_rule_applies_only_where_all_that_it_names_fits() {
    let others = [
        MarkupRule { entity: text("tw"), ..rule("entity") },
        MarkupRule { audience: text("china"), ..rule("audience") },
        MarkupRule { origin: text("us"), ..rule("origin") },
        MarkupRule { model: glob("openai/*"), ..rule("model") },
        MarkupRule { org: text("other"), ..rule("org") },
        MarkupRule { entity: text("sg"), origin: text("us"), ..rule("half") },
    ];
    assert_eq!(winner(&others), None);
    let of_an_org = [MarkupRule { org: text("acme"), ..rule("org") }];
    assert!(choose(&of_an_org, &Buyer { org: None, ..BUYER }).is_none());
}

#[test]
fn unit_prices_are_cost_times_markup_times_rate_rounded_half_away() {
    let table = [
        // cost per million, markup in ppm, rate × 10^10, sell price per million
        ("2.50", 0, RATE_ONE, "2.50"),
        ("2.50", 155_000, RATE_ONE, "2.8875"),
        ("2.00", 2_000_000, RATE_ONE, "6.00"),
        ("2.00", -500_000, RATE_ONE, "1.00"),
        ("1.00", 100_000, 320_000_000_000, "35.20"),
        ("0.000000001", 500_000, RATE_ONE, "0.000000002"),
        ("0.000000001", 499_999, RATE_ONE, "0.000000001"),
        ("0.000000001", 0, RATE_ONE / 2, "0.000000001"),
        ("0.000000001", 0, RATE_ONE / 2 - 1, "0.00"),
        ("0", 9_000_000, RATE_ONE, "0.00"),
    ];
    for (cost, markup_ppm, rate_e10, sell) in table {
        let cost = rates(&format!("input {cost}"));
        let card = RateCard {
            base: cost,
            overrides: vec![RateOverride {
                above_input_tokens: Some(5),
                window: None,
                rates: cost,
            }],
        };
        let sold = sell_card(&card, markup_ppm, rate_e10).unwrap();
        assert_eq!(sold.base.priced().next().unwrap().1.to_string(), sell);
        assert_eq!(sold.overrides.len(), 1);
        assert_eq!(sold.overrides[0].rates, sold.base, "overrides are sold like the base");
        assert_eq!(sold.overrides[0].above_input_tokens, Some(5));
    }
}

#[test]
fn a_price_beyond_all_amounts_is_refused() {
    let card = RateCard { base: rates("input 4000000000"), overrides: Vec::new() };
    assert!(sell_card(&card, 0, RATE_ONE).is_some());
    assert!(sell_card(&card, 1, RATE_ONE).is_none());
    assert!(sell_card(&card, i64::MAX, i64::MAX).is_none());
}

fn any_rule() -> impl Strategy<Value = MarkupRule> {
    let maybe = |values: [&'static str; 2]| {
        prop::option::of(select(values.to_vec()).prop_map(str::to_owned))
    };
    (
        (0..3_i32, 0..4_u8),
        maybe(["sg", "tw"]),
        maybe(["global", "china"]),
        maybe(["cn", "us"]),
        maybe(["acme", "other"]),
        prop::option::of(select(vec!["*", "deepseek/*", "*/v3", "deepseek/v3", "openai/*"])),
    )
        .prop_map(|((priority, letter), entity, audience, origin, org, model)| MarkupRule {
            name: format!("rule-{letter}-{entity:?}{audience:?}{origin:?}{org:?}{model:?}"),
            priority,
            entity,
            audience,
            origin,
            model: model.and_then(glob),
            org,
            markup_ppm: 0,
        })
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_matter(
        (rules, shuffled) in prop::collection::vec(any_rule(), 0..8)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
    ) {
        prop_assert_eq!(winner(&rules), winner(&shuffled));
    }

    #[test]
    fn a_rule_that_does_not_win_changes_nothing(
        rules in prop::collection::vec(any_rule(), 1..8),
        kept in subsequence((0..8_usize).collect::<Vec<_>>(), 0..8),
    ) {
        let Some(best) = winner(&rules) else { return Ok(()) };
        let fewer: Vec<MarkupRule> = rules
            .iter()
            .enumerate()
            .filter(|(index, rule)| kept.contains(index) || rule.name == best)
            .map(|(_, rule)| rule.clone())
            .collect();
        prop_assert_eq!(winner(&fewer), Some(best));
    }

    #[test]
    fn no_markup_sells_at_cost_times_the_rate(card in any_card(), rate_e10 in 1..1_000 * RATE_ONE) {
        prop_assert_eq!(sell_card(&card, 0, RATE_ONE), Some(card.clone()));
        let sold = sell_card(&card, 0, rate_e10).unwrap();
        for (class, cost) in card.base.priced() {
            let exact = i128::from(cost.get()) * i128::from(rate_e10);
            let expected = divide_half_away(exact, i128::from(RATE_ONE)).unwrap();
            prop_assert_eq!(i128::from(sold.base.get(class).unwrap().get()), expected);
        }
    }

    #[test]
    fn more_markup_never_sells_for_less(card in any_card(), less in -999_999..3_000_000_i64, more in 0..1_000_000_i64) {
        let cheap = sell_card(&card, less, RATE_ONE).unwrap();
        let dear = sell_card(&card, less + more, RATE_ONE).unwrap();
        for (class, rate) in cheap.base.priced() {
            prop_assert!(Some(rate) <= dear.base.get(class));
        }
        let priced = |card: &RateCard| card.base.priced().map(|(class, _)| class).collect::<Vec<_>>();
        prop_assert_eq!(priced(&dear), priced(&card), "markup prices exactly what had a cost");
    }
}
