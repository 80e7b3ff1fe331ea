//! Usage lines: what was metered survives, with its provenance and its unit price.

use domain::money::Nano;
use domain::price::Rates;
use domain::tokens::{Metered, Provenance, Quantities, TokenClass};
use domain::usage::Outcome;
use proto::convert::usage::{lines, metered, outcome, provenance};
use proto::usage::v1;

fn sample() -> Metered {
    Metered {
        quantities: Quantities::NONE
            .with(TokenClass::Input, 10)
            .with(TokenClass::CacheRead, 20)
            .with(TokenClass::Reasoning, u64::MAX),
        input: Provenance::Counted,
        output: Provenance::Estimated,
    }
}

fn line(class: &str, provenance: v1::Provenance) -> v1::Line {
    v1::Line {
        class: class.to_owned(),
        quantity: 1,
        provenance: provenance.into(),
        unit_nano_per_million: 0,
    }
}

#[test]
fn what_was_metered_survives() {
    let lines = lines(&sample(), &Rates::NONE);
    assert_eq!(lines.len(), 3, "one line for each class of which there was any");
    assert_eq!(metered(&lines), Ok(sample()));
    assert_eq!(metered(&[]), Ok(Metered::default()));
}

#[test]
fn each_line_has_the_price_that_applied_to_its_class() {
    let rates = Rates::NONE
        .with(TokenClass::Input, Nano::saturating(5))
        .with(TokenClass::CacheRead, Nano::saturating(1))
        .with(TokenClass::Output, Nano::saturating(9));
    let lines = lines(&sample(), &rates);
    let units: Vec<(&str, i64)> =
        lines.iter().map(|line| (line.class.as_str(), line.unit_nano_per_million)).collect();
    assert_eq!(units, [("input", 5), ("cache_read", 1), ("reasoning", 9)]);
}

#[test]
fn a_side_is_as_certain_as_its_least_certain_line() {
    let mixed = [
        line("input", v1::Provenance::Reported),
        line("cache_read", v1::Provenance::Counted),
        line("output", v1::Provenance::Estimated),
        line("reasoning", v1::Provenance::Reported),
    ];
    let metered = metered(&mixed).unwrap();
    assert_eq!((metered.input, metered.output), (Provenance::Counted, Provenance::Estimated));
}

#[test]
fn lines_that_make_no_sense_are_refused() {
    let table = [
        (vec![line("smell", v1::Provenance::Reported)], "class"),
        (vec![line("input", v1::Provenance::Reported); 2], "class"),
        (vec![line("input", v1::Provenance::Unspecified)], "provenance"),
        (
            vec![v1::Line { provenance: 77, ..line("input", v1::Provenance::Reported) }],
            "provenance",
        ),
    ];
    for (lines, field) in table {
        assert_eq!(metered(&lines).unwrap_err().field, field, "{lines:?}");
    }
}

#[test]
fn outcomes_and_provenances_lead_back_and_unknown_ones_are_refused() {
    for known in Outcome::ALL {
        assert_eq!(outcome(v1::Outcome::from(known).into()), Ok(known));
    }
    for known in [Provenance::Reported, Provenance::Counted, Provenance::Estimated] {
        assert_eq!(provenance(v1::Provenance::from(known).into()), Ok(known));
    }
    for unknown in [0, -1, 99] {
        assert_eq!(outcome(unknown).unwrap_err().field, "outcome");
        assert_eq!(provenance(unknown).unwrap_err().field, "provenance");
    }
}
