//! Chat answers without faults: the token law, bounds, usage, and what shapes an answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{count_tokens, prompt_tokens, text};

use crate::client::{Answer, CHAT, End, chat, post, send, start};

/// The parsed chunks of a whole stream, without `[DONE]`.
pub(crate) async fn chunks(answer: Answer) -> Vec<Value> {
    let (mut events, end) = answer.events().await;
    assert_eq!(end, End::Whole);
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn contents(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

#[tokio::test]
async fn a_stream_of_n_tokens_is_n_chunks_of_one_token_each() {
    let simulator = start().await;
    for tokens in [1, 2, 16, 200] {
        let answer = post(&simulator, CHAT, &chat(true, json!({"tokens": tokens}))).await;
        let chunks = chunks(answer).await;
        let contents = contents(&chunks);
        assert_eq!(contents.len() as u64, tokens);
        assert!(contents.iter().all(|content| count_tokens(content) == 1));
        assert_eq!(contents.concat(), text(tokens));
        assert_eq!(count_tokens(&contents.concat()), tokens);

        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(chunks[0]["object"], "chat.completion.chunk");
        let finish = chunks.last().unwrap();
        assert_eq!(finish["choices"][0], json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "nobody asked for usage");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_says_the_same_text_and_counts_it() {
    let simulator = start().await;
    let request = chat(false, json!({}));
    let answer = post(&simulator, "/any/prefix/chat/completions", &request).await.json().await;
    let message = json!({"role": "assistant", "content": text(16), "refusal": null});
    assert_eq!(answer["choices"][0]["message"], message);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["model"], "sim-chat");
    let prompt = prompt_tokens(request["messages"].as_array().unwrap());
    assert_eq!(answer["usage"]["prompt_tokens"], prompt);
    assert_eq!(answer["usage"]["completion_tokens"], 16);
    assert_eq!(answer["usage"]["total_tokens"], prompt + 16);
}

#[tokio::test]
async fn a_stream_reports_usage_last_and_only_when_asked() {
    let simulator = start().await;
    let asked = json!({"include_usage": true});
    let request = with(chat(true, json!({"tokens": 3})), "stream_options", asked.clone());
    let chunks_asked = chunks(post(&simulator, CHAT, &request).await).await;
    let usage = chunks_asked.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 3);
    assert!(chunks_asked[..4].iter().all(|chunk| chunk.get("usage").is_none()));

    let none = with(chat(true, json!({"usage": "none"})), "stream_options", asked);
    let chunks_none = chunks(post(&simulator, CHAT, &none).await).await;
    assert!(chunks_none.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn told_usage_is_sent_to_the_byte() {
    let simulator = start().await;
    let told = r#"{"total_tokens":1e3, "odd": 1.0,"big":123456789012345678901234567890}"#;
    for stream in [true, false] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"stream":{stream},
            "stream_options":{{"include_usage":true}},"x_simulator":{{"usage":{told}}}}}"#
        );
        let answer = send(&simulator, "POST", CHAT, "", body.as_bytes()).await;
        let (chunks, end) = Answer::read(answer).await.unwrap().rest().await;
        assert_eq!(end, End::Whole);
        let bytes = String::from_utf8(chunks.concat()).unwrap();
        assert!(bytes.contains(&format!("\"usage\":{told}}}")), "{bytes}");
    }
}

#[tokio::test]
async fn the_smaller_output_bound_is_honoured_and_finishes_with_length() {
    let simulator = start().await;
    let table = [
        (json!({"max_tokens": 5}), 5, "length"),
        (json!({"max_completion_tokens": 5, "max_tokens": 9}), 5, "length"),
        (json!({"max_tokens": 16}), 16, "stop"),
        (json!({"max_tokens": 1}), 1, "length"),
    ];
    for (bounds, tokens, finish) in table {
        let mut request = chat(false, json!({"tokens": 16}));
        request.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        let answer = post(&simulator, CHAT, &request).await.json().await;
        assert_eq!(answer["choices"][0]["message"]["content"], text(tokens), "{bounds}");
        assert_eq!(answer["choices"][0]["finish_reason"], finish, "{bounds}");
        assert_eq!(answer["usage"]["completion_tokens"], tokens, "{bounds}");

        request["stream"] = json!(true);
        let chunks = chunks(post(&simulator, CHAT, &request).await).await;
        assert_eq!(contents(&chunks).concat(), text(tokens), "{bounds}");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], finish, "{bounds}");
    }
    let none = with(chat(false, json!({})), "max_tokens", json!(0));
    assert_eq!(post(&simulator, CHAT, &none).await.status, 400);
}

#[tokio::test]
async fn several_choices_take_turns_and_are_all_counted() {
    let simulator = start().await;
    let request = with(chat(true, json!({"tokens": 2})), "n", json!(3));
    let chunks = chunks(post(&simulator, CHAT, &request).await).await;
    let indices: Vec<_> =
        chunks.iter().map(|chunk| chunk["choices"][0]["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 0, 1, 2, 0, 1, 2]);

    let request = with(chat(false, json!({"tokens": 2})), "n", json!(3));
    let answer = post(&simulator, CHAT, &request).await.json().await;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 3);
    assert_eq!(answer["usage"]["completion_tokens"], 6);
    let many = with(chat(false, json!({})), "n", json!(129));
    assert_eq!(post(&simulator, CHAT, &many).await.status, 400);
}

#[tokio::test]
async fn a_reasoning_model_reasons_before_it_speaks() {
    let simulator = start().await;
    let request = with(chat(true, json!({"tokens": 2})), "model", json!("sim-reasoning"));
    let chunks = chunks(post(&simulator, CHAT, &request).await).await;
    let deltas: Vec<_> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({"role": "assistant", "reasoning_content": "The"}));
    assert!(deltas[..4].iter().all(|delta| delta["reasoning_content"].is_string()));
    assert_eq!(deltas[4], &json!({"content": "The"}));

    let script = json!({"tokens": 2, "reasoning_tokens": 7});
    let request = with(chat(false, script), "model", json!("sim-reasoning"));
    let answer = post(&simulator, CHAT, &request).await.json().await;
    assert_eq!(answer["choices"][0]["message"]["reasoning_content"], text(7));
    assert_eq!(answer["usage"]["completion_tokens"], 9);
    assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 7);
}

fn tools() -> Value {
    let tool = |name: &str, property: &str| {
        json!({"type": "function", "function": {"name": name, "parameters": {
            "type": "object",
            "required": [property],
            "properties": {property: {"type": "string"}, "extra": {"type": "integer"}},
        }}})
    };
    json!([tool("find_road", "town"), tool("pay_toll", "coin")])
}

#[tokio::test]
async fn tools_are_called_when_they_are_spoken_of_required_or_named() {
    let simulator = start().await;
    let named = json!({"type": "function", "function": {"name": "pay_toll"}});
    let spoken = json!("use the tool");
    let table = [
        (json!("hello"), json!("auto"), None),
        (spoken.clone(), json!("auto"), Some(("find_road", "{\"town\":\"sample\"}"))),
        (spoken, json!("none"), None),
        (json!("hello"), json!("required"), Some(("find_road", "{\"town\":\"sample\"}"))),
        (json!("hello"), named, Some(("pay_toll", "{\"coin\":\"sample\"}"))),
    ];
    for (content, choice, called) in table {
        let mut request = with(chat(false, json!({})), "tools", tools());
        request["tool_choice"] = choice.clone();
        request["messages"][0]["content"] = content;
        let answer = post(&simulator, CHAT, &request).await.json().await;
        let choice_of_answer = &answer["choices"][0];
        let Some((name, arguments)) = called else {
            assert_eq!(choice_of_answer["message"]["content"], text(16), "{choice}");
            continue;
        };
        let function = &choice_of_answer["message"]["tool_calls"][0]["function"];
        assert_eq!(function, &json!({"name": name, "arguments": arguments}), "{choice}");
        assert_eq!(choice_of_answer["finish_reason"], "tool_calls");

        request["stream"] = json!(true);
        let chunks = chunks(post(&simulator, CHAT, &request).await).await;
        let calls: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
            .collect();
        assert!(calls.iter().all(|call| call["index"] == 0));
        assert_eq!(calls[0]["function"]["name"], name);
        let streamed: String =
            calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(streamed, arguments);
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[tokio::test]
async fn a_tool_s_result_is_answered_in_text_so_that_agents_end() {
    let simulator = start().await;
    let mut request = with(chat(false, json!({})), "tools", tools());
    request["messages"] = json!([
        {"role": "user", "content": [{"type": "text", "text": "use the tool"}]},
        {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]);
    let answer = post(&simulator, CHAT, &request).await.json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], text(16));
}

#[tokio::test]
async fn json_mode_answers_with_json_that_satisfies_the_schema() {
    let simulator = start().await;
    let schema = json!({"type": "object", "required": ["town", "toll"], "properties": {
        "town": {"enum": ["Alnwick", "Bath"]}, "toll": {"type": "integer"}}});
    let table = [
        (
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}),
            json!({"town": "Alnwick", "toll": 1}),
        ),
        (json!({"type": "json_object"}), json!({"answer": text(16)})),
    ];
    for (format, expected) in table {
        let request = with(chat(true, json!({})), "response_format", format);
        let chunks = chunks(post(&simulator, CHAT, &request).await).await;
        let content = contents(&chunks).concat();
        assert_eq!(serde_json::from_str::<Value>(&content).unwrap(), expected);
        assert_eq!(count_tokens(&content), contents(&chunks).len() as u64);
    }
}

#[tokio::test]
async fn prefill_and_images_are_accepted() {
    let simulator = start().await;
    let mut request = chat(false, json!({}));
    request["messages"] = json!([
        {"role": "user", "content": [
            {"type": "text", "text": "hello"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "assistant", "content": "Well"},
    ]);
    let answer = post(&simulator, CHAT, &request).await.json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], text(16));
    assert_eq!(answer["usage"]["prompt_tokens"], 3 + (3 + 1 + 1 + 85) + (3 + 1 + 1));
}

#[tokio::test]
async fn chunks_keep_their_pace() {
    let simulator = start().await;
    let began = Instant::now();
    let answer = post(&simulator, CHAT, &chat(true, json!({"tokens": 4, "pace_ms": 20}))).await;
    assert_eq!(chunks(answer).await.len(), 5);
    // Four tokens, the finish reason and `[DONE]`: five pauses.
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_streams_run_at_once() {
    let simulator = start().await;
    let request = chat(true, json!({"tokens": 50, "pace_ms": 1}));
    let streams = (0..300).map(|_| async { chunks(post(&simulator, CHAT, &request).await).await });
    for chunks in futures::future::join_all(streams).await {
        assert_eq!(contents(&chunks).concat(), text(50));
    }
}
