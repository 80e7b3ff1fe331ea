//! Completions and embeddings go the same way as chats: held, metered, charged, passed on unchanged, and stopped in time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Event, Gateway, nano};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const CHAT: &str = "/v1/chat/completions";

/// What the demo's customers pay, in nano-units per token.
const EMBED_NANO: i64 = 24;
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;

/// Quantity and provenance by class, but for the request itself, which costs nothing here.
fn lines(bill: &Value) -> BTreeMap<String, (i64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line =
        |line: &Value| (text(&line["class"]), (nano(&line["quantity"]), text(&line["provenance"])));
    let lines = bill["lines"].as_array().unwrap().iter();
    lines.filter(|line| line["class"] != "request").map(line).collect()
}

fn line(class: &str, quantity: i64, provenance: &str) -> (String, (i64, String)) {
    (class.to_owned(), (quantity, provenance.to_owned()))
}

#[tokio::test]
async fn embeddings_are_charged_for_their_input_alone() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let table = [
        (json!("hello there"), 2),
        (json!(["hello", " there", "hello"]), 3),
        (json!([1, 2, 3, 4, 5]), 5),
        (json!([[1, 2], [3]]), 3),
    ];
    for (input, tokens) in table {
        for reports in [true, false] {
            let mut body = json!({"model": "demo/embed", "input": input, "dimensions": 3});
            if !reports {
                body["x_simulator"] = json!({"usage": "none"});
            }
            let reply = gateway.post(EMBEDDINGS, key, &body).await;
            assert_eq!(reply.status, 200, "{input}: {}", reply.text());
            let vectors = reply.json()["data"].as_array().unwrap().len();
            assert!(vectors > 0 && reply.json()["data"][0]["embedding"].is_array());
            let bill = gateway.admin().bill(reply.request_id()).await;
            let provenance = if reports { "reported" } else { "counted" };
            let expected = BTreeMap::from([line("input", tokens, provenance)]);
            assert_eq!(lines(&bill), expected, "{input}");
            assert_eq!(nano(&bill["charge_nano"]), tokens * EMBED_NANO, "{input}");
            let facts = (&bill["operation"], &bill["outcome"], &bill["usage_anomaly"]);
            assert_eq!(
                facts,
                (&json!("embeddings"), &json!("completed"), &json!(false)),
                "{input}"
            );
        }
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn embeddings_hold_just_what_their_tokens_cost() {
    let gateway = Gateway::demo().start().await;
    let body = json!({"model": "demo/embed", "input": vec![7; 1_000]});
    let exact = gateway.new_org("exact", "0.000024 USD").await;
    let reply = gateway.post(EMBEDDINGS, &exact.key, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    gateway.admin().bill(reply.request_id()).await;
    assert_eq!(gateway.admin().balance("exact").await.posted, 0);
    let short = gateway.new_org("short", "0.000023999 USD").await;
    let reply = gateway.post(EMBEDDINGS, &short.key, &body).await;
    assert_eq!(reply.status, 402, "{}", reply.text());
    assert_eq!(gateway.admin().balance("short").await.posted, 23_999);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn embeddings_are_charged_although_they_say_nothing() {
    let gateway = Gateway::demo().start().await;
    let entities = gateway.admin().json(&["get", "entity", "global", "-o", "json"]).await;
    assert_ne!(entities["spec"]["empty_answer"], "CHARGE_NOTHING", "{entities}");
    let entity = include_str!("../../../turnpike/demo/entities.yaml");
    let global = entity.split("---").find(|entity| entity.contains("name: global")).unwrap();
    let lenient = format!("{}\n  empty_answer: CHARGE_NOTHING\n", global.trim_end());
    gateway.admin().apply(&lenient).await;
    let embed = json!({"model": "demo/embed", "input": "hello there"});
    let reply = gateway.post(EMBEDDINGS, gateway.api_key(), &embed).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(nano(&bill["charge_nano"]), 2 * EMBED_NANO);
    let empty = json!({"model": "demo/chat", "prompt": "hello", "x_simulator": {"tokens": 0}});
    let reply = gateway.post(COMPLETIONS, gateway.api_key(), &empty).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(nano(&bill["charge_nano"]), 0, "an answer that should have said something");
}

#[tokio::test]
async fn completions_are_charged_for_what_was_read_and_made() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    // prompt, more, input and output tokens
    let table = [
        (json!("hello there"), json!({}), 2, 4),
        (json!("hello there"), json!({"n": 3}), 2, 12),
        (json!(["hello", " there"]), json!({}), 2, 8),
        (json!([[1, 2, 3], [4]]), json!({}), 4, 8),
        (json!("hello there"), json!({"echo": true}), 2, 4),
        (json!("hello there"), json!({"max_tokens": 3}), 2, 3),
        (json!("hello there"), json!({"suffix": " there"}), 2, 4),
    ];
    for (prompt, more, input, output) in table {
        for (reports, streams) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut body = json!({"model": "demo/chat", "prompt": prompt, "stream": streams});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body["x_simulator"] = json!({"tokens": 4});
            // The simulator does not read a suffix; a model does.
            let input = if !reports && more.get("suffix").is_some() { input + 1 } else { input };
            if !reports {
                body["x_simulator"]["usage"] = "none".into();
            }
            let reply = gateway.post(COMPLETIONS, key, &body).await;
            assert_eq!(reply.status, 200, "{body}: {}", reply.text());
            assert!(!streams || reply.text().ends_with("data: [DONE]\n\n"), "{body}");
            assert!(!streams || !reply.text().contains("\"usage\""), "nobody asked: {body}");
            let bill = gateway.admin().bill(reply.request_id()).await;
            let provenance = if reports { "reported" } else { "counted" };
            let expected = BTreeMap::from([
                line("input", input, provenance),
                line("output", output, provenance),
            ]);
            assert_eq!(lines(&bill), expected, "{body}");
            let charge = input * INPUT_NANO + output * OUTPUT_NANO;
            assert_eq!(nano(&bill["charge_nano"]), charge, "{body}");
            assert_eq!(bill["operation"], "completions");
        }
    }
    let best =
        json!({"model": "demo/chat", "prompt": "hi", "best_of": 5, "x_simulator": {"tokens": 4}});
    let reply = gateway.post(COMPLETIONS, key, &best).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(lines(&bill)["output"], (20, "reported".to_owned()), "one is shown, five are made");
    assert_eq!(bill["usage_anomaly"], false);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_completion_that_its_balance_does_not_cover_stops_after_the_last_event_it_does() {
    let gateway = Gateway::demo().start().await;
    let balance = 400_000;
    let org = gateway.new_org("short", &format!("0.{balance:09} USD")).await;
    let body = json!({"model": "demo/chat", "prompt": "hello", "x_simulator": {"tokens": 5_000}});
    let stream = gateway.client().stream_at(COMPLETIONS, &org.key, body).await.unwrap();
    assert_eq!(stream.status(), 200);
    let id = stream.request_id().to_owned();
    let (events, _) = stream.rest().await;
    let delivered = i64::try_from(events.iter().filter_map(Event::words).count()).unwrap();
    assert_eq!(events.last().unwrap().error().unwrap()["code"], 402);
    let bill = gateway.admin().bill(&id).await;
    let charge = INPUT_NANO + delivered * OUTPUT_NANO;
    assert_eq!(nano(&bill["charge_nano"]), charge);
    assert!(charge <= balance && charge + OUTPUT_NANO > balance, "{charge} of {balance}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_completion_that_cannot_be_stopped_is_bounded_under_its_own_field() {
    let gateway = Gateway::demo().start().await;
    let org = gateway.new_org("bounded", "0.001 USD").await;
    let body = json!({"model": "demo/chat", "prompt": "hello", "x_simulator": {"tokens": 5_000}});
    let reply = gateway.post(COMPLETIONS, &org.key, &body).await;
    assert_eq!(reply.header("x-turnpike-limited-by"), Some("balance"), "{}", reply.text());
    let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
    let sent = STANDARD.decode(attempts[0]["request_body"].as_str().unwrap()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert!(sent["max_tokens"].as_u64().is_some_and(|bound| bound < 600), "{sent}");
    assert_eq!(sent.get("max_completion_tokens"), None);
}

#[tokio::test]
async fn both_reach_their_upstream_and_come_back_byte_for_byte() {
    let gateway = Gateway::demo().start().await;
    let table = [
        (COMPLETIONS, "demo/chat", "sim-chat", r#""prompt":"\u0068i 日本","logit_bias":{"7":1.0}"#),
        (EMBEDDINGS, "demo/embed", "sim-embed", r#""input":["a",[1,2]],"user":null,"x":1e2"#),
    ];
    for (path, model, upstream_model, rest) in table {
        let body = format!("{{ \"model\" : \"{model}\",\n{rest} }}");
        let request = integration_tests::Request::post(path, body.clone());
        let reply = gateway.send(&request.bearer(gateway.api_key())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
        let bytes = |field: &str| STANDARD.decode(attempts[0][field].as_str().unwrap()).unwrap();
        let sent = String::from_utf8(bytes("request_body")).unwrap();
        assert_eq!(sent, body.replace(model, upstream_model));
        assert_eq!(attempts[0]["path"], path);
        assert_eq!(reply.body, bytes("response_body"));
    }
}

#[tokio::test]
async fn a_model_that_does_something_else_names_its_endpoint() {
    let gateway = Gateway::demo().start().await;
    let only_chat = "kind: Model\nname: demo/talks\nspec:\n  origin: us\n  context_length: 1000\n  \
                     max_output_tokens: 100\n  input_modalities: [text]\n  operations: [chat]\n  \
                     routes: [{upstream: demo-a, model: sim-chat}]\n";
    gateway.admin().apply(only_chat).await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    let table = [
        (CHAT, json!({"model": "demo/embed", "messages": messages}), "/v1/embeddings"),
        (COMPLETIONS, json!({"model": "demo/embed", "prompt": "hi"}), "/v1/embeddings"),
        (EMBEDDINGS, json!({"model": "demo/chat", "input": "hi"}), "/v1/chat/completions"),
        (COMPLETIONS, json!({"model": "demo/talks", "prompt": "hi"}), "/v1/chat/completions"),
    ];
    for (path, body, named) in table {
        let reply = gateway.post(path, gateway.api_key(), &body).await;
        let error = &reply.json()["error"];
        assert_eq!(reply.status, 400, "{error}");
        assert_eq!(error["metadata"]["error_type"], "invalid_request");
        assert!(error["message"].as_str().unwrap().contains(named), "{path}: {error}");
    }
}

#[tokio::test]
async fn both_fail_over_and_ask_for_their_cost() {
    let gateway = Gateway::demo().start().await;
    let table = [
        (COMPLETIONS, json!({"model": "demo/chat", "prompt": "hi"})),
        (EMBEDDINGS, json!({"model": "demo/embed", "input": "hi"})),
    ];
    for (path, mut body) in table {
        body["usage"] = json!({"include": true});
        let reply = gateway.post(path, gateway.api_key(), &body).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        let cost = reply.json()["usage"]["cost"].to_string();
        let nanos = (cost.parse::<f64>().unwrap() * 1e9).round().to_string();
        assert_eq!(nanos, nano(&bill["charge_nano"]).to_string(), "{path}");
    }
    let mut body = json!({"model": "demo/chat", "prompt": "hi"});
    body["x_simulator"] = json!({"fault": "server_error", "attempt": 1});
    let reply = gateway.post(COMPLETIONS, gateway.api_key(), &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(bill["attempts"].as_array().unwrap().len(), 2, "{bill}");
    gateway.admin().reconciled().await;
}
