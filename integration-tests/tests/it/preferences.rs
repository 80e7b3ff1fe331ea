//! OpenRouter's `models` and `provider`: where a client wants its request to go, within what law and catalog allow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Gateway, Reply, Request, say};
use serde_json::{Value, json};

/// A chat with these fields put over it.
fn asking(fields: &Value) -> Value {
    let mut body = say(2);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

async fn ask(gateway: &Gateway, fields: &Value) -> Reply {
    gateway.chat(gateway.api_key(), asking(fields)).await
}

/// The upstreams that a request was tried on.
async fn tried(gateway: &Gateway, fields: &Value) -> Vec<String> {
    let reply = ask(gateway, fields).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    let attempts = bill["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["upstream"].as_str().unwrap().to_owned()).collect()
}

async fn refused(gateway: &Gateway, fields: &Value, status: u16) -> Value {
    let reply = ask(gateway, fields).await;
    assert_eq!(reply.status, status, "{fields}: {}", reply.text());
    reply.json()["error"].clone()
}

#[tokio::test]
async fn any_error_leads_to_the_next_model_which_is_the_one_that_is_billed() {
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN", "1ms")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN_MAX", "1ms")
        .start()
        .await;
    let faults = [("context_length", 1), ("content_filter", 1), ("server_error", 2)];
    for (fault, failing) in faults {
        let fields = json!({
            "models": ["demo/long", "demo/vision"], "route": "fallback",
            "x_simulator": {"tokens": 2, "fault": fault, "attempt": failing},
        });
        let reply = ask(&gateway, &fields).await;
        assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
        let bill = gateway.admin().bill(reply.request_id()).await;
        let names = (&bill["model"], &bill["requested_model"]);
        assert_eq!(names, (&json!("demo/long"), &json!("demo/chat")), "{fault}");
        let unit = bill["lines"].as_array().unwrap()[0]["unit_nano_per_million"].clone();
        assert_eq!(unit, "2500000000", "{fault}: the price of the model that served");
    }
    let unknown = json!({"model": "demo/none", "models": ["demo/embed", "demo/chat"]});
    assert_eq!(ask(&gateway, &unknown).await.status, 200);
    let mut alone = asking(&json!({"models": ["demo/chat"]}));
    alone.as_object_mut().unwrap().remove("model");
    let reply = gateway.chat(gateway.api_key(), alone).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_fallback_model_must_be_allowed_to_the_key() {
    let gateway = Gateway::demo().start().await;
    let made = ["key", "create", "--org", "demo", "--models", "demo/chat", "-o", "json"];
    let key = gateway.admin().json(&made).await["secret"].as_str().unwrap().to_owned();
    gateway.knows(&key).await;
    let reply = gateway.chat(&key, asking(&json!({"models": ["demo/long"]}))).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.text().contains("demo/long"), "{}", reply.text());
    let abroad = refused(&gateway, &json!({"model": "demo/cn-only", "models": []}), 403).await;
    assert_eq!(abroad["metadata"]["field"], "model");
}

#[tokio::test]
async fn the_hold_covers_the_dearest_of_the_models() {
    let gateway = Gateway::demo().start().await;
    // Enough for the longest answer of one of them, not for that of the other.
    let org = gateway.new_org("between", "0.50 USD").await;
    let bound = async |fields: Value| {
        let reply = gateway.chat(&org.key, asking(&fields)).await;
        let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
        let sent = STANDARD.decode(attempts[0]["request_body"].as_str().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&sent).unwrap()["max_completion_tokens"].as_u64()
    };
    assert_eq!(bound(json!({})).await, None);
    assert!(bound(json!({"models": ["demo/long"]})).await.is_some());
}

#[tokio::test]
async fn upstreams_are_ordered_and_left_out_as_asked() {
    let gateway = Gateway::demo().start().await;
    let fail = |fields: Value| {
        let mut fields = fields;
        fields["x_simulator"] = json!({"fault": "bad_request"});
        fields
    };
    let provider = |provider: Value| json!({"provider": provider});
    let table = [
        (provider(json!({"order": ["demo-b"]})), vec!["demo-b"]),
        (provider(json!({"order": ["DEMO-B", "demo-a"]})), vec!["demo-b"]),
        (provider(json!({"only": ["demo-b"]})), vec!["demo-b"]),
        (provider(json!({"ignore": ["demo-a"]})), vec!["demo-b"]),
        (provider(json!({"only": ["simulator"], "ignore": ["demo-b"]})), vec!["demo-a"]),
        (provider(json!({"zdr": true})), vec!["demo-b"]),
        (provider(json!({"data_collection": "deny"})), vec!["demo-b"]),
        (provider(json!({"data_collection": "allow", "sort": "latency"})), vec!["demo-a"]),
    ];
    for (fields, expected) in table {
        assert_eq!(tried(&gateway, &fail(fields.clone())).await, expected, "{fields}");
    }
    let broken = |provider: Value| json!({"provider": provider, "x_simulator": {"fault": "server_error", "tokens": 1}});
    let all = tried(&gateway, &broken(json!({"order": ["demo-b"]}))).await;
    assert_eq!(all, ["demo-b", "demo-a"]);
    let one = json!({"order": ["demo-b"], "allow_fallbacks": false});
    assert_eq!(tried(&gateway, &broken(one)).await, ["demo-b"]);
    assert_eq!(tried(&gateway, &broken(json!({"allow_fallbacks": false}))).await.len(), 1);
}

#[tokio::test]
async fn when_nothing_is_left_the_reasons_are_named() {
    let gateway = Gateway::demo().start().await;
    let table = [
        (json!({"provider": {"only": ["elsewhere"]}}), json!(["allowed_providers"])),
        (json!({"provider": {"max_price": {"prompt": 0.0001}}}), json!(["max_price"])),
        (json!({"provider": {"max_price": {"completion": "1.7"}}}), json!(["max_price"])),
        (json!({"model": "demo/reasoning", "provider": {"zdr": true}}), json!(["data_policy:zdr"])),
        (
            json!({"provider": {"ignore": ["demo-b"], "data_collection": "deny"}}),
            json!(["allowed_providers", "data_policy:training"]),
        ),
    ];
    for (fields, by) in table {
        let error = refused(&gateway, &fields, 404).await;
        assert_eq!(error["metadata"]["excluded_by"], by, "{fields}");
        assert_eq!(error["metadata"]["error_type"], "not_found");
    }
    let dear = json!({"provider": {"max_price": {"prompt": 0.6, "completion": 1.8, "request": 0}}});
    assert_eq!(ask(&gateway, &dear).await.status, 200, "a bound that is just met");
}

#[tokio::test]
async fn a_parameter_that_nobody_honours_is_422_where_it_is_required() {
    let gateway = Gateway::demo().start().await;
    let strict = json!({"require_parameters": true});
    let error = refused(&gateway, &json!({"top_k": 5, "provider": strict}), 422).await;
    assert!(error["message"].as_str().unwrap().contains("`top_k`"), "{error}");
    assert_eq!(error["metadata"]["excluded_by"], json!(["require_parameters"]));
    assert_eq!(ask(&gateway, &json!({"top_k": 5})).await.status, 200, "it passes otherwise");
    let known = json!({"temperature": 0.5, "provider": strict});
    assert_eq!(ask(&gateway, &known).await.status, 200);
    let one_route = "kind: Model\nname: demo/chooses\nspec:\n  origin: us\n  context_length: 1000\n  \
                     max_output_tokens: 100\n  input_modalities: [text]\n  \
                     supported_parameters: [x_simulator]\n  routes:\n    \
                     - {upstream: demo-a, model: sim-chat, priority: 1}\n    \
                     - {upstream: demo-b, model: sim-chat, priority: 2, \
                     supported_parameters: [top_k, x_simulator]}\n";
    gateway.admin().apply(one_route).await;
    let fields = json!({"model": "demo/chooses", "top_k": 5, "provider": strict});
    assert_eq!(tried(&gateway, &fields).await, ["demo-b"]);
}

#[tokio::test]
async fn the_cheapest_upstream_comes_first_when_price_sorts() {
    let gateway = Gateway::demo().start().await;
    let classes =
        ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];
    let prices: String = classes.iter().map(|class| format!("        {class}: '0.1'\n")).collect();
    let book = format!(
        "kind: PriceBook\nname: cheap-b\nspec:\n  currency: USD\n  upstreams: [demo-b]\n  entries:\n    \
         - model: demo/chat\n      prices:\n{prices}"
    );
    gateway.admin().apply(&book).await;
    assert_eq!(tried(&gateway, &json!({})).await, ["demo-a"]);
    for sort in [json!("price"), json!({"by": "price", "partition": "none"})] {
        let fields = json!({"provider": {"sort": sort}});
        assert_eq!(tried(&gateway, &fields).await, ["demo-b"]);
    }
}

#[tokio::test]
async fn what_is_said_to_the_gateway_is_not_said_to_upstreams() {
    let gateway = Gateway::demo().start().await;
    let body = r#"{"session_id":"chat-17","model":"demo/chat","models":["demo/long"],"messages":[{"role":"user","content":"hi"}],"metadata":{"a":1},"provider":{"order":["demo-b"]},"usage":{"include":true},"route":"fallback"}"#;
    let request = Request::post("/v1/chat/completions", body).bearer(gateway.api_key());
    let reply = gateway.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
    let sent = STANDARD.decode(attempts[0]["request_body"].as_str().unwrap()).unwrap();
    let expected =
        r#"{"model":"sim-chat","messages":[{"role":"user","content":"hi"}],"metadata":{"a":1}}"#;
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(bill["session_id"], "chat-17");
    let request = Request::post("/v1/chat/completions", say(1).to_string());
    let reply =
        gateway.send(&request.bearer(gateway.api_key()).header("x-session-id", "chat-18")).await;
    assert_eq!(gateway.admin().bill(reply.request_id()).await["session_id"], "chat-18");
}

#[tokio::test]
async fn a_model_answers_to_its_aliases_until_they_are_gone() {
    let gateway = Gateway::demo().start().await;
    let model = |aliases: &str| {
        format!(
            "kind: Model\nname: demo/known\nspec:\n  origin: us\n  context_length: 1000\n  \
             max_output_tokens: 100\n  input_modalities: [text]\n  aliases: {aliases}\n  \
             routes: [{{upstream: demo-a, model: sim-chat}}]\n"
        )
    };
    gateway.admin().apply(&model("[gpt-4o]")).await;
    let fields = json!({"model": "gpt-4o"});
    let reply = ask(&gateway, &fields).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bill = gateway.admin().bill(reply.request_id()).await;
    let names = (&bill["model"], &bill["requested_model"]);
    assert_eq!(names, (&json!("demo/known"), &json!("gpt-4o")));
    gateway.admin().apply(&model("[]")).await;
    refused(&gateway, &fields, 404).await;
}

/// A stream by one upstream at a pace, so that its speed is known.
async fn shows(gateway: &Gateway, upstream: &str, script: Value) {
    let mut body = asking(&json!({"provider": {"only": [upstream]}, "x_simulator": script}));
    body["stream"] = true.into();
    let stream = gateway.stream(gateway.api_key(), body).await;
    let id = stream.request_id().to_owned();
    stream.rest().await;
    gateway.admin().bill(&id).await;
}

#[tokio::test]
async fn sort_by_latency_or_throughput_goes_by_what_upstreams_showed() {
    let gateway = Gateway::demo().start().await;
    let first = async |sort: &str| {
        let fields = json!({"provider": {"sort": sort}, "x_simulator": {"tokens": 1}});
        tried(&gateway, &fields).await.remove(0)
    };
    let soon = |pace: u64| json!({"tokens": 6, "pace_ms": pace});
    let late = json!({"tokens": 6, "pace_ms": 1, "fault": "slow_first_token", "delay_ms": 400});
    for sort in ["latency", "throughput"] {
        assert_eq!(first(sort).await, "demo-a", "by priority, as long as nothing is known: {sort}");
    }
    shows(&gateway, "demo-b", soon(80)).await;
    for sort in ["latency", "throughput"] {
        assert_eq!(first(sort).await, "demo-b", "what is known comes before what is not: {sort}");
    }
    shows(&gateway, "demo-a", late).await;
    assert_eq!(first("latency").await, "demo-b", "it began sooner");
    assert_eq!(first("throughput").await, "demo-a", "it was faster once it had begun");
    assert_eq!(tried(&gateway, &json!({})).await, ["demo-a"], "who does not ask goes by priority");
}

#[tokio::test]
async fn what_is_known_of_a_speed_is_forgotten_when_it_is_old() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__SPEED_AGE_MAX", "1 s").start().await;
    shows(&gateway, "demo-b", json!({"tokens": 3})).await;
    let fields = json!({"provider": {"sort": "latency"}, "x_simulator": {"tokens": 1}});
    integration_tests::eventually("it goes by priority again", async || {
        (tried(&gateway, &fields).await == ["demo-a"]).then_some(())
    })
    .await;
}
