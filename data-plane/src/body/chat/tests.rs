//! What is read of a request, what is refused, and that only what must change does.

use super::ChatRequest;
use crate::dialect::openai::{Changes, request_body};
use crate::settings::Limits;
use bytes::Bytes;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn parse(text: &str) -> Result<ChatRequest, String> {
    let parsed = ChatRequest::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default());
    parsed.map_err(|error| String::from_utf8(error.body("r").to_vec()).unwrap())
}

fn sent(text: &str, output_bound: Option<u64>) -> String {
    let request = parse(text).unwrap();
    let body = request_body(&request, &Changes { model: "up", output_bound }).join();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn a_request_that_cannot_be_served_names_its_field() {
    let deep = format!(r#"{{"model":"m","x":{}1{},{MESSAGES}}}"#, "[".repeat(200), "]".repeat(200));
    let table = [
        ("", "body"),
        ("[]", "body"),
        ("{", "body"),
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":7,"messages":[{}]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","stream":"true","messages":[{}]}"#, "stream"),
        (r#"{"model":"m","max_tokens":0,"messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":1.5,"messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":"10","messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","max_completion_tokens":-1,"messages":[{}]}"#, "max_completion_tokens"),
        (r#"{"model":"m","n":1000000,"messages":[{}]}"#, "`n`"),
        (r#"{"model":"m","stream_options":[],"messages":[{}]}"#, "stream_options"),
        (r#"{"model":"m","model":"n","messages":[{}]}"#, "twice"),
        (r#"{"mod\u0065l":"m","model":"n","messages":[{}]}"#, "twice"),
        (r#"{"model":"m","Model":"n","messages":[{}]}"#, "must be written `model`"),
        (&deep, "nested deeper"),
    ];
    for (text, named) in table {
        let error = parse(text).expect_err(text);
        assert!(error.contains(named), "{text} gave {error}");
    }
}

#[test]
fn nothing_changes_but_the_model_and_include_usage() {
    let odd = r#""x":[1.0,1e2,123456789012345678901234567890,"\u00e9\n"],  "x" : null , "y":{"model":"no"}"#;
    let table = [
        (
            format!("{{ \"model\" : \"m\"\r\n,{odd},{MESSAGES}}}"),
            format!("{{ \"model\" : \"up\"\r\n,{odd},{MESSAGES}}}"),
        ),
        (
            format!(r#"{{"model":"m","stream":true,{odd},{MESSAGES}}}"#),
            format!(
                r#"{{"stream_options":{{"include_usage":true}},"model":"up","stream":true,{odd},{MESSAGES}}}"#
            ),
        ),
        (
            format!(r#"{{"model":"m","stream":true,"stream_options":null,{MESSAGES}}}"#),
            format!(
                r#"{{"model":"up","stream":true,"stream_options":{{"include_usage":true}},{MESSAGES}}}"#
            ),
        ),
        (
            format!(r#"{{"model":"m","stream":true,"stream_options":{{ }},{MESSAGES}}}"#),
            format!(
                r#"{{"model":"up","stream":true,"stream_options":{{"include_usage":true }},{MESSAGES}}}"#
            ),
        ),
        (
            format!(r#"{{"model":"m","stream":true,"stream_options":{{"a":1}},{MESSAGES}}}"#),
            format!(
                r#"{{"model":"up","stream":true,"stream_options":{{"include_usage":true,"a":1}},{MESSAGES}}}"#
            ),
        ),
        (
            format!(
                r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":false}},{MESSAGES}}}"#
            ),
            format!(
                r#"{{"model":"up","stream":true,"stream_options":{{"include_usage":true}},{MESSAGES}}}"#
            ),
        ),
    ];
    for (given, expected) in table {
        assert_eq!(sent(&given, None), expected);
    }
}

#[test]
fn an_output_bound_stands_under_the_name_the_client_used() {
    let table = [
        (
            format!(r#"{{"model":"m",{MESSAGES}}}"#),
            format!(r#"{{"max_completion_tokens":9,"model":"up",{MESSAGES}}}"#),
        ),
        (
            format!(r#"{{"model":"m","max_tokens":100,{MESSAGES}}}"#),
            format!(r#"{{"model":"up","max_tokens":9,{MESSAGES}}}"#),
        ),
    ];
    for (given, expected) in table {
        assert_eq!(sent(&given, Some(9)), expected);
    }
}

#[test]
fn media_count_as_parts_and_not_as_the_bytes_that_carry_them() {
    let image = "A".repeat(100_000);
    let text = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"hi"}},
        {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
    );
    let size = parse(&text).unwrap().size;
    assert_eq!((size.images, size.open_ended), (1, false));
    assert!(size.text_bytes < 300, "{}", size.text_bytes);
}

#[test]
fn what_the_body_does_not_tell_counts_as_open_ended() {
    let file = r#"{"model":"m","messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]}"#;
    let disguised = r#"{"model":"m","messages":[{"content":[{"type":"text","text":"x","image_url":{"url":"y"}}]}]}"#;
    let search = r#"{"model":"m","web_search_options":{},"messages":[{"content":"x"}]}"#;
    for text in [file, disguised, search] {
        assert!(parse(text).unwrap().size.open_ended, "{text}");
    }
}

#[test]
fn what_is_no_text_is_not_counted_as_text_even_beside_what_is_open_ended() {
    let data = "A".repeat(100_000);
    let text = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"type":"text","text":"hi"}},{{"type":"file","file":{{"file_data":"{data}"}}}}]}}]}}"#
    );
    let size = parse(&text).unwrap().size;
    assert!(size.open_ended && size.text_bytes < 100, "{size:?}");
}

#[test]
fn tools_of_the_server_are_open_ended_and_those_that_search_are_held_for() {
    let held = Limits::default().web_searches;
    let function = r#"{"type":"function","function":{"name":"search"}}"#;
    let table = [
        (format!(r#""tools":[{function},{{"type":"custom"}}]"#), false, 0),
        (r#""tools":null"#.to_owned(), false, 0),
        (format!(r#""tools":[{function},{{"type":"code_interpreter"}}]"#), true, 0),
        (format!(r#""tools":[{{"type":"web_search_preview"}},{function}]"#), true, held),
        (r#""tools":"all""#.to_owned(), true, held),
        (r#""web_search_options":{}"#.to_owned(), true, held),
        (r#""web_search_options":null"#.to_owned(), false, 0),
    ];
    for (field, open_ended, searches) in table {
        let size = parse(&format!(r#"{{"model":"m",{field},{MESSAGES}}}"#)).unwrap().size;
        assert_eq!((size.open_ended, size.searches), (open_ended, searches), "{field}");
    }
}
