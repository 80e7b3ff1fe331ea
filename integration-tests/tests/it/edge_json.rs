//! Bodies that are JSON, or nearly (cases 19 to 24, 26 and 27 of the list of bad inputs): refused by the field's name before
//! anything is sent or charged, or passed as they are.

use crate::errors::{Row, check};
use integration_tests::{Account, Gateway, Reply, Request};
use serde_json::json;
use std::io::ErrorKind;
use std::net::TcpListener;

const HI: &str = r#""messages":[{"role":"user","content":"hi"}],"x_simulator":{"tokens":2}"#;

async fn post(gateway: &Gateway, key: &str, body: &str) -> Reply {
    gateway.send(&Request::post("/v1/chat/completions", body).bearer(key)).await
}

/// A request of the demo's chat model with these members, too.
fn with(members: &str) -> String {
    format!(r#"{{"model":"demo/chat",{HI},{members}}}"#)
}

/// Nothing reached an upstream, and nothing was charged.
async fn nothing_happened(gateway: &Gateway, account: &mut Account) {
    assert_eq!(gateway.simulator().log_after(0).await, Vec::<serde_json::Value>::new());
    account.all_charged(gateway, &[]).await;
}

#[tokio::test]
async fn case_19_what_is_not_json_is_400_and_costs_nothing() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "nearly", 1).await;
    let table = [
        ("\u{feff}{\"model\":\"demo/chat\"}".to_owned(), "JSON object"),
        (with(r#""temperature":NaN"#), "line 1"),
        (with(r#""seed":01"#), "line 1"),
        (with(r#""x":'y'"#), "line 1"),
        (with(r#""x":"#), "line 1"),
        (format!("{} x", with(r#""x":1"#)), "trailing characters"),
        (with(&format!(r#""x":{}1{}"#, "[".repeat(100_000), "]".repeat(100_000))), "nested deeper"),
    ];
    for (body, names) in table {
        let reply = post(&gateway, &account.org.key, &body).await;
        check(&reply, &Row { status: 400, error_type: "invalid_request", names });
    }
    nothing_happened(&gateway, &mut account).await;
}

#[tokio::test]
async fn case_19_odd_numbers_and_long_lists_pass_as_they_are() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "odd", 1).await;
    let list = format!(r#""x":[{}]"#, vec!["1"; 1_000_000].join(","));
    let members = [r#""x":1e400"#, r#""seed":-0"#, r#""seed":9223372036854775808"#, &list];
    for members in members {
        let body = with(members);
        let reply = post(&gateway, &account.org.key, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        account.charged(&gateway, reply.request_id()).await;
    }
}

#[tokio::test]
async fn case_20_a_field_that_decides_is_said_once_and_as_documented() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "twice", 1).await;
    let table = [
        (r#""model":"demo/long""#, "`model` stands twice"),
        (r#""messages":[]"#, "`messages` stands twice"),
        (r#""max_tokens":5,"max_tokens":50000"#, "`max_tokens` stands twice"),
        (r#""stream":false,"stream":true"#, "`stream` stands twice"),
        (r#""n":1,"n":2"#, "`n` stands twice"),
        (r#""Model":"demo/long""#, "`model`"),
        (r#""Max_Tokens":5"#, "`max_tokens`"),
        (r#""STREAM":true"#, "`stream`"),
    ];
    for (members, names) in table {
        let reply = post(&gateway, &account.org.key, &with(members)).await;
        check(&reply, &Row { status: 400, error_type: "invalid_request", names });
    }
    nothing_happened(&gateway, &mut account).await;
}

#[tokio::test]
async fn case_21_a_limit_is_a_whole_number_in_its_range() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "limits", 1).await;
    for value in ["-1", "4294967296", "1.5", "\"10\"", "1e3", "true", "[]"] {
        for field in ["max_tokens", "max_completion_tokens", "n"] {
            let reply =
                post(&gateway, &account.org.key, &with(&format!("\"{field}\":{value}"))).await;
            check(&reply, &Row { status: 400, error_type: "invalid_request", names: field });
        }
    }
    let many = post(&gateway, &account.org.key, &with(r#""n":1000000"#)).await;
    check(&many, &Row { status: 400, error_type: "invalid_request", names: "larger than 128" });
    nothing_happened(&gateway, &mut account).await;
    for members in [r#""max_tokens":null"#, r#""max_tokens":2147483648"#] {
        let reply = post(&gateway, &account.org.key, &with(members)).await;
        assert_eq!(reply.status, 200, "{members}: {}", reply.text());
        account.charged(&gateway, reply.request_id()).await;
    }
}

#[tokio::test]
async fn case_22_a_switch_is_true_or_false() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "switch", 1).await;
    let table = [
        (r#""stream":"true""#, "`stream`"),
        (r#""stream":1"#, "`stream`"),
        (r#""stream":true,"stream_options":[]"#, "`stream_options`"),
        (r#""stream":true,"stream_options":{"include_usage":"yes"}"#, "`stream_options`"),
    ];
    for (members, names) in table {
        let reply = post(&gateway, &account.org.key, &with(members)).await;
        check(&reply, &Row { status: 400, error_type: "invalid_request", names });
    }
    nothing_happened(&gateway, &mut account).await;
}

#[tokio::test]
async fn case_23_a_model_is_named_exactly() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "names", 1).await;
    let names = [
        "demo/chat ",
        " demo/chat",
        "demo/\u{441}hat",
        "../demo/chat",
        "demo//chat",
        "DEMO/CHAT",
        "*",
        "",
    ];
    for name in names {
        let body = format!(r#"{{"model":{},{HI}}}"#, json!(name));
        let reply = post(&gateway, &account.org.key, &body).await;
        check(&reply, &Row { status: 404, error_type: "not_found", names: "not known" });
    }
    nothing_happened(&gateway, &mut account).await;
}

#[tokio::test]
async fn case_26_media_is_passed_on_and_never_fetched() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "media", 10).await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let at_trap = trap.local_addr().unwrap();
    let urls = [
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        format!("http://ok\\@{at_trap}/"),
        format!("http://{at_trap}/picture.png"),
    ];
    for url in urls {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        let body = json!({"model": "demo/vision", "max_tokens": 2,
            "messages": [{"role": "user", "content": [part]}], "x_simulator": {"tokens": 2}});
        let body = body.to_string();
        let reply = post(&gateway, &account.org.key, &body).await;
        assert_eq!(reply.status, 200, "{url}: {}", reply.text());
        account.charged(&gateway, reply.request_id()).await;
    }
    assert_eq!(trap.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody came for it");
}

#[tokio::test]
async fn case_27_ten_thousand_tools_are_read_in_bounded_time() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "tools", 10).await;
    let name = "a".repeat(64);
    let tool = |n| json!({"type": "function", "function": {"name": format!("{name}{n}"), "parameters": {}}});
    let tools: Vec<_> = (0..10_000).map(tool).collect();
    let body = json!({"model": "demo/chat", "max_tokens": 2, "tools": tools,
        "messages": [{"role": "user", "content": "hi"}], "x_simulator": {"tokens": 2}});
    let reply = post(&gateway, &account.org.key, &body.to_string()).await;
    // Whether it fits the model is the upstream's to say; the answer comes, and what was charged adds up.
    assert_eq!(reply.status, 200, "{}", reply.text());
    account.charged(&gateway, reply.request_id()).await;
}
