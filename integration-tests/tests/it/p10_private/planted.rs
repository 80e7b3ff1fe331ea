//! What is planted, where it must arrive, and the requests that carry it: every operation, every part of a body, and every
//! way in which a request or an upstream fails.

use super::CHAT;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::Request;
use serde_json::{Value, json};

/// What only the upstream may see.
pub(super) const SAID: [&str; 9] = [
    "plantedprompt4711",
    "plantedtool4711",
    "plantedargument4711",
    "plantedimage4711",
    "plantedlink4711",
    "planteduser4711",
    "plantedmetadata4711",
    "plantedstop4711",
    "plantedsuffix4711",
];
pub(super) const CREDENTIAL: &str = "sk-plantedcredential4711";
/// What an upstream says of itself and of others in an error.
pub(super) const TOLD: [&str; 3] = ["org-plantedaccount4711", "plantedother4711", "198.18.47.11"];
/// What only we may see, for as long as the request runs.
pub(super) const SENT: [&str; 7] = [
    "plantedheader4711",
    "plantedcookie4711",
    "plantedreferer4711",
    "plantedquery4711",
    "plantedmodel4711",
    "plantedtype4711",
    "sk-plantedwrongkey4711",
];
/// Where a proxy that is trusted says that a client comes from.
pub(super) const NAMED: &str = "203.0.113.47";
/// Most bytes of a body, for the request that has more.
pub(super) const BODY_BYTES: usize = 256 << 10;

/// One request.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) body: String,
    pub(super) status: u16,
}

fn case(name: &'static str, path: &'static str, body: impl ToString, status: u16) -> Case {
    Case { name, path, body: body.to_string(), status }
}

/// A chat with something in each of its parts.
pub(super) fn planted(stream: bool) -> Value {
    let image = format!("data:image/png;base64,{}", STANDARD.encode(SAID[3]));
    let link = format!("https://images.example/{}.png", SAID[4]);
    json!({
        "model": "demo/vision",
        "stream": stream,
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": SAID[0]},
                {"type": "image_url", "image_url": {"url": image}},
                {"type": "image_url", "image_url": {"url": link}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {
                    "name": "look", "arguments": json!({"at": SAID[2]}).to_string(),
                }},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": SAID[1]},
        ],
        "tools": [{"type": "function", "function": {"name": SAID[1], "parameters": {}}}],
        "user": SAID[5],
        "metadata": {"of": SAID[6]},
        "stop": [SAID[7]],
        "x_simulator": {"tokens": 5},
    })
}

/// The same with these fields over it.
fn with(fields: &Value) -> Value {
    let mut body = planted(false);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// A sentence of an upstream that quotes all that it should not tell.
fn indiscreet() -> String {
    format!(
        "Invalid value: the key {CREDENTIAL} of {} at {} did send {} before, and now {}.",
        TOLD[0], TOLD[2], TOLD[1], SAID[0]
    )
}

/// An answer of an upstream, byte for byte.
fn answering(status: u16, kind: &str, body: &str) -> Value {
    let body = [json!({"base64": STANDARD.encode(body)})];
    json!({"raw": {"status": status, "headers": {"content-type": kind}, "body": body}})
}

fn failing(status: u16) -> Value {
    let error = json!({"error": {"message": indiscreet(), "code": "invalid_value", "param": "temperature"}});
    answering(status, "application/json", &error.to_string())
}

/// Only the first attempt meets it.
fn once(mut script: Value) -> Value {
    script["attempt"] = 1.into();
    script
}

/// An answer whose id and ending quote the prompt.
fn echoing() -> Value {
    let answer = json!({
        "id": format!("the prompt was {}", SAID[0]),
        "object": "chat.completion",
        "model": "sim",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": SAID[0]},
            "finish_reason": format!("because of {}", SAID[1]),
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    });
    answering(200, "application/json", &answer.to_string())
}

/// A stream that says something and then breaks, with or without words about it.
fn breaking(last_words: &str) -> Value {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "model": "sim", "choices": [
        {"index": 0, "delta": {"role": "assistant", "content": SAID[0]}, "finish_reason": null},
    ]});
    answering(200, "text/event-stream", &format!("data: {chunk}\n\n{last_words}"))
}

/// Requests that an upstream gets.
pub(super) fn admitted() -> Vec<Case> {
    let chat = |name, fields: Value, status| case(name, CHAT, with(&fields), status);
    let two_routes = |script: Value| json!({"model": "demo/chat", "x_simulator": script});
    let complete = |stream: bool| {
        json!({
            "model": "demo/chat", "prompt": [SAID[0]], "suffix": SAID[8], "user": SAID[5],
            "stream": stream, "x_simulator": {"tokens": 3},
        })
    };
    let embed = json!({"model": "demo/embed", "input": [SAID[0], SAID[1]], "user": SAID[5]});
    let page = format!("<html>{}</html>", indiscreet());
    let error = json!({"error": {"message": indiscreet(), "code": 500}});
    let in_stream = format!("data: {error}\n\n");
    let garbled = format!("data: {{\"{}\n\n", SAID[0]);
    vec![
        chat("a chat", json!({}), 200),
        chat("a stream", json!({"stream": true}), 200),
        chat("an answer that quotes the prompt", json!({"x_simulator": echoing()}), 200),
        chat("refused by the upstream", json!({"x_simulator": failing(400)}), 400),
        case("a completion", "/v1/completions", complete(false), 200),
        case("a streamed completion", "/v1/completions", complete(true), 200),
        case("embeddings", "/v1/embeddings", embed, 200),
        chat("an error, then the next upstream", two_routes(once(failing(500))), 200),
        chat("too busy, then the next upstream", two_routes(once(failing(429))), 200),
        chat(
            "a page instead of an answer, then the next upstream",
            two_routes(once(answering(200, "text/html", &page))),
            200,
        ),
        chat(
            "an error, then the next model",
            json!({"models": ["demo/long"], "x_simulator": once(failing(500))}),
            200,
        ),
        chat("errors everywhere", two_routes(failing(500)), 502),
        chat("a wrong credential everywhere", two_routes(failing(401)), 502),
        chat(
            "an error in the stream",
            json!({"stream": true, "x_simulator": breaking(&in_stream)}),
            200,
        ),
        chat("a stream that ends", json!({"stream": true, "x_simulator": breaking("")}), 200),
        chat(
            "a stream that is garbled",
            json!({"stream": true, "x_simulator": breaking(&garbled)}),
            200,
        ),
    ]
}

/// Requests that no upstream gets.
pub(super) fn refused() -> Vec<Case> {
    let whole = planted(false).to_string();
    let cut = whole.split_at(whole.len() - 30).0;
    let long = with(&json!({"user": SAID[0].repeat(BODY_BYTES / 10)}));
    vec![
        case("cut JSON", CHAT, cut, 400),
        case("no JSON", CHAT, SAID[0], 400),
        case("messages of another type", CHAT, with(&json!({"messages": SAID[0]})), 400),
        case("a limit of another type", CHAT, with(&json!({"max_tokens": SENT[5]})), 400),
        case("a model of another type", CHAT, with(&json!({"model": {"of": SENT[5]}})), 400),
        case("a preference of another type", CHAT, with(&json!({"provider": SENT[5]})), 400),
        case("an unknown model", CHAT, with(&json!({"model": format!("a/{}", SENT[4])})), 404),
        case("a model of another operation", "/v1/embeddings", with(&json!({})), 400),
        case("too long", CHAT, long, 413),
    ]
}

/// As a client sends it.
pub(super) fn ask(key: &str, path: &str, body: &str) -> Request {
    Request::post(path, body)
        .bearer(key)
        .header("x-planted", SENT[0])
        .header("cookie", SENT[1])
        .header("http-referer", &format!("https://app.example/page?q={}", SENT[2]))
        .header("x-forwarded-for", NAMED)
}
