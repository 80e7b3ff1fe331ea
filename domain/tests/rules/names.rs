//! Names and the globs that match them.

use domain::name::{self, Glob};
use proptest::prelude::*;

#[test]
fn names_are_what_can_be_typed_and_put_into_a_path() {
    let good = ["a", "0", "openai/gpt-5.2", "sk-tp", "a_b.c-d/e", "meta-llama/llama-3.1-70b"];
    let bad = [
        "", "-a", "a-", "/a", "a/", "a//b", "A", "a b", "ä", "a:free", "a*", ".", "a\n", "a\u{0}b",
    ];
    for text in good {
        assert!(name::check(text).is_ok(), "{text:?}");
    }
    for text in bad {
        assert_eq!(name::check(text).unwrap_err().0, text);
    }
    assert!(name::check(&"a".repeat(128)).is_ok());
    assert!(name::check(&"a".repeat(129)).is_err());
}

#[test]
fn a_data_plane_is_named_like_a_host() {
    for text in ["a", "sg-1", "7", &"a".repeat(63)] {
        assert!(name::check_data_plane(text).is_ok(), "{text:?}");
    }
    for text in ["", "A", "a.b", "a/b", "a_b", "a b", "a\0", "ä", &"a".repeat(64)] {
        assert!(name::check_data_plane(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_people_cannot_see_is_no_part_of_an_id() {
    for text in ["", "req-1", "chatcmpl 7: \u{e9}", "\u{10ffff}"] {
        assert!(name::is_printable(text), "{text:?}");
    }
    for text in ["\0", "a\0b", "a\n", "\u{7f}", "\u{85}"] {
        assert!(!name::is_printable(text), "{text:?}");
    }
}

#[test]
fn globs_match_whole_names() {
    let table = [
        ("*", "openai/gpt-5", true),
        ("*", "", true),
        ("openai/*", "openai/gpt-5", true),
        ("openai/*", "openai/", true),
        ("openai/*", "xopenai/gpt-5", false),
        ("*/gpt-5", "openai/gpt-5", true),
        ("*/gpt-5", "openai/gpt-5-mini", false),
        ("openai/*-mini", "openai/gpt-5-mini", true),
        ("*a*a*", "aa", true),
        ("*a*a*", "a", false),
        ("ab*ba", "aba", false),
        ("ab*ba", "abba", true),
        ("openai/gpt-5", "openai/gpt-5", true),
        ("openai/gpt-5", "openai/gpt-5.2", false),
        ("", "", true),
        ("", "a", false),
        ("**", "anything", true),
    ];
    for (glob, text, matches) in table {
        assert_eq!(Glob(glob.to_owned()).matches(text), matches, "{glob:?} on {text:?}");
    }
}

#[test]
fn a_name_is_narrower_than_a_glob_with_as_many_letters() {
    let narrowness = |glob: &str| Glob(glob.to_owned()).specificity();
    let ascending = ["*", "o*", "openai/*", "openai/gpt-5*", "openai/gpt-5", "openai/gpt-5-*"];
    assert!(ascending.is_sorted_by(|wide, narrow| narrowness(wide) < narrowness(narrow)));
}

#[test]
fn globs_have_only_what_names_can_have() {
    for (glob, good) in
        [("*", true), ("a/b*", true), ("", false), ("A*", false), ("a?", false), ("a b", false)]
    {
        assert_eq!(Glob(glob.to_owned()).check().is_ok(), good, "{glob:?}");
    }
}

/// The obvious, slow definition.
fn matches_slowly(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], rest) => rest.is_empty(),
        ([b'*', glob_rest @ ..], _) => {
            (0..=text.len()).any(|skipped| matches_slowly(glob_rest, &text[skipped..]))
        }
        ([g, glob_rest @ ..], [t, text_rest @ ..]) => {
            g == t && matches_slowly(glob_rest, text_rest)
        }
        ([_, ..], []) => false,
    }
}

proptest! {
    #[test]
    fn globs_match_as_their_definition_does(glob in "[ab*]{0,6}", text in "[ab]{0,8}") {
        let expected = matches_slowly(glob.as_bytes(), text.as_bytes());
        prop_assert_eq!(Glob(glob).matches(&text), expected);
    }
}
