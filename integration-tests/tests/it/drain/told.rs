//! What clients are told while a data plane stops, whatever state they and their connections are in.

use super::paced;
use integration_tests::{
    Connection, EventStream, Gateway, RawConnection, Reply, Request, SplitGateway, Transcript,
    eventually, say,
};
use rustix::process::Signal;
use std::time::Duration;

const MODELS: &str = "/v1/models";
const CHAT: &str = "/v1/chat/completions";
/// More than any buffer between a client and a core holds.
const LARGE: usize = 8 << 20;

/// 503, to be tried elsewhere, and nothing more on this connection.
fn is_farewell(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("x-should-retry"), Some("true"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(reply.text().contains("this data plane is stopping"), "{}", reply.text());
    assert!(!reply.request_id().is_empty());
}

/// Waits until a gateway refuses new requests.
pub(super) async fn is_refusing(gateway: &Gateway) {
    let request = Request::get(MODELS).bearer(gateway.api_key());
    eventually("new requests are refused", async || {
        (gateway.send(&request).await.status == 503).then_some(())
    })
    .await;
}

/// A gateway that goes on stopping for as long as the stream is read.
async fn stopping(gateway: &Gateway) -> EventStream {
    let mut stream = gateway.stream(gateway.api_key(), paced(100_000, 20)).await;
    assert!(stream.next().await.unwrap().words().is_some());
    gateway.signal(Signal::TERM);
    is_refusing(gateway).await;
    stream
}

async fn patient() -> Gateway {
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "10 min");
    // A kept connection on which nothing is asked is closed after this, too.
    gateway.env("TURNPIKE__DATA_PLANE__LIMITS__HEAD_TIMEOUT", "2 min").start().await
}

async fn ends(mut gateway: Gateway, stream: EventStream) {
    stream.drop_connection();
    let exited = gateway.ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
}

fn head(gateway: &Gateway, length: usize) -> String {
    let key = gateway.api_key();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn kept_and_new_connections_are_told_to_go_elsewhere_until_the_process_ends() {
    let gateway = patient().await;
    let address = gateway.client().address().to_owned();
    let models = Request::get(MODELS).bearer(gateway.api_key());
    let chat = Request::post(CHAT, say(1).to_string()).bearer(gateway.api_key());
    let mut kept = Vec::new();
    for _ in 0..4 {
        let connection = Connection::open(&address).await.unwrap();
        let asked = connection.ask(&models).await.unwrap().whole_on_kept().await.unwrap();
        assert_eq!((asked.0.status, asked.0.header("connection")), (200, None));
        kept.push(asked.1.unwrap());
    }
    let silent = RawConnection::open(gateway.base_url()).await;
    let stream = stopping(&gateway).await;
    for (connection, request) in kept.drain(..2).zip([&models, &chat]) {
        is_farewell(&connection.ask(request).await.unwrap().whole().await.unwrap());
    }
    let unknown = Request::get("/nowhere");
    let stranger = Request::post(CHAT, say(1).to_string()).bearer("sk-unknown");
    for request in [&models, &chat, &unknown, &stranger] {
        is_farewell(&gateway.send(request).await);
    }
    // One that said nothing yet was let in before; it may still ask.
    let mut silent = silent;
    silent.send(head(&gateway, 0)).await;
    assert_eq!(silent.until_closed().await.statuses(), [503]);

    ends(gateway, stream).await;
    for connection in kept {
        assert!(
            connection.ask(&models).await.is_err(),
            "it was closed, and nothing was said on it"
        );
    }
    assert!(Connection::open(&address).await.is_err());
}

#[tokio::test]
async fn a_large_body_that_nobody_wants_does_not_cost_the_client_its_answer() {
    let gateway = patient().await;
    let stream = stopping(&gateway).await;
    for _ in 0..10 {
        let large = Request::post(CHAT, vec![b' '; LARGE]).bearer(gateway.api_key());
        is_farewell(&gateway.send(&large).await);
    }
    ends(gateway, stream).await;
}

#[tokio::test]
async fn a_request_whose_body_is_half_read_is_told_at_once_and_costs_nothing() {
    let gateway = patient().await;
    let body = say(1).to_string();
    let mut half = RawConnection::open(gateway.base_url()).await;
    half.send(head(&gateway, body.len())).await;
    let (first, second) = body.split_at(10);
    half.send(first).await;
    // Whatever core has it, that has read its head by the time that so many who came later are served.
    for _ in 0..32 {
        assert_eq!(gateway.chat(gateway.api_key(), say(1)).await.status, 200);
    }
    let stream = stopping(&gateway).await;
    let told = half.until("\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    // The rest of it is still taken, so that a client that writes before it reads gets to read.
    assert!(half.send(second).await);
    let Transcript(rest) = half.until_closed().await;
    assert!(rest.contains("this data plane is stopping"), "{rest}");
    let mut log = gateway.simulator().reader();
    log.read_on().await;
    assert_eq!(log.attempts.len(), 32 + 1, "no upstream was asked");
    ends(gateway, stream).await;
}

#[tokio::test]
async fn who_waits_in_the_backlog_when_the_process_stops_is_answered() {
    let mut gateway = Gateway::demo().start().await;
    let ask = format!(
        "GET {MODELS} HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        gateway.api_key()
    );
    gateway.signal(Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut connection = RawConnection::open(gateway.base_url()).await;
        connection.send(&ask).await;
        waiting.push(connection);
    }
    gateway.signal(Signal::TERM);
    gateway.signal(Signal::CONT);
    for connection in waiting {
        let told = connection.until_closed().await;
        assert!(matches!(told.statuses().as_slice(), [200 | 503]), "{told:?}");
    }
    let exited = gateway.ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
}

#[tokio::test]
async fn through_the_grace_all_are_served_and_asked_to_connect_anew() {
    let settings = [
        ("TURNPIKE__DATA_PLANE__DRAIN__GRACE", "4 s"),
        ("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "10 min"),
    ];
    let mut split = SplitGateway::start(&settings).await;
    let org = split.new_org("graceful", "1.00 USD").await;
    let address = split.client().address().to_owned();
    let models = Request::get(MODELS).bearer(&org.key);
    let kept = Connection::open(&address).await.unwrap();
    let (_, kept) = kept.ask(&models).await.unwrap().whole_on_kept().await.unwrap();
    let mut stream = split.client().stream(&org.key, paced(100_000, 20)).await.unwrap();
    assert!(stream.next().await.unwrap().words().is_some());
    split.signal_plane(Signal::TERM);
    split.plane().is_ready(false).await;

    let chat = Request::post(CHAT, say(1).to_string()).bearer(&org.key);
    let last = kept.unwrap().ask(&chat).await.unwrap().whole().await.unwrap();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")), "{}", last.text());
    let reply = split.chat(&org.key, say(1)).await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    let refused = eventually("the grace is over", async || {
        let reply = split.chat(&org.key, say(1)).await;
        assert_eq!(reply.header("connection"), Some("close"));
        (reply.status != 200).then_some(reply)
    })
    .await;
    is_farewell(&refused);
    assert!(stream.next().await.unwrap().words().is_some());
    stream.drop_connection();
    let exited = split.plane().ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
}
