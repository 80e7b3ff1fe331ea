//! Headers and encodings (cases 10 to 12 and 25 of the list of bad inputs, CVE-2024-6587, CVE-2025-66405, CVE-2026-35030,
//! CVE-2026-42208): one key, allow-lists both ways, compressed bodies within bounds.

use integration_tests::{Gateway, Request, say};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn case_10_two_keys_are_400_and_neither_is_chosen() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let post = || Request::post(CHAT, say(1).to_string());
    for (what, request) in [
        ("twice the same", post().bearer(key).bearer(key)),
        ("two keys", post().bearer("sk-other").bearer(key)),
        ("two schemes", post().bearer(key).header("authorization", "Basic abc")),
        ("another x-api-key", post().bearer(key).header("x-api-key", "sk-other")),
        ("two x-api-keys", post().bearer(key).header("x-api-key", key).header("x-api-key", "b")),
    ] {
        let reply = gateway.send(&request).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert!(reply.text().contains("more than one key"), "{what}: {}", reply.text());
    }
    let agreeing = gateway.send(&post().bearer(key).header("x-api-key", key)).await;
    assert_eq!(agreeing.status, 200);
    let elsewhere = gateway.send(&post().header("x-api-key", key)).await;
    assert_eq!(elsewhere.status, 401, "chat completions are asked for with Authorization");
}

#[tokio::test]
async fn case_11_a_key_that_cannot_be_one_is_401_whatever_is_wrong_with_it() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let (body, check) = key.rsplit_once('_').unwrap();
    let mut junk = vec![
        "' OR 1=1--".to_owned(),
        "%27%20OR%201=1".to_owned(),
        format!("{key} {key}"),
        format!("{key}x"),
        format!("{body}_000000"),
        format!("{body}x_{check}"),
        key.replacen("sk-", "sk-other-", 1),
        "a".repeat(48 << 10),
        "schlüssel".to_owned(),
    ];
    // Keys that begin alike are different keys.
    junk.extend(
        (1..key.len()).step_by(7).map(|length| key.chars().take(length).collect::<String>()),
    );
    for secret in junk {
        let reply = gateway.send(&Request::post(CHAT, say(1).to_string()).bearer(&secret)).await;
        assert_eq!(reply.status, 401, "{secret:?}: {}", reply.text());
        assert_eq!(reply.json()["error"]["metadata"]["error_type"], "authentication");
        assert!(secret.len() < 12 || !reply.text().contains(&secret), "a key is never repeated");
    }
    assert_eq!(gateway.simulator().log_after(0).await, Vec::<Value>::new());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn case_12_compressed_bodies_are_unpacked_within_bounds_and_nothing_else_is() {
    let gateway = Gateway::demo().start().await;
    let post = |body: Vec<u8>, encoding: &str| {
        let request = Request::post(CHAT, body).header("content-encoding", encoding);
        request.bearer(gateway.api_key())
    };
    let body = say(2).to_string();
    let reply = gateway.send(&post(gzip(body.as_bytes()), "gzip")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    gateway.admin().bill(reply.request_id()).await;

    let before = resident(&gateway);
    let bomb = gzip(&vec![b' '; 256 << 20]);
    for packed in [bomb.clone(), gzip(&bomb)] {
        let reply = gateway.send(&post(packed, "gzip")).await;
        assert!([400, 413].contains(&reply.status), "{}", reply.text());
    }
    assert_eq!(gateway.send(&post(bomb, "gzip")).await.status, 413);
    assert!(resident(&gateway) < before + (160 << 20), "a bomb takes the memory of a body at most");
    for encoding in ["gzip, gzip", "zstd", "compress", "gzip,identity"] {
        let reply = gateway.send(&post(gzip(body.as_bytes()), encoding)).await;
        assert_eq!(reply.status, 415, "{encoding}");
        assert_eq!(reply.header("accept-encoding"), Some("gzip, deflate, br"));
    }
    assert_eq!(gateway.send(&post(body.into_bytes(), "gzip")).await.status, 400);
    gateway.admin().reconciled_with(1).await;
}

/// Bytes of memory that a gateway has.
fn resident(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/statm", gateway.process_id());
    let pages = std::fs::read_to_string(path).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What an upstream may be sent, and what a client may be told.
const SENT: [&str; 9] = [
    "host",
    "content-type",
    "content-length",
    "accept",
    "user-agent",
    "authorization",
    "x-request-id",
    "traceparent",
    "tracestate",
];
const TOLD: [&str; 8] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "x-request-id",
    "cache-control",
    "vary",
    "x-content-type-options",
];

#[tokio::test]
async fn only_headers_of_the_lists_pass_in_either_direction() {
    let gateway = Gateway::demo().start().await;
    let mut request = Request::post(CHAT, say(1).to_string()).bearer(gateway.api_key());
    for name in [
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "openai-organization",
        "openai-project",
        "x-portkey-custom-host",
        "x-api-base",
        "x-user-id",
        "x-consumer-username",
        "x-stainless-lang",
        "x-debug",
        "te",
        "trailer",
        "proxy-authorization",
        "http-referer",
        "x-title",
    ] {
        request = request.header(name, "planted-value");
    }
    let reply = gateway.send(&request.header("x-request-id", "planted-value")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
    let sent = attempts[0]["request_headers"].as_array().unwrap();
    for pair in sent {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        assert!(SENT.contains(&name), "{name} reached the upstream");
        assert!(!value.contains("planted-value") && !value.contains(gateway.api_key()), "{name}");
    }
    let upstream = attempts[0]["response_headers"].to_string();
    assert!(upstream.contains("set-cookie") && upstream.contains("openai-organization"));
    for (name, value) in &reply.headers {
        let is_ours = name.starts_with("x-ratelimit-") && value != "simulated";
        assert!(is_ours || TOLD.contains(&name.as_str()), "{name} reached the client");
    }
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("vary"), Some("authorization"));
}

#[tokio::test]
async fn every_answer_may_be_kept_by_nobody() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let mut stream = say(1);
    stream["stream"] = true.into();
    for request in [
        Request::get("/v1/models").bearer(key),
        Request::get("/v1/models"),
        Request::get("/v1/none").bearer(key),
        Request::post(CHAT, stream.to_string()).bearer(key),
        Request::post(CHAT, "{}").bearer(key),
    ] {
        let reply = gateway.send(&request).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{request:?}");
        assert_eq!(reply.header("vary"), Some("authorization"), "{request:?}");
    }
}

#[tokio::test]
async fn case_25_nothing_in_a_request_changes_where_it_is_sent_or_with_which_credential() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(1);
    for field in ["api_base", "base_url", "api_key", "custom_host", "organization", "user_config"] {
        body[field] = json!("http://169.254.169.254/planted");
    }
    body["metadata"] = json!({"user": "other-org", "org_uid": 1});
    body["user"] = json!("another");
    let reply = gateway.chat(gateway.api_key(), body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let attempts = gateway.simulator().attempts_of(reply.request_id(), 1).await;
    let headers = attempts[0]["request_headers"].to_string();
    assert!(headers.contains("demo-credential-"), "{headers}");
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(bill["org"], "demo");
}
