//! The error table, row by row: the right status, the one shape, and a message that names the field or the remedy.

use integration_tests::{Event, Gateway, NewOrg, Reply, Request, say};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// What a row of the table says.
pub(crate) struct Row<'a> {
    pub(crate) status: u16,
    pub(crate) error_type: &'a str,
    /// What the message must name.
    pub(crate) names: &'a str,
}

pub(crate) fn check(reply: &Reply, row: &Row<'_>) -> Value {
    let text = reply.text();
    assert_eq!(reply.status, row.status, "{text}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{text}");
    let error = reply.json()["error"].clone();
    assert_eq!(error["code"], row.status, "{text}");
    assert_eq!(error["metadata"]["error_type"], row.error_type, "{text}");
    assert_eq!(error["metadata"]["request_id"], reply.request_id(), "{text}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(row.names), "{message:?} does not name {:?}", row.names);
    error
}

async fn post(gateway: &Gateway, key: &str, body: impl Into<Vec<u8>>) -> Reply {
    gateway.send(&Request::post(CHAT, body).bearer(key)).await
}

fn faulty(fault: &str) -> Value {
    let mut body = say(4);
    body["x_simulator"]["fault"] = fault.into();
    body
}

#[tokio::test]
async fn a_body_that_cannot_be_used_is_400_and_its_field_is_named() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let deep = format!(
        r#"{{"model":"demo/chat","messages":[{{}}],"x":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let table: [(&[u8], &str); 14] = [
        (b"", "JSON object"),
        (b"not json", "JSON object"),
        (b"{\"model\":", "JSON object"),
        (b"\xff\xfe{}", "UTF-8"),
        (br#"{"messages":[{"role":"user","content":"a"}]}"#, "`model`"),
        (br#"{"model":["a"],"messages":[{}]}"#, "`model`"),
        (br#"{"model":"demo/chat"}"#, "`messages`"),
        (br#"{"model":"demo/chat","messages":[]}"#, "`messages`"),
        (br#"{"model":"demo/chat","messages":[{}],"max_tokens":-1}"#, "`max_tokens`"),
        (br#"{"model":"demo/chat","messages":[{}],"n":0}"#, "`n`"),
        (br#"{"model":"demo/chat","messages":[{}],"stream":"true"}"#, "`stream`"),
        (br#"{"model":"demo/chat","model":"demo/long","messages":[{}]}"#, "twice"),
        (br#"{"model":"demo/chat","Model":"demo/long","messages":[{}]}"#, "`model`"),
        (deep.as_bytes(), "nested deeper than 128"),
    ];
    for (body, names) in table {
        let reply = post(&gateway, key, body).await;
        check(&reply, &Row { status: 400, error_type: "invalid_request", names });
    }
    let context = gateway.chat(key, faulty("context_length")).await;
    check(&context, &Row { status: 400, error_type: "context_length_exceeded", names: "shorten" });
    let filter = gateway.chat(key, faulty("content_filter")).await;
    check(&filter, &Row { status: 400, error_type: "content_policy_violation", names: "filter" });
    let refused = gateway.chat(key, faulty("bad_request")).await;
    check(&refused, &Row { status: 400, error_type: "invalid_request", names: "parameters" });
}

#[tokio::test]
async fn a_caller_who_is_nobody_is_401() {
    let gateway = Gateway::demo().start().await;
    let admin = gateway.admin();
    let body = say(1).to_string();
    let with = |value: &str| Request::post(CHAT, body.clone()).header("authorization", value);
    let row = |names| Row { status: 401, error_type: "authentication", names };
    let unknown = gateway.api_key().replacen("sk-tp-", "sk-tp-x", 1);
    check(&gateway.send(&Request::post(CHAT, body.clone())).await, &row("Authorization: Bearer"));
    check(&gateway.send(&with("Basic abc")).await, &row("Bearer"));
    check(&gateway.send(&with("Bearer ' OR 1=1--")).await, &row("copied whole"));
    check(&gateway.send(&with(&format!("Bearer {unknown}"))).await, &row("copied whole"));
    let twice = with(&format!("Bearer {}", gateway.api_key())).bearer(gateway.api_key());
    let ambiguous = Row { status: 400, error_type: "invalid_request", names: "more than one key" };
    check(&gateway.send(&twice).await, &ambiguous);

    let org = gateway.new_org("former", "1.00 USD").await;
    let key_name = admin.json(&["get", "key", "-o", "json"]).await;
    let name = key_name.to_string();
    let name = name.split('"').find(|word| word.starts_with("former/")).unwrap().to_owned();
    admin.apply(&format!("kind: Key\nname: {name}\nspec: {{org: former, disabled: true}}\n")).await;
    check(&gateway.chat(&org.key, say(1)).await, &row("disabled"));
    let past = "expire_time: '2020-01-01T00:00:00Z'";
    admin.apply(&format!("kind: Key\nname: {name}\nspec: {{org: former, {past}}}\n")).await;
    check(&gateway.chat(&org.key, say(1)).await, &row("expired"));
    let deleted = admin.run(&["delete", "key", &name]).await;
    assert_eq!(deleted.status, 0, "{}", deleted.stderr);
    integration_tests::eventually("the key is forgotten", async || {
        let reply = gateway.chat(&org.key, say(1)).await;
        reply.text().contains("not known").then(|| check(&reply, &row("not known")))
    })
    .await;
}

#[tokio::test]
async fn what_a_key_may_not_do_is_403_and_what_is_not_there_404() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let admin = gateway.admin();
    let asking = |model: &str| {
        let mut body = say(1);
        body["model"] = model.into();
        body
    };
    let forbidden = |names| Row { status: 403, error_type: "permission_denied", names };
    check(&gateway.chat(key, asking("demo/cn-only")).await, &forbidden("jurisdiction"));
    let narrow = admin
        .json(&["key", "create", "--org", "demo", "--models", "demo/long", "-o", "json"])
        .await;
    let narrow = narrow["secret"].as_str().unwrap();
    gateway.knows(narrow).await;
    check(&gateway.chat(narrow, asking("demo/chat")).await, &forbidden("may not use the model"));

    let missing = |names| Row { status: 404, error_type: "not_found", names };
    check(&gateway.chat(key, asking("demo/none")).await, &missing("GET /v1/models"));
    let elsewhere = gateway.send(&Request::get("/v2/chat").bearer(key)).await;
    check(&elsewhere, &missing("/v1/chat/completions"));
    let wrong_method = gateway.send(&Request::get(CHAT).bearer(key)).await;
    check(&wrong_method, &Row { status: 405, error_type: "invalid_request", names: "POST" });
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let settings = Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__BODY_BYTES", "10000");
    let gateway = settings.start().await;
    let mut body = say(1);
    body["padding"] = "x".repeat(20_000).into();
    let reply = gateway.chat(gateway.api_key(), body).await;
    check(&reply, &Row { status: 413, error_type: "payload_too_large", names: "10000 bytes" });
}

#[tokio::test]
async fn money_that_is_not_there_is_402_with_its_reason() {
    let gateway = Gateway::demo().start().await;
    let row = |names| Row { status: 402, error_type: "payment_required", names };
    let poor = gateway.create_org(NewOrg::named("poor")).await;
    let reply = gateway.chat(&poor.key, say(1)).await;
    assert_eq!(check(&reply, &row("top it up"))["metadata"]["reason"], "insufficient_balance");
    assert_eq!(reply.header("x-should-retry"), Some("false"));

    let budgeted =
        NewOrg { credit: "1.00 USD", key_budget: "0.000001 USD", ..NewOrg::named("budgeted") };
    let budgeted = gateway.create_org(budgeted).await;
    let reply = gateway.chat(&budgeted.key, say(1)).await;
    assert_eq!(check(&reply, &row("budget"))["metadata"]["reason"], "key_budget");

    // Enough for one whole answer of the model's length, which the first request holds while it runs.
    let busy = gateway.new_org("busy", "0.02 USD").await;
    let mut long = say(2_000);
    long["max_tokens"] = 10_000.into();
    long["x_simulator"]["pace_ms"] = 100.into();
    let mut running = gateway.stream(&busy.key, long.clone()).await;
    running.next().await.unwrap();
    let mut first_of_many = Vec::new();
    let reply = loop {
        let mut stream = gateway.stream(&busy.key, whole_bound()).await;
        if stream.status() == 200 {
            stream.next().await.unwrap();
            first_of_many.push(stream);
            continue;
        }
        break stream.into_reply().await.unwrap();
    };
    assert_eq!(check(&reply, &row("still running"))["metadata"]["reason"], "in_flight");
    assert!(reply.header("retry-after").is_some());
}

/// A stream that must hold its whole answer, because it cannot be metered as it goes.
fn whole_bound() -> Value {
    json!({
        "model": "demo/reasoning",
        "messages": [{"role": "user", "content": "hello"}],
        "x_simulator": {"tokens": 500, "pace_ms": 1000},
    })
}

#[tokio::test]
async fn upstreams_that_fail_are_502_503_or_504() {
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__FIRST_TOKEN_TIMEOUT", "1s")
        .env("TURNPIKE__DATA_PLANE__LIMITS__ANSWER_TIMEOUT", "2s")
        .start()
        .await;
    let table = [
        ("server_error", 502, "provider_unavailable", "answered with an error"),
        ("unauthorized", 502, "provider_unavailable", "answered with an error"),
        ("html", 502, "provider_unavailable", "no usable answer"),
        ("rate_limit", 503, "provider_overloaded", "overloaded"),
        ("unavailable", 503, "provider_overloaded", "overloaded"),
        ("reset", 503, "provider_overloaded", "are down"),
        ("silence", 504, "timeout", "in time"),
    ];
    for (fault, status, error_type, names) in table {
        for streams in [false, true] {
            let mut body = faulty(fault);
            body["stream"] = streams.into();
            let reply = gateway.chat(gateway.api_key(), body).await;
            check(&reply, &Row { status, error_type, names });
            assert!(!reply.text().contains("demo-credential"), "{}", reply.text());
        }
    }
    let slow = json!({"tokens": 2, "fault": "slow_first_token", "delay_ms": 60_000});
    let mut body = say(2);
    body["x_simulator"] = slow;
    let reply = gateway.stream(gateway.api_key(), body).await.into_reply().await.unwrap();
    check(&reply, &Row { status: 504, error_type: "timeout", names: "in time" });
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_nothing_after_it() {
    let settings =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__BETWEEN_TOKENS_TIMEOUT", "1s");
    let gateway = settings.start().await;
    for (fault, code) in
        [("cut", 502), ("malformed_chunk", 502), ("error_mid", 502), ("stall", 504)]
    {
        let mut body = faulty(fault);
        body["x_simulator"]["at"] = 2.into();
        let stream = gateway.stream(gateway.api_key(), body).await;
        assert_eq!(stream.status(), 200);
        let (events, _) = stream.rest().await;
        let words = events.iter().filter_map(Event::words).count();
        assert_eq!(words, 2, "{fault}: {events:?}");
        let last = events.last().unwrap();
        let error = last.error().unwrap_or_else(|| panic!("{fault} ended with {last:?}"));
        assert_eq!(error["code"], code, "{fault}: {error}");
        assert_eq!(last.json().as_object().unwrap().len(), 1, "an error event holds nothing else");
        assert!(!events.iter().any(Event::is_done), "{fault} was presented as whole");
    }
}
