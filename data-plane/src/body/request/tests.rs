//! What is read of a request, what is refused, and that only what must change does.

use super::ClientRequest;
use crate::dialect::openai::{Changes, request_body};
use crate::settings::Limits;
use bytes::Bytes;
use domain::operation::Operation;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn parse(text: &str) -> Result<ClientRequest, String> {
    parse_as(Operation::Chat, text)
}

fn parse_as(operation: Operation, text: &str) -> Result<ClientRequest, String> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let parsed = ClientRequest::parse(operation, body, &Limits::default());
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
        (r#"{"model":"m","max_tokens":-0,"messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","n":0,"messages":[{}]}"#, "`n`"),
        (r#"{"model":"m","max_tokens":1.5,"messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":"10","messages":[{}]}"#, "max_tokens"),
        (r#"{"model":"m","max_completion_tokens":-1,"messages":[{}]}"#, "max_completion_tokens"),
        (r#"{"model":"m","n":1000000,"messages":[{}]}"#, "`n`"),
        (r#"{"model":"m","stream_options":[],"messages":[{}]}"#, "stream_options"),
        (r#"{"model":"m","model":"n","messages":[{}]}"#, "twice"),
        (r#"{"mod\u0065l":"m","model":"n","messages":[{}]}"#, "twice"),
        (r#"{"model":"m","Model":"n","messages":[{}]}"#, "must be written `model`"),
        (r#"{"model":"m","models":"n","messages":[{}]}"#, "models"),
        (r#"{"models":["1","2","3","4","5","6","7","8","9"],"messages":[{}]}"#, "more than 8"),
        (r#"{"models":[],"messages":[{}]}"#, "`model` is missing"),
        (r#"{"model":"m","route":"other","messages":[{}]}"#, "route"),
        (r#"{"model":"m","session_id":7,"messages":[{}]}"#, "session_id"),
        (r#"{"model":"m","provider":{"quantizations":["fp8"]},"messages":[{}]}"#, "quantizations"),
        (r#"{"model":"m","provider":{"sort":"beauty"},"messages":[{}]}"#, "sort"),
        (r#"{"model":"m","provider":{"max_price":{"prompt":1e3}},"messages":[{}]}"#, "max_price"),
        (r#"{"model":"m","provider":{"zdr":true,"zdr":false},"messages":[{}]}"#, "zdr"),
        (r#"{"model":"m","Provider":{},"messages":[{}]}"#, "must be written `provider`"),
        (r#"{"model":"m","stream":false,"stream":true,"messages":[{}]}"#, "twice"),
        (r#"{"model":"m","max_tokens":1,"max_tokens":9,"messages":[{}]}"#, "twice"),
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
                r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":null}},{MESSAGES}}}"#
            ),
            format!(
                r#"{{"model":"up","stream":true,"stream_options":{{"include_usage":true}},{MESSAGES}}}"#
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
    let size = parse(&text).unwrap().ask.size;
    assert_eq!((size.images, size.open_ended), (1, false));
    assert!(size.text_bytes < 300, "{}", size.text_bytes);
}

#[test]
fn what_the_body_does_not_tell_counts_as_open_ended() {
    let file = r#"{"model":"m","messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]}"#;
    let disguised = r#"{"model":"m","messages":[{"content":[{"type":"text","text":"x","image_url":{"url":"y"}}]}]}"#;
    let search = r#"{"model":"m","web_search_options":{},"messages":[{"content":"x"}]}"#;
    for text in [file, disguised, search] {
        assert!(parse(text).unwrap().ask.size.open_ended, "{text}");
    }
}

#[test]
fn what_is_no_text_is_not_counted_as_text_even_beside_what_is_open_ended() {
    let data = "A".repeat(100_000);
    let text = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"type":"text","text":"hi"}},{{"type":"file","file":{{"file_data":"{data}"}}}}]}}]}}"#
    );
    let size = parse(&text).unwrap().ask.size;
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
        let size = parse(&format!(r#"{{"model":"m",{field},{MESSAGES}}}"#)).unwrap().ask.size;
        assert_eq!((size.open_ended, size.searches), (open_ended, searches), "{field}");
    }
}

#[test]
fn what_is_said_to_the_gateway_is_cut_out_wherever_it_stands() {
    let table = [
        (format!(r#"{{"models":["m"],{MESSAGES}}}"#), format!(r#"{{"model":"up",{MESSAGES}}}"#)),
        (
            format!(r#"{{ "provider" : {{"only":["a"]}} , "model":"m",{MESSAGES}}}"#),
            format!(r#"{{  "model":"up",{MESSAGES}}}"#),
        ),
        (
            format!(r#"{{"model":"m",{MESSAGES},"route":"fallback","session_id":"s"}}"#),
            format!(r#"{{"model":"up",{MESSAGES}}}"#),
        ),
        (
            format!(r#"{{"model":"m","usage":{{"include":true}},{MESSAGES} , "models":[]  }}"#),
            format!(r#"{{"model":"up",{MESSAGES}   }}"#),
        ),
        (
            format!(r#"{{"models":["m"],"provider":null,"x":"\"route\":1",{MESSAGES}}}"#),
            format!(r#"{{"model":"up","x":"\"route\":1",{MESSAGES}}}"#),
        ),
        (
            format!(r#"{{{MESSAGES},"models":["m"],"provid\u0065r":{{}}}}"#),
            format!(r#"{{"model":"up",{MESSAGES}}}"#),
        ),
    ];
    for (given, expected) in table {
        let sent = sent(&given, None);
        assert_eq!(sent, expected, "{given}");
        serde_json::from_str::<serde_json::Value>(&sent).expect("still JSON");
    }
}

#[test]
fn models_are_tried_in_the_order_they_are_named_and_once_each() {
    let text = format!(r#"{{"model":"a","models":["b","a","c"],{MESSAGES}}}"#);
    assert_eq!(parse(&text).unwrap().models, ["a", "b", "c"]);
}

#[test]
fn of_two_bounds_the_larger_one_is_held_for_and_zero_is_none() {
    let table = [
        (r#""max_tokens":5"#, Some(5)),
        (r#""max_tokens":100,"max_completion_tokens":1"#, Some(100)),
        (r#""max_tokens":0,"max_completion_tokens":7"#, None),
        (r#""max_tokens":null"#, None),
    ];
    for (bounds, limit) in table {
        let request = parse(&format!(r#"{{"model":"m",{bounds},{MESSAGES}}}"#)).unwrap();
        assert_eq!(request.output_limit(), limit, "{bounds}");
    }
}

#[test]
fn embeddings_ask_for_input_alone_and_tokens_count_exactly() {
    let table = [
        // input, prompts, bytes, tokens, open-ended
        (r#""hello""#, (1, 7, 0, false)),
        (r#"["hello","\n"]"#, (2, 11, 0, false)),
        ("[1,2,3]", (1, 0, 3, false)),
        ("[[1,2],[3]]", (2, 0, 3, false)),
        (r#"[{"type":"image_url"}]"#, (1, 0, 0, true)),
    ];
    for (input, expected) in table {
        let text = format!(r#"{{"model":"m","input":{input},"padding":"xxxxxxxxxx"}}"#);
        let ask = parse_as(Operation::Embeddings, &text).unwrap().ask;
        let size = ask.size;
        let found = (size.prompts, size.text_bytes, size.tokens, size.open_ended);
        assert_eq!(found, expected, "{input}");
        assert_eq!((ask.output_limit, ask.choices), (Some(0), 0));
    }
    let refused = [
        (r#"{"model":"m"}"#, "`input` is missing"),
        (r#"{"model":"m","input":[]}"#, "`input` must be"),
        (r#"{"model":"m","input":7}"#, "`input` must be"),
        (r#"{"model":"m","input":"a","stream":true}"#, "not streamed"),
    ];
    for (text, named) in refused {
        let error = parse_as(Operation::Embeddings, text).expect_err(text);
        assert!(error.contains(named), "{text} gave {error}");
    }
}

#[test]
fn completions_are_billed_for_all_that_is_made_of_every_prompt() {
    let table = [
        (r#""prompt":"a""#, (1, 0, false)),
        (r#""prompt":["a","b"],"n":3"#, (6, 0, false)),
        (r#""prompt":[[1],[2]],"n":2,"best_of":5"#, (10, 0, true)),
        (r#""prompt":"a","best_of":0"#, (1, 0, false)),
        (r#""prompt":"a","n":2,"echo":true,"max_tokens":0"#, (2, 2, false)),
    ];
    for (text, expected) in table {
        let text = format!(r#"{{"model":"m",{text}}}"#);
        let request = parse_as(Operation::Completions, &text).unwrap();
        let ask = request.ask;
        assert_eq!((ask.choices, ask.echoes, ask.hides_output), expected, "{text}");
    }
    let refused = [
        (r#"{"model":"m"}"#, "`prompt` is missing"),
        (r#"{"model":"m","prompt":null}"#, "`prompt` is missing"),
        (r#"{"model":"m","prompt":"a","best_of":1000}"#, "best_of"),
        (r#"{"model":"m","prompt":"a","echo":1}"#, "`echo`"),
    ];
    for (text, named) in refused {
        let error = parse_as(Operation::Completions, text).expect_err(text);
        assert!(error.contains(named), "{text} gave {error}");
    }
}

#[test]
fn a_completions_bound_stands_under_its_own_name() {
    for (given, expected) in [
        (r#"{"model":"m","prompt":"a"}"#, r#"{"max_tokens":9,"model":"up","prompt":"a"}"#),
        (
            r#"{"model":"m","prompt":"a","max_tokens":50}"#,
            r#"{"model":"up","prompt":"a","max_tokens":9}"#,
        ),
    ] {
        let request = parse_as(Operation::Completions, given).unwrap();
        let body = request_body(&request, &Changes { model: "up", output_bound: Some(9) }).join();
        assert_eq!(body, expected);
    }
}

#[test]
fn required_parameters_are_those_that_are_given() {
    let text = format!(
        r#"{{"model":"m","temperature":1,"top_k":null,"seed":2,"user":"u","stream":true,
        "provider":{{"require_parameters":true}},{MESSAGES}}}"#
    );
    assert_eq!(parse(&text).unwrap().preferences.required, ["temperature", "seed"]);
}
