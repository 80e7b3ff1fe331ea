//! Each fault as a raw client sees it, and what the log says of it.

use serde_json::{Value, json};
use simulator::{Simulator, text};

use crate::{
    answers::chunks,
    client::{Answer, CHAT, End, chat, ended, post, post_with, send, start},
};

/// A chat that asks for usage, so that a fault shows what becomes of it.
async fn faulty(simulator: &Simulator, stream: bool, script: Value) -> Answer {
    let mut request = chat(stream, script);
    request["stream_options"] = json!({"include_usage": true});
    post(simulator, CHAT, &request).await
}

fn content(event: &str) -> String {
    let chunk: Value = serde_json::from_str(event).unwrap();
    chunk["choices"][0]["delta"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn error_faults_are_openai_s_errors_on_every_endpoint() {
    let simulator = start().await;
    let table = [
        ("bad_request", 400, "invalid_request_error", Value::Null),
        ("unauthorized", 401, "invalid_request_error", json!("invalid_api_key")),
        ("rate_limit", 429, "requests", json!("rate_limit_exceeded")),
        ("server_error", 500, "server_error", Value::Null),
        ("unavailable", 503, "server_error", Value::Null),
        ("context_length", 400, "invalid_request_error", json!("context_length_exceeded")),
        ("content_filter", 400, "invalid_request_error", json!("content_filter")),
    ];
    for (fault, status, kind, code) in table {
        let script = json!({"fault": fault});
        let embed = json!({"model": "m", "input": "x", "x_simulator": script});
        let prompt = json!({"model": "m", "prompt": "x", "x_simulator": script});
        let requests = [
            (CHAT, chat(true, script.clone())),
            (CHAT, chat(false, script.clone())),
            ("/v1/embeddings", embed),
            ("/v1/completions", prompt),
        ];
        for (path, request) in requests {
            let answer = post(&simulator, path, &request).await;
            assert_eq!(answer.status, status, "{fault} {path}");
            assert_eq!(answer.header("retry-after"), None, "{fault} {path}");
            let error = answer.json().await["error"].clone();
            assert_eq!((&error["type"], &error["code"]), (&json!(kind), &code), "{fault} {path}");
        }
    }
    let first = ended(&simulator, 1).await;
    assert_eq!((&first["fault"], &first["ended"]), (&json!("bad_request"), &json!("fault")));
}

#[tokio::test]
async fn retry_after_is_sent_when_it_is_given() {
    let simulator = start().await;
    for fault in ["rate_limit", "unavailable"] {
        let script = json!({"fault": fault, "retry_after": 7});
        let answer = post(&simulator, CHAT, &chat(false, script)).await;
        assert_eq!(answer.header("retry-after"), Some("7"), "{fault}");
    }
}

#[tokio::test]
async fn unauthorized_repeats_the_credential_as_providers_do() {
    let simulator = start().await;
    let request = chat(false, json!({"fault": "unauthorized"}));
    let headers = "authorization: Bearer sk-planted\r\n";
    let answer = post_with(&simulator, CHAT, headers, &request).await.json().await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("Incorrect API key provided: sk-planted."), "{message}");
}

#[tokio::test]
async fn reset_closes_with_a_reset_before_any_header() {
    let simulator = start().await;
    for stream in [true, false] {
        let body = chat(stream, json!({"fault": "reset"})).to_string();
        let answer = send(&simulator, "POST", CHAT, "", body.as_bytes()).await;
        assert_eq!(Answer::read(answer).await.err(), Some(End::Reset));
    }
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["status"]), (&json!("fault"), &Value::Null));
}

#[tokio::test]
async fn silence_answers_nothing_until_the_client_leaves() {
    let simulator = start().await;
    let body = chat(true, json!({"fault": "silence"})).to_string();
    let unanswered = send(&simulator, "POST", CHAT, "", body.as_bytes()).await;
    drop(unanswered);
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["status"]), (&json!("client_gone"), &Value::Null));
}

#[tokio::test]
async fn a_slow_first_token_follows_headers_that_came_at_once() {
    let simulator = start().await;
    for stream in [true, false] {
        // The head has been read here, a minute before the first chunk.
        let answer = faulty(&simulator, stream, json!({"fault": "slow_first_token"})).await;
        assert_eq!(answer.status, 200);
        drop(answer);
    }
    for attempt in [1, 2] {
        let entry = ended(&simulator, attempt).await;
        assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("client_gone"), &json!(0)));
    }
    let script = json!({"fault": "slow_first_token", "delay_ms": 5, "tokens": 2});
    assert_eq!(chunks(faulty(&simulator, true, script).await).await.len(), 4);
    assert_eq!(ended(&simulator, 3).await["ended"], "complete");
}

#[tokio::test]
async fn a_cut_stream_closes_after_exactly_so_many_chunks() {
    let simulator = start().await;
    // A place beyond the tokens is moved before the finish reason.
    for (at, sent) in [(0, 0), (1, 1), (5, 5), (99, 16)] {
        let answer = faulty(&simulator, true, json!({"fault": "cut", "at": at})).await;
        assert_eq!(answer.status, 200);
        let (events, end) = answer.events().await;
        assert_eq!(end, End::Closed);
        assert_eq!(events.iter().map(|event| content(event)).collect::<String>(), text(sent));
    }
    let entry = ended(&simulator, 3).await;
    assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("fault"), &json!(5)));
    assert_eq!(entry["usage"], Value::Null);
}

#[tokio::test]
async fn a_cut_answer_ends_before_its_declared_length() {
    let simulator = start().await;
    let answer = faulty(&simulator, false, json!({"fault": "cut"})).await;
    let declared: usize = answer.header("content-length").unwrap().parse().unwrap();
    let (chunks, end) = answer.rest().await;
    assert_eq!((chunks.concat().len(), end), (declared / 2, End::Closed));
}

#[tokio::test]
async fn a_stalled_stream_sends_so_many_chunks_and_keeps_the_connection() {
    let simulator = start().await;
    let mut answer = faulty(&simulator, true, json!({"fault": "stall", "at": 3})).await;
    for _ in 0..3 {
        answer.chunk().await.unwrap();
    }
    drop(answer);
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("client_gone"), &json!(3)));
}

#[tokio::test]
async fn a_malformed_chunk_stands_among_good_ones() {
    let simulator = start().await;
    let script = json!({"fault": "malformed_chunk", "at": 2, "tokens": 4});
    let (events, end) = faulty(&simulator, true, script.clone()).await.events().await;
    assert_eq!(end, End::Whole);
    assert_eq!(events[2], "{\"id\": broken");
    assert_eq!([0, 1, 3].map(|index| content(&events[index])), ["The", " road", " north"]);
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));

    let (chunks, end) = faulty(&simulator, false, script).await.rest().await;
    assert_eq!((chunks.concat(), end), (b"{\"id\": broken".to_vec(), End::Whole));
}

#[tokio::test]
async fn no_done_is_whole_but_for_done_and_closes_properly() {
    let simulator = start().await;
    let answer = faulty(&simulator, true, json!({"fault": "no_done", "tokens": 2})).await;
    assert_eq!(answer.header("connection"), Some("close"));
    let (events, end) = answer.events().await;
    assert_eq!((events.len(), end), (4, End::Whole));
    assert!(events[3].contains("\"usage\":"));
    let again = faulty(&simulator, true, json!({"fault": "no_done"})).await;
    assert!(again.closed().await);
    assert_eq!(ended(&simulator, 1).await["ended"], "complete");
}

#[tokio::test]
async fn usage_is_withheld_or_ten_times_the_truth() {
    let simulator = start().await;
    for stream in [true, false] {
        let none = faulty(&simulator, stream, json!({"fault": "no_usage"})).await;
        let (bytes, _) = none.rest().await;
        assert!(!String::from_utf8(bytes.concat()).unwrap().contains("usage"));
    }
    let lie = json!({"fault": "lying_usage", "tokens": 4});
    let whole = faulty(&simulator, false, lie.clone()).await.json().await["usage"].clone();
    let streamed = chunks(faulty(&simulator, true, lie).await).await;
    assert_eq!(whole["prompt_tokens"], 80);
    assert_eq!(whole["completion_tokens"], 40);
    assert_eq!(whole["total_tokens"], 120);
    assert_eq!(streamed.last().unwrap()["usage"], whole);
    assert_eq!(ended(&simulator, 3).await["usage"], whole);

    let told = json!({"fault": "lying_usage", "usage": {"total_tokens": 1}});
    let answer = faulty(&simulator, false, told).await.json().await;
    assert_eq!(answer["usage"], json!({"total_tokens": 1}));
}

#[tokio::test]
async fn prefill_is_refused_only_where_there_is_one() {
    let simulator = start().await;
    let mut request = chat(false, json!({"fault": "prefill_refused"}));
    assert_eq!(post(&simulator, CHAT, &request).await.status, 200);
    request["messages"] = json!([{"role": "assistant", "content": "Well"}]);
    assert_eq!(post(&simulator, CHAT, &request).await.status, 400);
    assert_eq!(ended(&simulator, 1).await["fault"], Value::Null);
}

#[tokio::test]
async fn the_content_filter_can_end_a_stream_half_way() {
    let simulator = start().await;
    let script = json!({"fault": "content_filter", "at": 3});
    let chunks = chunks(faulty(&simulator, true, script.clone()).await).await;
    assert_eq!(chunks.len(), 5);
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(chunks[4]["usage"]["completion_tokens"], 3);
    assert_eq!(faulty(&simulator, false, script).await.status, 400);
}

#[tokio::test]
async fn html_comes_under_a_good_status() {
    let simulator = start().await;
    let answer = faulty(&simulator, true, json!({"fault": "html"})).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html")));
    assert!(answer.rest().await.0.concat().starts_with(b"<html>"));
}

#[tokio::test]
async fn errors_inside_a_stream_end_it_without_done() {
    let simulator = start().await;
    let table = [
        (json!({"fault": "error_first", "at": 5}), 0),
        (json!({"fault": "error_mid", "at": 2}), 2),
        (json!({"fault": "error_mid"}), 1),
    ];
    for (script, good) in table {
        let (events, end) = faulty(&simulator, true, script.clone()).await.events().await;
        assert_eq!((events.len(), end), (good + 1, End::Whole), "{script}");
        let error: Value = serde_json::from_str(&events[good]).unwrap();
        let fields: Vec<_> = error.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["error"], "{script}");

        let answer = faulty(&simulator, false, script).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json().await, error);
    }
}

#[tokio::test]
async fn an_empty_answer_stops_with_no_token() {
    let simulator = start().await;
    let script = json!({"fault": "empty", "tokens": 5});
    let answer = faulty(&simulator, false, script.clone()).await.json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["completion_tokens"], 0);
    let chunks = chunks(faulty(&simulator, true, script).await).await;
    let delta = &chunks[0]["choices"][0]["delta"];
    assert_eq!(delta, &json!({"role": "assistant", "content": ""}));
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[2]["usage"]["completion_tokens"], 0);
}

#[tokio::test]
async fn only_the_first_attempts_of_a_request_fail() {
    let simulator = start().await;
    let request = chat(false, json!({"fault": "server_error", "attempt": 2}));
    let mut statuses = Vec::new();
    for id in ["a", "b", "a", "a", "b", "b"] {
        let header = format!("x-request-id: {id}\r\n");
        statuses.push(post_with(&simulator, CHAT, &header, &request).await.status);
    }
    assert_eq!(statuses, [500, 500, 500, 200, 500, 200]);

    // Without an id the body tells the requests apart.
    let other = chat(false, json!({"fault": "server_error", "attempt": 1}));
    assert_eq!(post(&simulator, CHAT, &other).await.status, 500);
    assert_eq!(post(&simulator, CHAT, &request).await.status, 500);
    assert_eq!(post(&simulator, CHAT, &other).await.status, 200);
}
