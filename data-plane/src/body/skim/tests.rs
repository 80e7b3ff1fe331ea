//! It takes exactly what `serde_json` takes, and finds what that finds.

use super::{Cursor, Fault};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

fn passes(text: &str) -> bool {
    let mut cursor = Cursor::new(text, usize::MAX);
    cursor.value().is_ok() && cursor.end().is_ok()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// One to a line.
const STRUCTURES: &str = r#"
{
}
[
]
[]
{}
[[]]
[[]
[]]
[,]
[1,]
[1 2]
[1,,2]
 [ 1 , 2 ] 
{"a"}
{"a":}
{"a":1,}
{"a":1}
{,"a":1}
{"a":1 "b":2}
{a:1}
{1:1}
{"a":1]
[1}
{"":{}}
{"a":[{}],"b":""}
{} {}
[] ,
"a" "b"
'a'
/* */ 1
{"a\u0062":1}
true
tru
truee
True
false
null
nul
NaN
Infinity"#;

const NUMBERS: &str = "0 -0 00 01 - -a 1. .5 1.5 1e 1e+ 1e5 1E-5 1.e5 1e5.5 +1 1a 0x1 --1 1e400 -1.0E+10 12345678901234567890123";

const STRINGS: [&str; 17] = [
    r#"""#,
    r#""""#,
    r#""a"#,
    r#""\"#,
    r#""\""#,
    r#""\"""#,
    r#""\x""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\u1234""#,
    r#""\ud800""#,
    r#""\/\b\f\n\r\t\""#,
    "\"\n\"",
    "\"\t\"",
    "\"\u{1f}\"",
    "\"\u{7f}\"",
    "\"é\u{2028}\"",
];

#[test]
fn what_is_json_passes_and_nothing_else_does() {
    let others = ["", " ", "\u{feff}{}", "\u{a0}1", "[1]\u{0}", "1 ", "\r\n1\t"];
    let texts = STRUCTURES.lines().chain(NUMBERS.split(' ')).chain(STRINGS).chain(others);
    for text in texts {
        assert_eq!(passes(text), is_json(text), "{text:?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(Cursor::new(&nested(5), 5).value().map(str::len), Ok(10));
    assert_eq!(Cursor::new(&nested(6), 5).value(), Err(Fault::TooDeep));
    assert!(passes(&nested(100_000)));
}

#[test]
fn members_are_found_by_what_their_names_mean() {
    let rows = [
        (r#"{"a":1,"b":[2,{"a":3}]}"#, Some([Some("1"), Some(r#"[2,{"a":3}]"#)])),
        (r#"{ "b" : null , "x" : {"a":{}} }"#, Some([None, None])),
        (r#"{"\u0061":"\"}"}"#, Some([Some(r#""\"}""#), None])),
        (r#"{"a":1,"a":1}"#, None),
        (r"[1]", None),
        (r#""a""#, None),
    ];
    for (text, found) in rows {
        let mut cursor = Cursor::of_known(text);
        assert_eq!(cursor.members(["a", "b"]), Ok(found), "{text}");
        assert_eq!(cursor.end(), Ok(()), "{text}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec(("[a-c\"\\\\é]{0,3}", inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_json_passes_and_its_members_are_those_of_serde(value in json(), is_pretty in any::<bool>()) {
        let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = write(&value).unwrap();
        prop_assert!(passes(&text));
        let mut cursor = Cursor::of_known(&text);
        if cursor.enter_object() == Ok(true) {
            let mut found = Vec::new();
            while let Some(name) = cursor.name().unwrap() {
                found.push((name.to_string(), cursor.value().unwrap().to_owned()));
            }
            let expected: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
            let expected = expected.into_iter().map(|(name, value)| (name, value.get().to_owned()));
            found.sort();
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn json_with_a_few_bytes_changed_passes_if_serde_takes_it(
        value in json(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:\\\\ 0-9eE.+tfnu\n\u{1}x-]?"), 1..4),
    ) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        for (at, put) in changes {
            let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
            text.splice(at..(at + 1).min(text.len()), put.chars());
        }
        let text: String = text.into_iter().collect();
        prop_assert_eq!(passes(&text), is_json(&text), "{}", text);
    }
}
