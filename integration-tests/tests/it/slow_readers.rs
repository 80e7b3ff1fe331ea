//! Clients that do not read, or hardly (`docs/faults.md`, 16): they bind neither money nor memory nor a place for ever, what they
//! asked for is charged like a hang-up, and others are served meanwhile.

use integration_tests::{
    Account, Client, Gateway, GatewayBuilder, Metrics, RawConnection, Request, SimulatorProcess,
    eventually, nano, say,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;
/// Bytes beside each word.
const EVENT_BYTES: usize = 16 << 10;
/// What a client has room for that it did not read yet.
const NARROW_BYTES: u32 = 4 << 10;

fn limited(name: &str, value: &str) -> GatewayBuilder {
    Gateway::demo().env(&format!("TURNPIKE__DATA_PLANE__LIMITS__{name}"), value)
}

/// Words, each with so much beside it that no buffer between an upstream and a client holds many.
fn endless() -> Value {
    let choice = json!({"index": 0, "delta": {"content": " word"}, "finish_reason": null});
    let event = json!({"id": "chatcmpl-raw", "choices": [choice]});
    let event = format!(": {}\n\ndata: {event}\n\n", "-".repeat(EVENT_BYTES));
    let mut body = say(1);
    body["stream"] = true.into();
    body["x_simulator"] = json!({"raw": {"body": [{"repeat": event, "times": 10_000}]}});
    body
}

/// A request that was answered as far as its head, by a client with little room; and its id.
async fn asked(gateway: &Gateway, key: &str, body: &Value) -> (RawConnection, String) {
    let body = body.to_string();
    let mut client = RawConnection::open_narrow(gateway.base_url(), NARROW_BYTES).await;
    let length = body.len();
    client
        .send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (_, id) = head.split_once("x-request-id: ").unwrap();
    (client, id.split_once("\r\n").unwrap().0.to_owned())
}

async fn connections(gateway: &Gateway) -> f64 {
    let ops = Client::new(gateway.ops_url());
    let shown = ops.try_send(&Request::get("/metrics")).await.unwrap();
    Metrics::read(shown.text()).sum("turnpike_client_connections", &[])
}

fn resident_bytes(gateway: &Gateway) -> i64 {
    let path = format!("/proc/{}/status", gateway.process_id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap() << 10
}

/// Words that the upstream has said in a request, as its own log tells, once it has noticed that it was left.
async fn said(simulator: &SimulatorProcess, id: &str) -> i64 {
    let attempts = simulator.client().attempts_of(id, 1).await;
    assert_eq!(attempts[0]["ended"], "client_gone", "{:?}", attempts[0]["ended"]);
    let lengths = attempts[0]["chunk_lengths"].as_array().unwrap();
    let bytes: usize =
        lengths.iter().map(|bytes| usize::try_from(bytes.as_u64().unwrap()).unwrap()).sum();
    i64::try_from(bytes.div_ceil(EVENT_BYTES)).unwrap()
}

#[tokio::test]
async fn case_16_a_client_that_reads_ten_bytes_a_second_is_given_up_and_pays_for_what_it_was_sent()
{
    let simulator = SimulatorProcess::start().await;
    let gateway = limited("WRITE_TIMEOUT", "1 s").external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "slow", 10).await;
    let (mut client, id) = asked(&gateway, &account.org.key, &endless()).await;
    let reader = tokio::spawn(async move {
        while !client.some(1).await.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    let other = gateway.chat(gateway.api_key(), say(3)).await;
    assert_eq!(other.status, 200, "{}", other.text());

    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.outcome(), "client_gone", "{}", bill.0);
    assert_eq!(bill.attempts(), [""], "{}", bill.0);
    let output = bill.quantity("output");
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + output * OUTPUT_NANO, "{}", bill.0);
    let said = said(&simulator, &id).await;
    assert!(output > 0 && output <= said, "{output} of {said}: {}", bill.0);
    eventually("its place is free", async || (connections(&gateway).await < 1.0).then_some(()))
        .await;
    gateway.admin().reconciled().await;
    reader.abort();
}

#[tokio::test]
async fn case_16_sixteen_clients_that_do_not_read_take_little_memory_and_no_money_for_ever() {
    let simulator = SimulatorProcess::start().await;
    let gateway = limited("WRITE_TIMEOUT", "3 s").external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "silent", 10).await;
    let warm = gateway.chat(&account.org.key, say(3)).await;
    account.charged(&gateway, warm.request_id()).await;
    let before = resident_bytes(&gateway);
    let mut waiting = Vec::new();
    for _ in 0..16 {
        waiting.push(asked(&gateway, &account.org.key, &endless()).await);
    }
    eventually("all are given up", async || {
        let grown = resident_bytes(&gateway) - before;
        assert!(grown < 32 << 20, "{grown} bytes for sixteen streams");
        let other = gateway.chat(gateway.api_key(), say(1)).await;
        assert_eq!(other.status, 200, "{}", other.text());
        (connections(&gateway).await < 1.0).then_some(())
    })
    .await;
    let ids: Vec<&str> = waiting.iter().map(|(_, id)| id.as_str()).collect();
    let bills = account.all_charged(&gateway, &ids).await;
    assert!(bills.iter().all(|bill| bill.outcome() == "client_gone"), "{bills:?}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn case_16_an_answer_that_nobody_reads_is_charged_and_its_connection_is_closed() {
    let gateway = limited("WRITE_TIMEOUT", "500 ms").start().await;
    let mut account = Account::open(&gateway, "absent", 10).await;
    let choice = json!({"index": 0, "message": {"content": "hi you"}, "finish_reason": "stop"});
    let usage =
        json!({"prompt_tokens": PROMPT, "completion_tokens": 2, "total_tokens": PROMPT + 2});
    let answer = json!({"id": "chatcmpl-raw", "choices": [choice], "usage": usage}).to_string();
    let mut body = say(1);
    let json = json!({"content-type": "application/json"});
    let padding = json!({"repeat": " ", "times": 32 << 20});
    body["x_simulator"] = json!({"raw": {"headers": json, "body": [answer, padding]}});
    let (client, id) = asked(&gateway, &account.org.key, &body).await;
    eventually("its place is free", async || (connections(&gateway).await < 1.0).then_some(()))
        .await;
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.outcome(), "completed", "{}", bill.0);
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 2 * OUTPUT_NANO, "{}", bill.0);
    gateway.admin().reconciled().await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_reads_slowly_does_not_put_off_the_longest_a_stream_may_take() {
    let simulator = SimulatorProcess::start().await;
    let gateway =
        limited("STREAM_TIMEOUT", "2 s").external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "leisurely", 10).await;
    let (mut client, id) = asked(&gateway, &account.org.key, &endless()).await;
    // Slower than the upstream speaks, and never stuck; what is left once it is over is read at once.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(!client.some(64 << 10).await.is_empty());
        sleep(Duration::from_millis(20)).await;
    }
    let told = client.until_closed().await.0;
    assert!(told.contains("the stream took longer than one may"), "{} bytes", told.len());
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.outcome(), "client_gone", "{}", bill.0);
    let said = said(&simulator, &id).await;
    assert!(bill.quantity("output") <= said, "{said}: {}", bill.0);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_stop_ends_a_stream_whose_client_does_not_read() {
    let simulator = SimulatorProcess::start().await;
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "1 s");
    let mut gateway = gateway.external_simulator(simulator.url()).start().await;
    let account = Account::open(&gateway, "deaf", 10).await;
    let (client, id) = asked(&gateway, &account.org.key, &endless()).await;
    gateway.stop().await;
    gateway.restart().await;
    let bill = gateway.admin().bill(&id).await;
    assert_ne!(bill["outcome"], "interrupted", "ended in order, not found open: {bill}");
    assert!(nano(&bill["charge_nano"]) > 0, "{bill}");
    gateway.admin().reconciled().await;
    drop(client);
}
