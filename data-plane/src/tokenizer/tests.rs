//! Counts agree with the vocabulary and with the published formula.

use super::*;
use serde_json::json;

fn count_of(body: &serde_json::Value) -> u64 {
    prompt::count(Operation::Chat, body.to_string().as_bytes(), text)
}

fn text(text: &str) -> u64 {
    shared().count_text(text)
}

#[test]
fn text_counts_as_tiktoken_counts_it() {
    let samples = [
        "",
        "hello world",
        "  leading and   inner \t\n white space  ",
        "Zażółć gęślą jaźń – 你好，世界 🚀🚀🚀",
        "fn main() { println!(\"{}\", 1_000_000); }",
        "<|endoftext|> is text here",
        "123456789012345678901234567890",
    ];
    for sample in samples {
        let expected = o200k_base_singleton().encode_ordinary(sample).len();
        assert_eq!(text(sample), tokens(expected), "{sample:?}");
    }
    assert_eq!(text("tiktoken is great!"), 6, "the cookbook's own example");
}

#[test]
fn the_published_example_of_the_formula_comes_to_its_published_count() {
    let messages = [
        (
            "system",
            None,
            "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        ),
        ("system", Some("example_user"), "New synergies will help drive top-line growth."),
        (
            "system",
            Some("example_assistant"),
            "Things working well together will increase revenue.",
        ),
        (
            "system",
            Some("example_user"),
            "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        ),
        (
            "system",
            Some("example_assistant"),
            "Let's talk later when we're less busy about how to do better.",
        ),
        (
            "user",
            None,
            "This late pivot means we don't have time to boil the ocean for the client deliverable.",
        ),
    ];
    let message = |(role, name, content): (&str, Option<&str>, &str)| match name {
        Some(name) => json!({"role": role, "name": name, "content": content}),
        None => json!({"role": role, "content": content}),
    };
    let messages: Vec<_> = messages.into_iter().map(message).collect();
    assert_eq!(count_of(&json!({"model": "gpt-4o", "messages": messages})), 124);
}

#[test]
fn parts_count_their_text_and_nothing_else() {
    let whole = json!({"messages": [{"role": "user", "content": "what is this"}]});
    let parts = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]}]});
    assert_eq!(count_of(&parts), count_of(&whole));
}

#[test]
fn tools_and_calls_count_as_their_json() {
    let bare = json!({"messages": [{"role": "assistant", "content": null}]});
    let tools = r#"[{"type":"function","function":{"name":"weather"}}]"#;
    let calls = r#"[{"id":"call_1","function":{"name":"weather","arguments":"{}"}}]"#;
    let body = format!(
        r#"{{"tools":{tools},"messages":[{{"role":"assistant","content":null,"tool_calls":{calls}}}]}}"#
    );
    let counted = prompt::count(Operation::Chat, body.as_bytes(), text);
    assert_eq!(counted, count_of(&bare) + text(tools) + text(calls));
}

#[test]
fn bare_inputs_are_counted_text_by_text_and_tokens_as_they_are() {
    let (hello, world) = (text("hello"), text(" wide world"));
    let rows = [
        (Operation::Embeddings, r#"{"input":"hello"}"#, hello),
        (Operation::Embeddings, r#"{"input":["hello"," wide world"]}"#, hello + world),
        (Operation::Embeddings, r#"{"input":[1,2,3]}"#, 3),
        (Operation::Embeddings, r#"{"input":[[1,2,3],[4]],"messages":[{}]}"#, 4),
        (Operation::Completions, r#"{"prompt":"hello","suffix":" wide world"}"#, hello + world),
        (Operation::Completions, r#"{"prompt":[[7,8],"hello"],"input":"no"}"#, 2 + hello),
        (Operation::Completions, r#"{"messages":[{"role":"user","content":"hi"}]}"#, 0),
    ];
    for (operation, body, expected) in rows {
        assert_eq!(prompt::count(operation, body.as_bytes(), text), expected, "{body}");
    }
}

#[test]
fn odd_bodies_are_counted_and_never_fail() {
    let rows: [(&str, u64); 6] = [
        ("not json", text("not json")),
        ("{}", 3),
        (r#"{"messages": "hi"}"#, 3),
        (r#"{"messages": [{}]}"#, 6),
        (r#"{"messages": [1]}"#, 3),
        (
            r#"{"messages":[],"messages":[{"role":"user","content":"hi"}]}"#,
            3 + 3 + text("user") + 1,
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(prompt::count(Operation::Chat, body.as_bytes(), text), expected, "{body}");
    }
    let lone_surrogate = r#"{"messages":[{"role":"user","content":"\ud800"}]}"#;
    let counted = prompt::count(Operation::Chat, lone_surrogate.as_bytes(), text);
    assert!(counted > 6 + text("user"));
}

#[test]
fn long_text_counts_as_tiktoken_counts_it_and_what_has_no_words_about_so() {
    let prose = "The gateway, which streams. Answers 世界，你好 don't stop\n".repeat(PIECE_BYTES);
    assert_eq!(text(&prose), tokens(o200k_base_singleton().encode_ordinary(&prose).len()));
    let seamless = "abcdefgh".repeat(PIECE_BYTES);
    let whole = tokens(o200k_base_singleton().encode_ordinary(&seamless).len());
    assert!(text(&seamless).abs_diff(whole) <= whole / 500, "{whole} whole");
    // More white space at once than the pattern has patience for.
    assert!(text(&" ".repeat(3 << 20)) > 0);
}

#[tokio::test]
async fn counting_off_the_thread_gives_the_same() {
    assert_eq!(count_text_off_thread("hello world".to_owned()).await, text("hello world"));
    let body = json!({"messages": [{"role": "user", "content": "hello world"}]});
    let counted = count_prompt(Operation::Chat, Bytes::from(body.to_string())).await;
    assert_eq!(counted, count_of(&body));
}
