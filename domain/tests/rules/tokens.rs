//! Token classes are disjoint and complete: each belongs to one side, and sides add up.

use domain::tokens::{CLASSES, Metered, Provenance, Quantities, TokenClass};
use proptest::prelude::*;

const COUNTED: [TokenClass; 2] = [TokenClass::Request, TokenClass::WebSearch];

#[test]
fn every_class_belongs_to_exactly_one_side() {
    let mut sides = [TokenClass::INPUT.as_slice(), &TokenClass::OUTPUT, &COUNTED].concat();
    sides.sort_unstable();
    assert_eq!(sides, TokenClass::ALL);
}

#[test]
fn names_and_indices_are_unique_and_lead_back() {
    for (index, class) in TokenClass::ALL.into_iter().enumerate() {
        assert_eq!(class.index(), index);
        assert_eq!(TokenClass::parse(class.name()), Some(class));
    }
    assert_eq!(TokenClass::parse("Input"), None);
    assert_eq!(TokenClass::parse(""), None);
}

#[test]
fn a_class_is_charged_on_its_own_side_when_it_has_no_price() {
    for class in TokenClass::INPUT {
        assert_eq!(class.parent(), TokenClass::Input);
    }
    for class in TokenClass::OUTPUT {
        assert_eq!(class.parent(), TokenClass::Output);
    }
    for class in COUNTED {
        assert_eq!(class.parent(), class, "a counted item is not charged as tokens");
    }
}

#[test]
fn each_side_tells_where_its_numbers_came_from() {
    let metered = Metered {
        quantities: Quantities::NONE,
        input: Provenance::Reported,
        output: Provenance::Counted,
    };
    assert_eq!(metered.provenance(TokenClass::CacheRead), Provenance::Reported);
    assert_eq!(metered.provenance(TokenClass::Request), Provenance::Reported);
    assert_eq!(metered.provenance(TokenClass::Reasoning), Provenance::Counted);
}

proptest! {
    #[test]
    fn sides_add_up(counts in prop::array::uniform12(0..1_000_000_u64)) {
        let mut quantities = Quantities::NONE;
        for (class, count) in TokenClass::ALL.into_iter().zip(counts) {
            quantities.set(class, count);
        }
        let counted: u64 = COUNTED.into_iter().map(|class| quantities.get(class)).sum();
        let all: u64 = counts.iter().sum();
        prop_assert_eq!(CLASSES, counts.len());
        prop_assert_eq!(quantities.input_total() + quantities.output_total() + counted, all);
        prop_assert_eq!(quantities.nonzero().map(|(_, n)| n).sum::<u64>(), all);
    }
}

#[test]
fn absurd_counts_do_not_wrap_around() {
    let absurd = Quantities::NONE.with(TokenClass::Input, u64::MAX).with(TokenClass::CacheRead, 9);
    assert_eq!(absurd.input_total(), u64::MAX);
}
