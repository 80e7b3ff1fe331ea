//! What chunks tell, and how their usage is taken out.

use super::{find_usage, read};
use crate::dialect::openai::{with_cost, without_usage};
use crate::transcript::Transcript;
use bytes::Bytes;
use domain::money::Nano;

#[test]
fn words_ends_and_usage_are_heard() {
    let mut transcript = Transcript::default();
    let text = r#"{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"hé","reasoning_content":"ab",
        "tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let facts = read(text, &mut transcript).unwrap();
    assert_eq!(facts.id.as_deref(), Some("c1"));
    assert_eq!(facts.finish_reason.as_deref(), Some("stop"));
    assert_eq!(facts.usage.unwrap().quantities.input_total(), 3);
    assert!(!facts.is_error && !facts.is_bare);
    assert_eq!(transcript.bytes(), 3 + 2 + 1 + 2);
}

#[test]
fn a_chunk_that_is_no_json_is_malformed_and_one_of_another_shape_is_opaque() {
    let mut transcript = Transcript::default();
    assert!(read(r#"{"id": broken"#, &mut transcript).is_err());
    let odd = r#"{"choices":[{"delta":{"content":[{"type":"text"}]}}]}"#;
    let facts = read(odd, &mut transcript).unwrap();
    assert_eq!(facts.opaque_bytes, odd.len() as u64);
}

#[test]
fn an_error_counts_unless_it_is_null() {
    let mut transcript = Transcript::default();
    assert!(read(r#"{"error":{"message":"x"}}"#, &mut transcript).unwrap().is_error);
    assert!(!read(r#"{"error":null,"choices":[]}"#, &mut transcript).unwrap().is_error);
}

#[test]
fn an_undelivered_event_is_taken_back() {
    let mut transcript = Transcript::default();
    transcript.begin_event();
    read(r#"{"choices":[{"delta":{"content":"one"}}]}"#, &mut transcript).unwrap();
    transcript.begin_event();
    read(
        r#"{"choices":[{"delta":{"content":" two"}},{"index":1,"delta":{"content":"x"}}]}"#,
        &mut transcript,
    )
    .unwrap();
    transcript.forget_event();
    assert_eq!(transcript.bytes(), 3);
}

#[test]
fn usage_is_taken_out_with_its_comma_and_nothing_else() {
    let table = [
        (r#"{"id":"a","usage":null,"x":1}"#, r#"{"id":"a","x":1}"#),
        (r#"{"id":"a", "usage" : {"a":[1,2]} }"#, r#"{"id":"a" }"#),
        (r#"{"usage":null, "x":1}"#, r#"{ "x":1}"#),
        (r#"{"usage":{}}"#, "{}"),
    ];
    for (given, expected) in table {
        let place = find_usage(given).unwrap();
        let left = without_usage(&Bytes::from(given), place.member);
        assert_eq!(left, expected, "{given}");
    }
    assert_eq!(find_usage(r#"{"choices":[{"text":"\"usage\": null"}]}"#), None);
}

#[test]
fn the_word_usage_in_an_answer_is_no_usage() {
    let said = r#"{"choices":[{"delta":{"content":"usage"},"finish_reason":null}]}"#;
    assert_eq!(find_usage(said), None);
    let given = r#"{"usage":null,"choices":[{"delta":{"content":"usage"},"finish_reason":null}]}"#;
    let left = without_usage(&Bytes::from(given), find_usage(given).unwrap().member);
    assert_eq!(left, said);
}

#[test]
fn a_chunk_of_another_shape_still_tells_its_id_its_usage_and_its_error() {
    let mut transcript = Transcript::default();
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
    let odd = format!(
        r#"{{"id":"c1","choices":[{{"delta":{{"content":[{{"type":"text"}}]}}}}],{usage}}}"#
    );
    let facts = read(&odd, &mut transcript).unwrap();
    assert_eq!(facts.id.as_deref(), Some("c1"));
    assert_eq!(facts.usage.unwrap().quantities.input_total(), 3);
    assert!(!facts.is_error);
    assert!(read(r#"{"id":7,"error":"overloaded"}"#, &mut transcript).unwrap().is_error);
}

#[test]
fn a_cost_is_the_first_member_of_usage() {
    let given = Bytes::from(r#"{"usage":{"prompt_tokens":1}}"#);
    let place = find_usage(std::str::from_utf8(&given).unwrap()).unwrap();
    let priced = with_cost(&given, place.value.start, Nano::new(1_500_000).unwrap());
    assert_eq!(priced, r#"{"usage":{"cost":0.0015,"prompt_tokens":1}}"#);
}
