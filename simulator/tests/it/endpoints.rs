//! The endpoints beside chat, and the requests that are refused.

use serde_json::{Value, json};
use simulator::text;

use crate::{
    answers::chunks,
    client::{Answer, CHAT, chat, get, post, send, start},
};

#[tokio::test]
async fn legacy_completions_answer_in_their_own_form() {
    let simulator = start().await;
    let mut request = json!({"model": "m", "prompt": "hello there", "max_tokens": 3});
    let answer = post(&simulator, "/v1/completions", &request).await.json().await;
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["text"], text(3));
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    assert_eq!(answer["usage"]["completion_tokens"], 3);

    request["stream"] = json!(true);
    let chunks = chunks(post(&simulator, "/v1/completions", &request).await).await;
    let texts: Vec<_> =
        chunks.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["The", " road", " runs", ""]);
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "length");

    let several = json!({"model": "m", "prompt": ["a", "b"], "x_simulator": {"tokens": 1}});
    let answer = post(&simulator, "/v1/completions", &several).await.json().await;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn completions_repeat_their_prompts_and_report_all_that_they_made() {
    let simulator = start().await;
    let mut request = json!({
        "model": "m", "prompt": ["one ", "two "], "n": 2, "best_of": 5, "echo": true,
        "x_simulator": {"tokens": 2},
    });
    let answer = post(&simulator, "/v1/completions", &request).await.json().await;
    let texts: Vec<_> = answer["choices"].as_array().unwrap().iter().map(|c| &c["text"]).collect();
    assert_eq!(texts, ["one The road", "one The road", "two The road", "two The road"]);
    assert_eq!(answer["usage"]["completion_tokens"], 2 * 5 * 2);

    request =
        json!({"model": "m", "prompt": "one ", "echo": true, "stream": true, "max_tokens": 0});
    let chunks = chunks(post(&simulator, "/v1/completions", &request).await).await;
    assert_eq!(chunks[0]["choices"][0]["text"], "one ");
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn embeddings_depend_on_the_input_alone_in_either_encoding() {
    let simulator = start().await;
    let request = json!({"model": "m", "input": ["hello", "road", "hello"], "dimensions": 3});
    let answer = post(&simulator, "/v1/embeddings", &request).await.json().await;
    let vector = |index: usize| answer["data"][index]["embedding"].as_array().unwrap();
    assert_eq!(vector(0).len(), 3);
    assert_eq!(vector(0), vector(2));
    assert_ne!(vector(0), vector(1));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));

    let mut encoded = request.clone();
    encoded["encoding_format"] = json!("base64");
    let encoded = post(&simulator, "/v1/embeddings", &encoded).await.json().await;
    let bytes = base64_bytes(&encoded["data"][0]["embedding"]);
    let floats: Vec<f64> = bytes
        .chunks(4)
        .map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())))
        .collect();
    assert_eq!(json!(floats), answer["data"][0]["embedding"]);
}

#[tokio::test]
async fn models_are_listed_and_every_name_is_one() {
    let simulator = start().await;
    let list = get(&simulator, "/v1/models").await;
    assert_eq!(list["data"][0]["id"], "sim-chat");
    for path in ["/v1/models/author/slug", "/v1/models/author%2Fslug"] {
        assert_eq!(get(&simulator, path).await["id"], "author/slug");
    }
    assert_eq!(get(&simulator, "/_health").await, json!({"status": "ok"}));
}

#[tokio::test]
async fn a_script_that_cannot_be_obeyed_is_refused_by_the_field_s_name() {
    let simulator = start().await;
    let table = [
        (json!({"fault": "earthquake"}), "x_simulator.fault"),
        (json!({"tokens": "many"}), "x_simulator.tokens"),
        (json!({"tokens": -1}), "x_simulator.tokens"),
        (json!({"tokens": 10_000_001}), "x_simulator.tokens"),
        (json!({"usage": 7}), "x_simulator.usage"),
        (json!({"step": 1}), "x_simulator.step"),
        (json!({"toekns": 1}), "x_simulator.toekns"),
        (json!("cut"), "x_simulator"),
    ];
    for (script, field) in table {
        let answer = post(&simulator, CHAT, &chat(true, script.clone())).await;
        assert_eq!(answer.status, 400, "{script}");
        let error = answer.json().await;
        assert_eq!(error["error"]["param"], field, "{script}");
        assert!(error["error"]["message"].as_str().unwrap().contains(field), "{script}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_openai_s_shape() {
    let simulator = start().await;
    let table = [
        ("POST", CHAT, "{", 400),
        ("POST", CHAT, "{}", 400),
        ("POST", CHAT, r#"{"model":"m","messages":[]}"#, 400),
        ("POST", CHAT, r#"{"model":"m","model":"m","messages":[{}]}"#, 400),
        ("POST", "/v1/responses", "{}", 404),
        ("GET", CHAT, "", 404),
    ];
    for (method, path, body, status) in table {
        let answer = send(&simulator, method, path, "", body.as_bytes()).await;
        let answer = Answer::read(answer).await.unwrap();
        assert_eq!(answer.status, status, "{body}");
        let error = answer.json().await["error"].clone();
        let fields: Vec<_> = error.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["message", "type", "param", "code"], "{body}");
    }
}

pub(crate) fn base64_bytes(text: &Value) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}
