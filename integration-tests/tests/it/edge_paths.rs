//! Where paths lead (case 9 of the list of bad inputs, CVE-2026-49468, CVE-2026-48710): one reading for authentication and
//! routing alike, nothing but the documented endpoints, and every answer in JSON.

use integration_tests::{Gateway, RawConnection, Reply, Request, say};
use serde_json::Value;

fn is_json_error(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let error = &reply.json()["error"];
    assert_eq!(error["code"], status);
    assert_eq!(error["metadata"]["request_id"], reply.request_id());
}

#[tokio::test]
async fn case_09_a_path_that_is_not_written_as_documented_leads_nowhere() {
    let gateway = Gateway::demo().start().await;
    let body = say(1).to_string();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat",
        "//v1//chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/../v1/chat/completions",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/chat%2fcompletions",
        "/v1/chat%2Fcompletions",
        "/V1/chat/completions",
        "/v1/chat/completions;x=y",
        "/v1\\chat\\completions",
        "/api/chat/completions",
        "/api/v1/v1/chat/completions",
        "/metrics",
        "/healthz",
        "/admin",
        "/turnpike.admin.v1.KeyService/ListKeys",
    ] {
        for key in [gateway.api_key(), "sk-nobody"] {
            let reply = gateway.send(&Request::post(path, body.clone()).bearer(key)).await;
            is_json_error(&reply, 404);
        }
    }
    assert_eq!(gateway.simulator().log_after(0).await, Vec::<Value>::new());
}

#[tokio::test]
async fn case_09_both_prefixes_and_the_absolute_form_lead_to_the_same_endpoint() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    for path in
        ["/v1/models", "/api/v1/models", "/v1/models?q=x", "http://elsewhere.example/v1/models"]
    {
        assert_eq!(gateway.send(&Request::get(path)).await.status, 401, "{path}");
        assert_eq!(gateway.send(&Request::get(path).bearer(key)).await.status, 200, "{path}");
    }
    for path in [
        "http://elsewhere.example/admin",
        "http://elsewhere.example",
        "http://127.0.0.1:9090/metrics",
    ] {
        is_json_error(&gateway.send(&Request::get(path).bearer(key)).await, 404);
    }
}

#[tokio::test]
async fn case_09_methods_that_ask_for_something_else_are_refused_in_json() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    for (method, path, allow) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/api/v1/chat/completions", "POST"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("TRACE", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET,HEAD"),
        ("BREW", "/v1/models", "GET,HEAD"),
    ] {
        let reply = gateway.send(&Request::get(path).method(method).bearer(key)).await;
        is_json_error(&reply, 405);
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    for line in ["OPTIONS *", "CONNECT 127.0.0.1:9090", "CONNECT 169.254.169.254:80"] {
        let mut connection = RawConnection::open(gateway.base_url()).await;
        let host = "host: turnpike\r\nconnection: close\r\n";
        connection
            .send(format!("{line} HTTP/1.1\r\n{host}authorization: Bearer {key}\r\n\r\n"))
            .await;
        let told = connection.until_closed().await;
        assert_eq!(told.statuses(), [404], "{line}: {}", told.0);
        assert!(told.0.contains(r#""error_type":"not_found""#), "{}", told.0);
    }
}

#[tokio::test]
async fn the_host_header_chooses_nothing() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    for host in
        ["admin/", "a?b", "a#b", "x@127.0.0.1:9090", "a:99999", "127.0.0.1:9090/metrics", ""]
    {
        for (path, status) in [("/v1/models", 200), ("/metrics", 404)] {
            let mut connection = RawConnection::open(gateway.base_url()).await;
            let head =
                format!("host: {host}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n");
            connection.send(format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await;
            assert_eq!(connection.until_closed().await.statuses(), [status], "{host:?} {path}");
        }
    }
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let mut connection = RawConnection::open(gateway.base_url()).await;
        let head = format!("{hosts}connection: close\r\nauthorization: Bearer {key}\r\n");
        connection.send(format!("GET /v1/models HTTP/1.1\r\n{head}\r\n")).await;
        assert_eq!(connection.until_closed().await.statuses(), [400], "{hosts:?}");
    }
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_the_api_and_no_others() {
    let preflight = |origin: &str| {
        Request::get("/v1/chat/completions")
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-os")
    };
    let closed = Gateway::demo().start().await;
    let reply = closed.send(&preflight("https://app.example.com")).await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("access-control-allow-origin"), None);
    drop(closed);

    let origins = r#"["https://app.example.com"]"#;
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__CORS_ORIGINS", origins).start().await;
    let reply = gateway.send(&preflight("https://app.example.com")).await;
    assert_eq!(reply.status, 200);
    let header = |name: &str| reply.header(name).unwrap_or_default();
    assert_eq!(header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(header("access-control-allow-methods"), "GET,POST");
    assert!(header("access-control-allow-headers").contains("x-stainless-os"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);

    let other = gateway.send(&preflight("https://evil.example.com")).await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let models = Request::get("/v1/models").bearer(gateway.api_key());
    let shown = gateway.send(&models.clone().header("origin", "https://app.example.com")).await;
    assert_eq!(shown.header("access-control-allow-origin"), Some("https://app.example.com"));
    let exposed = shown.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("x-request-id"), "{exposed}");
    let hidden = gateway.send(&models.header("origin", "https://evil.example.com")).await;
    assert_eq!(hidden.header("access-control-allow-origin"), None);
    let nobody = Request::get("/v1/models").header("origin", "https://app.example.com");
    assert_eq!(gateway.send(&nobody).await.status, 401, "an origin is no key");
}
