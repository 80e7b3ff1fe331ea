//! Requests that two readers could frame in two ways (cases 4 to 6 of the list of bad inputs, CVE-2025-4366 and its kin):
//! whatever bytes come, the upstream sees exactly what is billed.

use integration_tests::{Gateway, RawConnection, say};
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

/// A request hidden in the body of another.
fn smuggled(gateway: &Gateway) -> String {
    let body = say(3).to_string();
    let key = gateway.api_key();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\nx-title: smuggled\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn request(gateway: &Gateway, framing: &str, body: &str) -> String {
    let key = gateway.api_key();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\n{framing}\r\n{body}"
    )
}

async fn statuses(gateway: &Gateway, bytes: &str) -> Vec<u16> {
    let mut connection = RawConnection::open(gateway.base_url()).await;
    connection.send(bytes).await;
    connection.until_closed().await.statuses()
}

/// Every attempt that the simulator saw is in the records, and nothing else is.
async fn seen_is_billed(gateway: &Gateway, requests: usize) {
    let mut log = gateway.simulator().reader();
    log.read_on().await;
    assert_eq!(log.attempts.len(), requests);
    for attempt in log.attempts.values() {
        gateway.admin().bill(attempt["request_id"].as_str().unwrap()).await;
    }
    gateway.admin().reconciled_with(u64::try_from(requests).unwrap()).await;
}

#[tokio::test]
async fn case_04_lengths_that_contradict_each_other_are_refused_and_the_connection_is_closed() {
    let gateway = Gateway::demo().start().await;
    let body = say(1).to_string();
    let length = body.len();
    for framing in [
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: +{length}\r\n"),
        format!("content-length: {length},{length}\r\n"),
        "content-length: -1\r\n".to_owned(),
        "content-length: 99999999999999999999\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        format!("content-length : {length}\r\n"),
        format!("x-folded: a\r\n b\r\ncontent-length: {length}\r\n"),
        format!("x-bare: a\rb\r\ncontent-length: {length}\r\n"),
        format!("x-nul: a\0b\r\ncontent-length: {length}\r\n"),
        format!("host: twice\r\ncontent-length: {length}\r\n"),
    ] {
        let bytes = request(&gateway, &framing, &format!("{body}{}", smuggled(&gateway)));
        assert_eq!(statuses(&gateway, &bytes).await.first(), Some(&400), "{framing}");
    }
    seen_is_billed(&gateway, 0).await;
}

#[tokio::test]
async fn case_04_a_length_beside_chunks_hides_no_second_request() {
    let gateway = Gateway::demo().start().await;
    let body = say(1).to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = chunked.len() + smuggled(&gateway).len();
    let bytes = format!("{chunked}{}", smuggled(&gateway));
    for framing in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        "content-length: 0\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: Chunked\r\n".to_owned(),
    ] {
        assert_eq!(
            statuses(&gateway, &request(&gateway, &framing, &bytes)).await,
            [200],
            "{framing}"
        );
    }
    seen_is_billed(&gateway, 4).await;
    for chunks in
        ["fffffffffffffffff\r\n", "-1\r\n", "5\nabcde\r\n", "0x5\r\nabcde\r\n", "5;\r\nab"]
    {
        let bytes = request(&gateway, "transfer-encoding: chunked\r\n", chunks);
        let mut connection = RawConnection::open(gateway.base_url()).await;
        connection.send(&bytes).await;
        connection.half_close().await;
        let told = connection.until_closed().await.statuses();
        assert!(matches!(told.as_slice(), [400] | []), "{chunks:?} gave {told:?}");
    }
    seen_is_billed(&gateway, 4).await;
}

#[tokio::test]
async fn case_05_what_follows_a_refused_request_is_never_read_as_a_request_of_its_body() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__BODY_BYTES", 1_000).start().await;
    let hidden = smuggled(&gateway);
    let length = hidden.len();
    let nobody = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\ncontent-length: {length}\r\n\r\n{hidden}"
    );
    let mut connection = RawConnection::open(gateway.base_url()).await;
    connection.send(&nobody).await;
    connection.send("GET /v1/none HTTP/1.1\r\nhost: turnpike\r\nconnection: close\r\n\r\n").await;
    let told = connection.until_closed().await.statuses();
    assert!(matches!(told.as_slice(), [401] | [401, 404]), "{told:?}");

    let large = format!("{hidden}{}", " ".repeat(2_000));
    let framing = format!("content-length: {}\r\n", large.len());
    let told = statuses(&gateway, &request(&gateway, &framing, &large)).await;
    assert!(matches!(told.as_slice(), [413] | []), "{told:?}");
    seen_is_billed(&gateway, 0).await;
}

#[tokio::test]
async fn case_06_an_upgrade_is_not_made_and_hides_no_request() {
    let gateway = Gateway::demo().start().await;
    let body = say(1).to_string();
    for protocol in ["h2c", "websocket", "TLS/1.0"] {
        let framing = format!(
            "connection: upgrade, http2-settings, close\r\nupgrade: {protocol}\r\n\
             http2-settings: AAMAAABkAAQAAP__\r\ncontent-length: {}\r\n",
            body.len()
        );
        let bytes = request(&gateway, &framing, &format!("{body}{}", smuggled(&gateway)));
        assert_eq!(statuses(&gateway, &bytes).await, [200], "{protocol}");
    }
    seen_is_billed(&gateway, 3).await;
    for attempt in gateway.simulator().log_after(0).await {
        let headers = attempt["request_headers"].to_string();
        assert!(!headers.contains("upgrade") && !headers.contains("http2"), "{headers}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_its_answer_and_the_end_of_the_connection() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    for stream in [false, true] {
        let mut body = say(3);
        body["stream"] = Value::Bool(stream);
        let body = body.to_string();
        let bytes = format!(
            "POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {key}\r\nconnection: keep-alive\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = RawConnection::open(gateway.base_url()).await;
        connection.send(bytes).await;
        let told = connection.until_closed().await;
        assert_eq!(told.statuses(), [200]);
        assert!(!told.0.contains("transfer-encoding"), "{}", told.0);
    }
    let many = "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3);
    let last = "GET /v1/none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&gateway, &format!("{many}{last}")).await, [401, 401, 401, 404]);
    seen_is_billed(&gateway, 2).await;
}
