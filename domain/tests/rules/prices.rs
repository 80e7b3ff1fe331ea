//! What quantities cost: the vectors of the research, conditions, and laws of every bill.

use crate::sample::{any_card, any_quantities, any_rates, at, rates};
use domain::money::Nano;
use domain::price::{
    CostError, DatedCard, RateCard, RateOverride, Rates, Schedule, UtcWindow, bill, cost,
};
use domain::time::{MINUTE_US, Timestamp};
use domain::tokens::{Quantities, TokenClass};
use proptest::prelude::*;

fn quantities(list: &[(TokenClass, u64)]) -> Quantities {
    list.iter().fold(Quantities::NONE, |sum, (class, n)| sum.with(*class, *n))
}

#[test]
fn the_vectors_of_the_research_come_out_to_the_nano() {
    let sonnet =
        rates("input 3, output 15, cache_read 0.30, cache_write_5m 3.75, cache_write_1h 6.00");
    let gemini = rates("input 1.25, cache_read 0.625, output 10");
    let peak = rates("cache_read 0.006, input 0.30, output 1.20");
    let off_peak = rates("cache_read 0.003, input 0.15, output 0.60");
    let chat = quantities(&[
        (TokenClass::CacheRead, 800),
        (TokenClass::Input, 200),
        (TokenClass::Output, 500),
    ]);
    let table = [
        (
            sonnet,
            quantities(&[
                (TokenClass::Input, 1_000),
                (TokenClass::CacheRead, 50_000),
                (TokenClass::CacheWrite5m, 2_000),
                (TokenClass::CacheWrite1h, 3_000),
                (TokenClass::Output, 500),
            ]),
            "0.051",
        ),
        (
            gemini,
            quantities(&[
                (TokenClass::Input, 262_960 - 257_955),
                (TokenClass::CacheRead, 257_955),
                (TokenClass::Output, 1_744),
            ]),
            "0.184918125",
        ),
        (peak, chat, "0.0006648"),
        (off_peak, chat, "0.0003324"),
    ];
    for (rates, used, expected) in table {
        let total = cost(&rates, &used).unwrap();
        assert_eq!(total.to_string(), expected);
        assert_eq!(bill(&rates, &used).unwrap().total, total);
    }
}

#[test]
fn the_cheapest_listed_price_is_charged_for_a_single_token() {
    assert_eq!(
        cost(&rates("input 0.003"), &quantities(&[(TokenClass::Input, 1)])).unwrap().get(),
        3
    );
    let half_a_nano = rates("input 0.0005");
    assert_eq!(cost(&half_a_nano, &quantities(&[(TokenClass::Input, 1)])).unwrap().get(), 1);
    assert_eq!(cost(&half_a_nano, &quantities(&[(TokenClass::Input, 3)])).unwrap().get(), 2);
}

#[test]
fn rounding_happens_once_for_the_whole_request() {
    let rates = rates("input 0.0004, output 0.0004");
    let used = quantities(&[(TokenClass::Input, 1), (TokenClass::Output, 1)]);
    assert_eq!(cost(&rates, &used).unwrap().get(), 1, "0.4 + 0.4 is 0.8, not 0 + 0");
}

#[test]
fn a_threshold_is_strict_and_reprices_every_token() {
    let card = RateCard {
        base: rates("input 1, output 2, cache_read 0.1"),
        overrides: vec![RateOverride {
            above_input_tokens: Some(200_000),
            window: None,
            rates: rates("input 10, output 20"),
        }],
    };
    assert_eq!(card.rates(200_000, Timestamp(0)), card.base, "at the threshold the base holds");
    assert_eq!(card.rates(200_001, Timestamp(0)), rates("input 10, output 20, cache_read 0.1"));
    let used = quantities(&[(TokenClass::Input, 1), (TokenClass::CacheRead, 200_000)]);
    let total = cost(&card.rates(used.input_total(), Timestamp(0)), &used).unwrap();
    assert_eq!(total.to_string(), "0.02001", "cached tokens count towards the threshold");
}

#[test]
fn windows_hold_from_their_first_minute_to_before_their_last_and_wrap_past_midnight() {
    let day = UtcWindow { from_minute: 60, to_minute: 240 };
    let night = UtcWindow { from_minute: 23 * 60, to_minute: 60 };
    let table = [
        (day, 59, false),
        (day, 60, true),
        (day, 239, true),
        (day, 240, false),
        (night, 22 * 60 + 59, false),
        (night, 23 * 60, true),
        (night, 1_439, true),
        (night, 0, true),
        (night, 59, true),
        (night, 60, false),
        (night, 720, false),
    ];
    for (window, minute, inside) in table {
        assert_eq!(window.contains(minute), inside, "{window:?} at {minute}");
    }
    let card = RateCard {
        base: rates("input 2"),
        overrides: vec![RateOverride {
            above_input_tokens: None,
            window: Some(night),
            rates: rates("input 1"),
        }],
    };
    let day_us = 1_440 * MINUTE_US;
    assert_eq!(card.rates(0, Timestamp(20_000 * day_us + 60 * MINUTE_US - 1)), rates("input 1"));
    assert_eq!(card.rates(0, Timestamp(20_000 * day_us + 60 * MINUTE_US)), rates("input 2"));
}

#[test]
fn of_overrides_that_hold_the_last_wins_class_by_class() {
    let over = |text: &str| RateOverride {
        above_input_tokens: Some(10),
        window: None,
        rates: rates(text),
    };
    let card = RateCard {
        base: rates("input 1, output 1, reasoning 1"),
        overrides: vec![over("input 2, output 2"), over("output 3")],
    };
    assert_eq!(card.rates(11, Timestamp(0)), rates("input 2, output 3, reasoning 1"));
}

#[test]
fn an_override_holds_only_when_all_its_conditions_do() {
    let card = RateCard {
        base: rates("input 1"),
        overrides: vec![RateOverride {
            above_input_tokens: Some(10),
            window: Some(UtcWindow { from_minute: 0, to_minute: 1 }),
            rates: rates("input 9"),
        }],
    };
    let outside = Timestamp(MINUTE_US);
    assert_eq!(card.rates(11, Timestamp(0)), rates("input 9"));
    assert_eq!(card.rates(10, Timestamp(0)), rates("input 1"));
    assert_eq!(card.rates(11, outside), rates("input 1"));
}

#[test]
fn a_schedule_gives_the_card_of_the_day_and_none_before_the_first() {
    let card = |text: &str| RateCard { base: rates(text), overrides: Vec::new() };
    let schedule = Schedule(vec![
        DatedCard { from: at(10), card: card("input 1") },
        DatedCard { from: at(20), card: card("input 2") },
    ]);
    assert_eq!(schedule.at(at(9)), None);
    assert_eq!(schedule.at(at(10)), Some(&card("input 1")));
    assert_eq!(schedule.at(Timestamp(at(20).0 - 1)), Some(&card("input 1")));
    assert_eq!(schedule.at(at(20)), Some(&card("input 2")));
    assert_eq!(schedule.at(at(9_999)), Some(&card("input 2")));
}

#[test]
fn what_has_no_price_is_an_error_and_never_free() {
    let used = quantities(&[(TokenClass::WebSearch, 1)]);
    assert_eq!(cost(&rates("input 1"), &used), Err(CostError::Unpriced(TokenClass::WebSearch)));
    assert_eq!(
        cost(&Rates::NONE, &quantities(&[(TokenClass::CacheRead, 1)])),
        Err(CostError::Unpriced(TokenClass::CacheRead))
    );
    assert_eq!(cost(&Rates::NONE, &Quantities::NONE), Ok(Nano::ZERO));
    let by_parent = cost(&rates("input 1"), &quantities(&[(TokenClass::CacheRead, 1_000_000)]));
    assert_eq!(by_parent.unwrap().to_string(), "1.00");
}

#[test]
fn a_cost_beyond_all_amounts_is_an_error() {
    let used = quantities(&[(TokenClass::Input, u64::MAX), (TokenClass::Output, u64::MAX)]);
    assert_eq!(cost(&rates("input 1000000, output 1000000"), &used), Err(CostError::OutOfRange));
}

proptest! {
    #[test]
    fn lines_add_up_to_the_total_which_is_the_cost(rates in any_rates(), used in any_quantities()) {
        let bill = bill(&rates, &used).unwrap();
        let sum: i64 = bill.lines.iter().map(|line| line.amount.get()).sum();
        prop_assert_eq!(sum, bill.total.get());
        prop_assert_eq!(bill.total, cost(&rates, &used).unwrap());
        prop_assert_eq!(bill.lines.len(), used.nonzero().count());
        for line in &bill.lines {
            let exact = i128::from(line.unit.get()) * i128::from(line.quantity);
            let off = exact - i128::from(line.amount.get()) * 1_000_000;
            prop_assert!(off.abs() < 1_000_000, "{line:?} is off by a nano-unit or more");
        }
    }

    #[test]
    fn more_of_a_class_never_costs_less(
        rates in any_rates(),
        used in any_quantities(),
        class in prop::sample::select(TokenClass::ALL.to_vec()),
        more in 0..1_000_000_u64,
    ) {
        let larger = used.with(class, used.get(class) + more);
        prop_assert!(cost(&rates, &used).unwrap() <= cost(&rates, &larger).unwrap());
    }

    #[test]
    fn splitting_a_request_changes_its_cost_by_rounding_alone(
        rates in any_rates(),
        one in any_quantities(),
        other in any_quantities(),
    ) {
        let both = TokenClass::ALL
            .into_iter()
            .fold(Quantities::NONE, |sum, class| sum.with(class, one.get(class) + other.get(class)));
        let apart = cost(&rates, &one).unwrap().get() + cost(&rates, &other).unwrap().get();
        prop_assert!((cost(&rates, &both).unwrap().get() - apart).abs() <= 1);
    }

    #[test]
    fn no_input_within_the_bound_meets_a_dearer_rate_than_the_dearest(
        card in any_card(),
        bound in 0..400_000_u64,
        share in 0..=100_u64,
        minute in 0..1_440_u64,
    ) {
        let at = Timestamp(minute * MINUTE_US);
        let dearest = card.dearest(bound, at);
        for (class, rate) in card.rates(bound * share / 100, at).priced() {
            prop_assert!(dearest.get(class) >= Some(rate));
        }
    }
}
