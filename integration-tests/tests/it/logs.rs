//! Logs: one JSON object a line for machines, one line for each request where that is wanted, and never what was said.

use integration_tests::{Gateway, GatewayBuilder, Request, say};
use serde_json::{Value, json};

/// Planted where only an upstream may read them.
const SECRETS: [&str; 4] = ["PLANTEDPROMPT", "PLANTEDTOOL", "PLANTEDTITLE", "PLANTEDQUERY"];

fn logging(access: &str, format: &str) -> GatewayBuilder {
    Gateway::demo()
        .env("TURNPIKE__LOG__ACCESS", access)
        .env("TURNPIKE__LOG__FORMAT", format)
        .env("TURNPIKE__LOG__FILTER", "debug")
}

fn planted() -> Value {
    let mut body = say(3);
    body["messages"][0]["content"] = "PLANTEDPROMPT".into();
    body["tools"] = json!([{"type": "function", "function": {"name": "PLANTEDTOOL"}}]);
    body
}

async fn ask(gateway: &Gateway, key: &str) -> String {
    let request = Request::post("/v1/chat/completions?key=PLANTEDQUERY", planted().to_string());
    let request = request.bearer(key).header("x-title", "PLANTEDTITLE");
    gateway.send(&request).await.request_id().to_owned()
}

/// The lines of the process; those of the tests' own making are not among them.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let text = gateway.stderr();
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn accesses(gateway: &Gateway) -> Vec<Value> {
    lines(gateway).into_iter().filter(|line| line["target"] == "access").collect()
}

#[tokio::test]
async fn a_request_gets_one_json_line_with_the_fields_of_its_usage_event() {
    let gateway = logging("on", "json").start().await;
    let served = ask(&gateway, gateway.api_key()).await;
    let refused = ask(&gateway, "sk-nobody").await;
    let bill = gateway.admin().bill(&served).await;
    let accesses = accesses(&gateway);
    assert_eq!(accesses.len(), 2, "{accesses:?}");
    let of = |id: &str| accesses.iter().find(|line| line["request_id"] == id).unwrap();
    let line = of(&served);
    assert_eq!(line["message"], "request settled");
    assert_eq!((&line["outcome"], &line["status"]), (&json!("completed"), &json!(200)), "{line}");
    assert_eq!(line["charge_nano"].to_string(), bill["charge_nano"].as_str().unwrap());
    assert_eq!((&line["model"], &line["entity"]), (&json!("demo/chat"), &json!("global")));
    assert!(line["lines"].as_str().unwrap().contains("output=3"), "{line}");
    let line = of(&refused);
    assert_eq!((&line["status"], &line["error_type"]), (&json!(401), &json!("authentication")));
    for line in lines(&gateway) {
        for field in ["timestamp", "level", "target", "message", "service.name"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<jiff::Timestamp>().is_ok() && timestamp.ends_with('Z'), "{line}");
    }
}

#[tokio::test]
async fn no_log_says_what_a_client_said_or_who_it_is() {
    for format in ["json", "text"] {
        let gateway = logging("on", format).start().await;
        // The demo's own key is told to whoever starts it; this one to nobody.
        let key = gateway.new_org("quiet", "1.00 USD").await.key;
        let id = ask(&gateway, &key).await;
        let attempt = &gateway.simulator().attempts_of(&id, 1).await[0];
        use base64::Engine as _;
        let body = attempt["request_body"].as_str().unwrap();
        let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("PLANTEDPROMPT"), "the positive control: it was sent: {body}");
        gateway.admin().bill(&id).await;
        let said = gateway.stderr();
        assert!(said.contains(&id), "{format}: the request is logged");
        for secret in SECRETS.iter().chain([&key.as_str()]) {
            assert!(!said.contains(secret), "{format}: {secret} is in the log");
        }
        assert!(!said.contains("demo-credential"), "{format}: a credential is in the log");
    }
}

#[tokio::test]
async fn the_access_log_is_off_unless_it_is_asked_for_and_can_be_sampled() {
    let table = [("off", "1.0", 0..=0), ("sampled", "0.0", 0..=0), ("sampled", "0.5", 1..=39)];
    for (access, ratio, expected) in table {
        let builder = logging(access, "json").env("TURNPIKE__LOG__ACCESS_RATIO", ratio);
        let gateway = builder.start().await;
        for _ in 0..40 {
            ask(&gateway, gateway.api_key()).await;
        }
        let logged = accesses(&gateway).len();
        assert!(expected.contains(&logged), "{access} {ratio}: {logged} of 40");
    }
}
