//! Where requests may go: parties only narrow, and nothing allows nothing.

use domain::jurisdiction::{Allowed, Jurisdiction, all_permit};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).expect("a code")
}

fn only(codes: &[&str]) -> Allowed {
    Allowed::Only(codes.iter().map(|code| place(code)).collect())
}

#[test]
fn codes_are_two_capital_letters() {
    for (text, good) in [
        ("SG", true),
        ("sg", false),
        ("SGP", false),
        ("S", false),
        ("", false),
        ("S1", false),
        ("Ü", false),
    ] {
        assert_eq!(Jurisdiction::parse(text).is_ok(), good, "{text:?}");
    }
}

#[test]
fn an_empty_list_restricts_nothing_and_an_empty_set_allows_nothing() {
    assert_eq!(Allowed::parse(&[]), Ok(Allowed::Any));
    assert!(Allowed::Any.permits(place("CN")));
    assert!(!only(&[]).permits(place("CN")));
    assert!(only(&[]).is_nowhere() && !Allowed::Any.is_nowhere() && !only(&["SG"]).is_nowhere());
}

#[test]
fn one_bad_code_spoils_the_whole_list() {
    let list = ["SG".to_owned(), "Singapore".to_owned()];
    assert_eq!(Allowed::parse(&list).unwrap_err().0, "Singapore");
}

#[test]
fn what_goes_beyond_the_outer_party_is_named() {
    assert_eq!(only(&["SG", "CN", "US"]).beyond(&only(&["SG"])), [place("CN"), place("US")]);
    assert!(only(&["SG"]).beyond(&Allowed::Any).is_empty());
    assert!(Allowed::Any.beyond(&only(&["SG"])).is_empty());
}

fn allowed() -> impl Strategy<Value = Allowed> {
    let places = prop::collection::btree_set(prop::sample::select(vec!["CN", "SG", "US"]), 0..3);
    prop_oneof![
        Just(Allowed::Any),
        places.prop_map(|codes: BTreeSet<&str>| Allowed::Only(
            codes.into_iter().map(place).collect()
        )),
    ]
}

proptest! {
    #[test]
    fn another_party_never_opens_a_place(parties in prop::collection::vec(allowed(), 0..4), last in allowed()) {
        for code in ["CN", "SG", "US", "TW"] {
            let before = all_permit(&parties, place(code));
            let after = all_permit(parties.iter().chain([&last]), place(code));
            prop_assert_eq!(after, before && last.permits(place(code)));
        }
    }

    #[test]
    fn what_people_write_is_read_as_they_meant_it(list in prop::collection::btree_set("[A-Z]{2}", 0..5)) {
        let list: Vec<String> = list.into_iter().collect();
        prop_assert_eq!(Allowed::parse(&list).unwrap().to_list(), list);
    }
}
