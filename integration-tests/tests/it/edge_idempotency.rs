//! `Idempotency-Key` (case 28 of the list of bad inputs): one attempt, whoever repeats it is told of the first request.

use integration_tests::{Gateway, Reply, Request, say};
use serde_json::Value;

fn chat(key: &str, idempotency_key: &str, body: &Value) -> Request {
    let request = Request::post("/v1/chat/completions", body.to_string()).bearer(key);
    request.header("idempotency-key", idempotency_key)
}

fn is_repeat_of(reply: &Reply, first: &str) {
    assert_eq!(reply.status, 409, "{}", reply.text());
    let metadata = &reply.json()["error"]["metadata"];
    assert_eq!(metadata["first_request_id"], first);
    assert_ne!(metadata["request_id"], first);
    assert_eq!(reply.header("x-should-retry"), Some("false"), "SDKs retry 409 of themselves");
}

#[tokio::test]
async fn case_28_a_repeated_key_is_409_while_the_first_request_runs_and_after_it() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let mut slow = say(30);
    slow["stream"] = true.into();
    slow["x_simulator"]["pace_ms"] = 20.into();
    let first = gateway.client().open(&chat(key, "order-1", &slow)).await.unwrap();
    let first_id = first.head.request_id().to_owned();
    is_repeat_of(&gateway.send(&chat(key, "order-1", &slow)).await, &first_id);
    first.whole().await.unwrap();
    for body in [slow, say(1)] {
        is_repeat_of(&gateway.send(&chat(key, "order-1", &body)).await, &first_id);
    }
    assert_eq!(gateway.send(&chat(key, "order-2", &say(1))).await.status, 200);

    let other = gateway.new_org("other", "1.00 USD").await;
    let reply = gateway.send(&chat(&other.key, "order-1", &say(1))).await;
    assert_eq!(reply.status, 200, "another org's key is another key: {}", reply.text());
    gateway.admin().reconciled_with(3).await;
}

#[tokio::test]
async fn case_28_of_many_at_once_exactly_one_reaches_an_upstream() {
    let gateway = Gateway::demo().start().await;
    let request = chat(gateway.api_key(), "at-once", &say(5));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (client, request) = (gateway.client(), request.clone());
            tokio::spawn(async move { client.try_send(&request).await.unwrap().status })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[1], statuses[19]), (200, 409, 409), "{statuses:?}");
    let mut log = gateway.simulator().reader();
    log.read_on().await;
    assert_eq!(log.attempts.len(), 1);
}

#[tokio::test]
async fn a_request_that_was_refused_has_not_used_its_key_and_one_that_was_admitted_has() {
    let gateway = Gateway::demo().start().await;
    let poor = gateway.new_org("poor", "0.000000001 USD").await;
    for _ in 0..2 {
        assert_eq!(gateway.send(&chat(&poor.key, "a", &say(1))).await.status, 402);
    }
    let key = gateway.api_key();
    assert_eq!(gateway.send(&chat(key, "b", &serde_json::json!({}))).await.status, 400);
    assert_eq!(gateway.send(&chat(key, "b", &say(1))).await.status, 200);
    let mut failing = say(1);
    failing["x_simulator"]["fault"] = "unavailable".into();
    let failed = gateway.send(&chat(key, "c", &failing)).await;
    assert_eq!(failed.status, 503);
    assert_eq!(failed.header("x-should-retry"), Some("false"), "a repeat could only be 409");
    is_repeat_of(&gateway.send(&chat(key, "c", &say(1))).await, failed.request_id());
    for bad in ["", &"x".repeat(256)] {
        let reply = gateway.send(&chat(key, bad, &say(1))).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().contains("Idempotency-Key"));
    }
}

#[tokio::test]
async fn a_key_stays_used_through_a_kill() {
    let mut gateway = Gateway::demo().start().await;
    let key = gateway.api_key().to_owned();
    let ended = gateway.send(&chat(&key, "ended", &say(1))).await;
    let mut slow = say(1_000);
    slow["stream"] = true.into();
    slow["x_simulator"]["pace_ms"] = 20.into();
    let running = gateway.client().open(&chat(&key, "running", &slow)).await.unwrap();
    let running_id = running.head.request_id().to_owned();
    gateway.kill9().await;
    gateway.restart().await;
    is_repeat_of(&gateway.send(&chat(&key, "running", &slow)).await, &running_id);
    is_repeat_of(&gateway.send(&chat(&key, "ended", &say(1))).await, ended.request_id());
}

#[tokio::test]
async fn a_key_may_be_used_again_after_its_window() {
    let window = "TURNPIKE__DATA_PLANE__LIMITS__IDEMPOTENCY_WINDOW";
    let gateway = Gateway::demo().env(window, "300 ms").start().await;
    let request = chat(gateway.api_key(), "again", &say(1));
    let first = gateway.send(&request).await;
    assert_eq!(first.status, 200);
    let again = integration_tests::eventually("the key is free again", async || {
        let reply = gateway.send(&request).await;
        (reply.status != 409).then_some(reply.status)
    });
    assert_eq!(again.await, 200);
}
