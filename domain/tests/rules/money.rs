//! Amounts: written and read without loss, never wrapping, rounded in one way only.

use domain::money::{
    AmountOutOfRange, Currency, Money, NANO_LIMIT, Nano, ParseError, divide_half_away,
    parse_decimal,
};
use proptest::prelude::*;

fn nano(n: i64) -> Nano {
    Nano::new(n).expect("within range")
}

#[test]
fn amounts_are_written_with_two_to_nine_decimals() {
    let table = [
        (0, "0.00"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (10_000_000_000, "10.00"),
        (2_500_000_000, "2.50"),
        (-2_500_000_000, "-2.50"),
        (184_918_125, "0.184918125"),
        (664_800, "0.0006648"),
        (NANO_LIMIT, "4000000000.00"),
        (-NANO_LIMIT, "-4000000000.00"),
    ];
    for (amount, text) in table {
        assert_eq!(nano(amount).to_string(), text);
    }
}

#[test]
fn decimals_are_read_exactly_or_refused() {
    let table = [
        ("2.5", 9, Some(2_500_000_000)),
        ("0", 9, Some(0)),
        ("-0.000000001", 9, Some(-1)),
        ("007", 0, Some(7)),
        ("15.5", 4, Some(155_000)),
        ("7.1234567891", 10, Some(71_234_567_891)),
        ("0.0000000001", 9, None),
        ("1.", 9, None),
        (".5", 9, None),
        ("", 9, None),
        ("-", 9, None),
        ("+1", 9, None),
        ("1e3", 9, None),
        ("1,000", 9, None),
        ("1 ", 9, None),
        ("--1", 9, None),
        ("1.2.3", 9, None),
        ("１", 9, None),
        ("NaN", 9, None),
        ("1.5", 0, None),
        ("99999999999999999999999999999999999999999999", 0, None),
        ("340282366920938463463374607431768211455", 9, None),
    ];
    for (text, decimals, value) in table {
        assert_eq!(parse_decimal(text, decimals).ok(), value, "{text:?} with {decimals} decimals");
    }
}

#[test]
fn amounts_are_read_with_their_currency_or_refused_by_name() {
    let money = Money::parse("10.00 USD").unwrap();
    assert_eq!((money.amount, money.currency.as_str()), (nano(10_000_000_000), "USD"));
    assert_eq!(money.to_string(), "10.00 USD");
    assert_eq!(Money::parse("-0.5 TWD").unwrap().amount, nano(-500_000_000));

    assert_eq!(Money::parse("10.00"), Err(ParseError::Amount("10.00".to_owned())));
    assert_eq!(Money::parse("10 usd"), Err(ParseError::Currency("usd".to_owned())));
    assert_eq!(Money::parse("10 US"), Err(ParseError::Currency("US".to_owned())));
    assert_eq!(Money::parse("10 ÜSD"), Err(ParseError::Currency("ÜSD".to_owned())));
    let beyond = "4000000000.000000001 USD".to_owned();
    assert_eq!(Money::parse(&beyond), Err(ParseError::Range(beyond)));
    assert!(matches!(Money::parse("ten USD"), Err(ParseError::Decimal { decimals: 9, .. })));
    assert!(Money::parse("1.0000000001 USD").is_err());
}

#[test]
fn currencies_are_three_capital_letters() {
    for (text, good) in
        [("USD", true), ("usd", false), ("US", false), ("USDT", false), ("U1D", false), ("", false)]
    {
        assert_eq!(Currency::parse(text).is_ok(), good, "{text:?}");
    }
}

#[test]
fn amounts_never_wrap_around() {
    assert_eq!(Nano::new(NANO_LIMIT + 1), Err(AmountOutOfRange));
    assert_eq!(Nano::new(-NANO_LIMIT - 1), Err(AmountOutOfRange));
    assert_eq!(Nano::MAX.plus(nano(1)), Err(AmountOutOfRange));
    assert_eq!(nano(-NANO_LIMIT).minus(nano(1)), Err(AmountOutOfRange));
    assert_eq!(nano(-NANO_LIMIT).minus(Nano::MAX), Err(AmountOutOfRange));
    assert_eq!(Nano::MAX.saturating_plus(Nano::MAX), Nano::MAX);
    assert_eq!(nano(-NANO_LIMIT).saturating_minus(Nano::MAX), nano(-NANO_LIMIT));
    assert_eq!(Nano::saturating(i128::MAX), Nano::MAX);
    assert_eq!(Nano::saturating(i128::MIN), nano(-NANO_LIMIT));
}

#[test]
fn halves_are_rounded_away_from_zero() {
    let table = [
        (5, 10, Some(1)),
        (-5, 10, Some(-1)),
        (4, 10, Some(0)),
        (-4, 10, Some(0)),
        (15, 10, Some(2)),
        (-15, 10, Some(-2)),
        (1, 2, Some(1)),
        (1, 3, Some(0)),
        (2, 3, Some(1)),
        (0, 7, Some(0)),
        (1, 0, None),
        (1, -2, None),
    ];
    for (dividend, divisor, quotient) in table {
        assert_eq!(divide_half_away(dividend, divisor), quotient, "{dividend} / {divisor}");
    }
}

proptest! {
    #[test]
    fn every_amount_survives_being_written_and_read(n in -NANO_LIMIT..=NANO_LIMIT) {
        let money = Money { amount: nano(n), currency: Currency::parse("SGD").unwrap() };
        prop_assert_eq!(Money::parse(&money.to_string()), Ok(money));
    }

    #[test]
    fn what_is_added_can_be_taken_away(
        a in -NANO_LIMIT / 2..=NANO_LIMIT / 2,
        b in -NANO_LIMIT / 2..=NANO_LIMIT / 2,
    ) {
        let sum = nano(a).plus(nano(b)).unwrap();
        prop_assert_eq!(sum.minus(nano(b)), Ok(nano(a)));
        prop_assert_eq!(nano(a).saturating_plus(nano(b)), sum);
    }

    #[test]
    fn rounding_is_nearest_and_symmetric(n in any::<i64>(), d in 1..1_000_000_000_i64) {
        let (n, d) = (i128::from(n), i128::from(d));
        let q = divide_half_away(n, d).unwrap();
        prop_assert!((n - q * d).abs() * 2 <= d);
        prop_assert!(q.abs() * d * 2 + d > n.abs() * 2, "a half goes away from zero");
        prop_assert_eq!(divide_half_away(-n, d), Some(-q));
    }

    #[test]
    fn no_text_makes_reading_money_panic(text in "\\PC{0,40}") {
        drop(Money::parse(&text));
        drop(parse_decimal(&text, 9));
    }
}
