//! Holds: an upper bound of what a request can cost, and what a short wallet affords.

use crate::sample::{any_card, rates};
use domain::config::Modality;
use domain::hold::{ModelBounds, RequestSize, TokenPrices, input_tokens_max, may_apply};
use domain::money::{NANO_LIMIT, Nano};
use domain::price::cost;
use domain::time::{MINUTE_US, Timestamp};
use domain::tokens::{Quantities, TokenClass};
use proptest::prelude::*;

fn nano(n: i64) -> Nano {
    Nano::new(n).expect("within range")
}

#[test]
fn input_is_bounded_by_bytes_media_and_context() {
    let bounds =
        ModelBounds { context_length: 10_000, image_tokens_max: 1_500, audio_tokens_max: 400 };
    let text = RequestSize { text_bytes: 800, ..RequestSize::default() };
    let table = [
        (text, 800),
        (RequestSize { images: 2, ..text }, 3_800),
        (RequestSize { audios: 3, ..text }, 2_000),
        (RequestSize { images: 1, audios: 1, ..text }, 2_700),
        (RequestSize { images: 50, ..text }, 10_000),
        (RequestSize { text_bytes: u64::MAX, images: u64::MAX, ..text }, 10_000),
        (RequestSize { open_ended: true, ..text }, 10_000),
        (RequestSize { tokens: 300, ..text }, 1_100),
        (RequestSize { prompts: 3, tokens: 40_000, ..text }, 30_000),
        (RequestSize { prompts: 3, open_ended: true, ..text }, 30_000),
    ];
    for (size, tokens) in table {
        assert_eq!(input_tokens_max(size, bounds), tokens, "{size:?}");
    }
}

#[test]
fn a_bound_is_rounded_up_and_takes_the_dearest_class_of_each_side() {
    let prices = TokenPrices::of(&rates(
        "input 1, cache_write_1h 2, output 3, reasoning 4, request 0.000001",
    ));
    assert_eq!(prices.cost(1_000_000, 1_000_000).unwrap().to_string(), "6.000000001");
    assert_eq!(
        prices.cost(0, 0).unwrap(),
        nano(1),
        "a millionth of a nano-unit still has to be held"
    );
    assert_eq!(prices.cost(u64::MAX, u64::MAX), None);
}

#[test]
fn media_are_billed_only_where_they_are_sent_or_made() {
    let text = RequestSize { text_bytes: 9, ..RequestSize::default() };
    let images = RequestSize { images: 1, ..text };
    let audios = RequestSize { audios: 1, ..text };
    let open = RequestSize { open_ended: true, ..text };
    let table = [
        (TokenClass::ImageIn, [text, audios], [images, open]),
        (TokenClass::AudioIn, [text, images], [audios, open]),
    ];
    for (class, never, perhaps) in table {
        assert!(never.into_iter().all(|size| !may_apply(class, size, &Modality::ALL)), "{class}");
        assert!(perhaps.into_iter().all(|size| may_apply(class, size, &[])), "{class}");
    }
    assert!(may_apply(TokenClass::ImageOut, text, &[Modality::Image]));
    assert!(!may_apply(TokenClass::ImageOut, open, &[Modality::Text, Modality::Audio]));
    assert!(may_apply(TokenClass::AudioOut, text, &[Modality::Audio]));
    assert!(!may_apply(TokenClass::AudioOut, open, &[Modality::Text, Modality::Image]));
    assert!(
        may_apply(TokenClass::Reasoning, text, &[])
            && may_apply(TokenClass::CacheWrite1h, text, &[])
    );
}

#[test]
fn searches_are_held_where_the_request_may_make_any() {
    let rates = rates("input 1, output 1, request 0.5, web_search 10");
    let size = |searches| RequestSize { searches, ..RequestSize::default() };
    assert!(!may_apply(TokenClass::WebSearch, size(0), &[]));
    assert!(may_apply(TokenClass::WebSearch, size(1), &[]));
    let hold = |searches| TokenPrices::of(&rates).with_searches(&rates, searches).cost(0, 0);
    assert_eq!(hold(0), Some(nano(500)));
    assert_eq!(hold(3), Some(nano(30_500)));
}

#[test]
fn of_several_routes_the_dearest_of_each_side_is_held() {
    let one = TokenPrices::of(&rates("input 5, output 1, request 1"));
    let other = TokenPrices::of(&rates("input 1, output 9, request 0.5"));
    let either = TokenPrices::of(&rates("input 5, output 9, request 1"));
    assert_eq!(one.or_dearer(other), either);
    assert_eq!(other.or_dearer(one), either);
    assert_eq!(either.output_cost(1_000_000).unwrap().to_string(), "9.00", "without the request");
}

#[test]
fn output_that_costs_nothing_is_always_affordable() {
    let prices = TokenPrices::of(&rates("input 1, output 0"));
    assert_eq!(prices.affordable_output(5, nano(5_000)), Some(u64::MAX));
    assert_eq!(prices.affordable_output(5, nano(4_999)), None);
    let nearly_free = TokenPrices::of(&rates("input 0, output 0.000000001"));
    assert_eq!(
        nearly_free.affordable_output(0, Nano::MAX),
        Some(u64::MAX),
        "more than can be counted"
    );
}

#[test]
fn a_short_wallet_keeps_three_quarters_while_a_comfortable_answer_fits() {
    let prices = TokenPrices::of(&rates("input 1, output 1")); // 1 000 nano-units a token
    let table = [
        // input, asked, free, put into the request
        (100, 10_000, 356_000 * 4, 356_000),
        (100, 10_000, 356_000 * 4 - 4, 356_000 * 4 - 4),
        (100, 10, 110_000 * 4, 110_000),
        (100, 10_000, 5_000, 5_000),
        (0, 0, 0, 0),
    ];
    for (input, asked, free, put) in table {
        assert_eq!(prices.affordable_money(input, asked, nano(free)), nano(put), "{free} free");
    }
}

proptest! {
    /// What the whole escrow stands on: a request within its bounds never costs more than its hold.
    #[test]
    fn no_usage_within_the_bounds_costs_more_than_the_hold(
        card in any_card(),
        shares in prop::array::uniform10(0..20_000_u64),
        spare in (0..50_000_u64, 0..50_000_u64),
        minute in 0..1_440_u64,
    ) {
        let at = Timestamp(minute * MINUTE_US);
        let classes = TokenClass::INPUT.into_iter().chain(TokenClass::OUTPUT);
        let used = classes
            .zip(shares)
            .fold(Quantities::NONE, |sum, (class, n)| sum.with(class, n))
            .with(TokenClass::Request, 1);
        let (input_max, output_max) = (used.input_total() + spare.0, used.output_total() + spare.1);
        let hold = TokenPrices::of(&card.dearest(input_max, at)).cost(input_max, output_max).unwrap();
        let charge = cost(&card.rates(used.input_total(), at), &used).unwrap();
        prop_assert!(charge <= hold, "charge {charge} hold {hold}");
    }

    #[test]
    fn leaving_out_what_cannot_apply_still_bounds_what_does(
        card in any_card(),
        shares in prop::array::uniform10(0..20_000_u64),
        images in 0..2_u64,
        audios in 0..2_u64,
        outputs in prop::sample::subsequence(Modality::ALL.to_vec(), 0..3),
    ) {
        let size = RequestSize { images, audios, ..RequestSize::default() };
        let applies = |class: TokenClass| may_apply(class, size, &outputs);
        let classes = TokenClass::INPUT.into_iter().chain(TokenClass::OUTPUT).zip(shares);
        let used = classes
            .filter(|(class, _)| applies(*class))
            .fold(Quantities::NONE, |sum, (class, n)| sum.with(class, n));
        let dearest = card.dearest(used.input_total(), Timestamp(0)).only(applies);
        let hold = TokenPrices::of(&dearest).cost(used.input_total(), used.output_total()).unwrap();
        prop_assert!(cost(&card.rates(used.input_total(), Timestamp(0)), &used).unwrap() <= hold);
    }

    #[test]
    fn affordable_output_is_all_that_the_money_pays_for(
        card in any_card(),
        input in 0..300_000_u64,
        money in 0..NANO_LIMIT / 1_000,
    ) {
        let prices = TokenPrices::of(&card.base);
        let money = nano(money);
        match prices.affordable_output(input, money) {
            Some(u64::MAX) => prop_assert!(prices.cost(input, 1 << 40).unwrap() <= money),
            Some(tokens) => {
                prop_assert!(prices.cost(input, tokens).unwrap() <= money);
                prop_assert!(prices.cost(input, tokens + 1).unwrap() >= money);
            }
            None => prop_assert!(prices.cost(input, 1).unwrap() >= money),
        }
    }

    #[test]
    fn what_is_put_into_a_request_is_never_more_than_is_free(
        card in any_card(),
        input in 0..100_000_u64,
        output in 0..100_000_u64,
        free in 0..NANO_LIMIT,
    ) {
        let put = TokenPrices::of(&card.base).affordable_money(input, output, nano(free));
        prop_assert!(put <= nano(free));
        prop_assert!(put == nano(free) || (i128::from(put.get()) * 4 - i128::from(free)).abs() <= 2);
    }
}
