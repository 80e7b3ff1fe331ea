//! P8: what goes wrong before an upstream has said anything goes to the next one; what is the request's own fault, or
//! comes later, does not.

use integration_tests::{Event, Gateway, say};
use serde_json::Value;

/// A fault of the first attempt alone.
fn first_attempt(fault: &str) -> Value {
    let mut body = say(3);
    body["x_simulator"]["fault"] = fault.into();
    body["x_simulator"]["attempt"] = 1.into();
    body
}

fn attempts(bill: &Value) -> Vec<(String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attempt =
        |a: &Value| (text(&a["upstream"]), a["status"].as_u64().unwrap_or(0), text(&a["error"]));
    bill["attempts"].as_array().unwrap().iter().map(attempt).collect()
}

#[tokio::test]
async fn an_upstream_that_fails_before_it_said_anything_is_followed_by_the_next() {
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__FIRST_TOKEN_TIMEOUT", "1s")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN", "1ms")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN_MAX", "1ms")
        .start()
        .await;
    let table = [
        ("rate_limit", 429, "overloaded"),
        ("server_error", 500, "failed"),
        ("unavailable", 503, "overloaded"),
        ("unauthorized", 401, "failed"),
        ("reset", 0, "unreachable"),
        ("silence", 0, "silent"),
        ("slow_first_token", 0, "silent"),
        ("error_first", 200, "failed"),
        ("html", 0, "malformed"),
    ];
    for (fault, status, reason) in table {
        let stream = gateway.stream(gateway.api_key(), first_attempt(fault)).await;
        assert_eq!(stream.status(), 200, "{fault}");
        let id = stream.request_id().to_owned();
        let (events, _) = stream.rest().await;
        assert!(events.last().unwrap().is_done(), "{fault}: {events:?}");
        assert_eq!(events.iter().filter_map(Event::words).count(), 3, "{fault}");
        let bill = gateway.admin().bill(&id).await;
        let tried = attempts(&bill);
        assert_eq!(tried.len(), 2, "{fault}: {tried:?}");
        assert_eq!((tried[0].1, tried[0].2.as_str()), (status, reason), "{fault}");
        assert_eq!((tried[1].1, tried[1].2.as_str()), (200, ""), "{fault}");
        assert_ne!(tried[0].0, tried[1].0, "{fault}");
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_followed_by_the_next() {
    let gateway = Gateway::demo().start().await;
    // Port 1 of this machine: nothing listens there.
    let nowhere = "kind: Upstream\nname: demo-a\nspec:\n  vendor: simulator\n  dialect: openai\n  \
                   base_url: http://127.0.0.1:1/v1\n  jurisdiction: SG\n  stops_on_abort: true\n";
    gateway.admin().apply(nowhere).await;
    let reply = gateway.chat(gateway.api_key(), say(3)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let tried = attempts(&gateway.admin().bill(reply.request_id()).await);
    assert_eq!(tried[0], ("demo-a".to_owned(), 0, "unreachable".to_owned()));
    assert_eq!(tried[1].0, "demo-b");
}

#[tokio::test]
async fn what_is_the_requests_own_fault_is_not_tried_elsewhere() {
    let gateway = Gateway::demo().start().await;
    for fault in ["bad_request", "context_length", "content_filter"] {
        let reply = gateway.chat(gateway.api_key(), first_attempt(fault)).await;
        assert_eq!(reply.status, 400, "{fault}: {}", reply.text());
        let bill = gateway.admin().bill(reply.request_id()).await;
        assert_eq!(attempts(&bill).len(), 1, "{fault}");
        assert_eq!(integration_tests::nano(&bill["charge_nano"]), 0, "{fault}");
    }
}

#[tokio::test]
async fn nothing_is_tried_again_once_the_client_has_seen_a_token() {
    let gateway = Gateway::demo().start().await;
    let mut body = first_attempt("cut");
    body["x_simulator"]["at"] = 1.into();
    let stream = gateway.stream(gateway.api_key(), body).await;
    let id = stream.request_id().to_owned();
    let (events, _) = stream.rest().await;
    assert!(events.last().unwrap().error().is_some(), "{events:?}");
    let bill = gateway.admin().bill(&id).await;
    assert_eq!(attempts(&bill).len(), 1);
    assert_eq!(bill["outcome"], "upstream_failed");
}

#[tokio::test]
async fn a_stream_gets_keep_alives_while_upstreams_are_tried() {
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__STREAM_HEADERS_WAIT", "200ms")
        .env("TURNPIKE__DATA_PLANE__LIMITS__FIRST_TOKEN_TIMEOUT", "1s")
        .start()
        .await;
    let mut stream = gateway.stream(gateway.api_key(), first_attempt("silence")).await;
    assert_eq!(stream.status(), 200);
    let first = stream.next().await.unwrap();
    assert!(stream.comments() >= 1, "no keep-alive before {first:?}");
    let (events, _) = stream.rest().await;
    assert!(events.last().unwrap().is_done());

    let mut hopeless = first_attempt("silence");
    hopeless["x_simulator"]["attempt"] = 2.into();
    let stream = gateway.stream(gateway.api_key(), hopeless).await;
    assert_eq!(stream.status(), 200);
    let (events, _) = stream.rest().await;
    assert_eq!(events.last().unwrap().error().unwrap()["code"], 504, "{events:?}");
}
