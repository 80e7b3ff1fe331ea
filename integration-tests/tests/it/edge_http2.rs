//! HTTP/2 on the admin port (case 8 of the list of bad inputs): frames by hand, as no client library would send them. Each abuse
//! ends with its connection, and operators and clients are served meanwhile. The port of clients speaks HTTP/1.1 alone.

use integration_tests::{Gateway, GatewayBuilder, PATIENCE, say};
use proto::admin::v1::GetPlanRequest;
use proto::admin::v1::plan_service_client::PlanServiceClient;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Endpoint;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MANY: u32 = 10_000;

/// Types of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What a connection is closed with that asks for too much.
const ENHANCE_YOUR_CALM: u8 = 11;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes()].concat();
        [head, self.payload.clone()].concat()
    }
}

/// Header fields without any compression (RFC 7541, 6.2.2).
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn call(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "turnpike"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// Odd numbers, as clients' streams have.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| 2 * index + 1)
}

/// A client that keeps no rule.
struct Rogue(TcpStream);

impl Rogue {
    async fn greets(gateway: &Gateway, settings: &[u8]) -> Self {
        let mut rogue = Self::connects(gateway).await;
        rogue.sends(PREFACE).await;
        rogue.sends(&Frame::new(SETTINGS, 0, 0, settings).bytes()).await;
        rogue
    }

    async fn connects(gateway: &Gateway) -> Self {
        let address = gateway.demo_env().get("TURNPIKE_ADMIN_ADDR");
        Self(TcpStream::connect(address.trim_start_matches("http://")).await.unwrap())
    }

    /// Whether the other side still wanted it.
    async fn sends(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap().is_ok()
    }

    async fn hears(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("it goes on").ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut payload)).await.expect("it goes on").ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Everything until the connection is closed; that it is, is part of what is asked. A reset may have overtaken the end.
    async fn until_closed(mut self) -> Vec<Frame> {
        let mut heard = Vec::new();
        while let Some(frame) = self.hears().await {
            heard.push(frame);
        }
        heard
    }
}

/// The last word, where it was not lost to a reset, was that this was too much.
fn is_told_to_calm_down(heard: &[Frame]) {
    let last_word = heard.iter().find(|frame| frame.kind == GO_AWAY && frame.payload[7] != 0);
    let code = last_word.map_or(ENHANCE_YOUR_CALM, |frame| frame.payload[7]);
    assert_eq!(code, ENHANCE_YOUR_CALM);
}

async fn others_are_served(gateway: &Gateway) {
    let orgs = gateway.admin().run(&["get", "orgs"]).await;
    assert_eq!(orgs.status, 0, "{}", orgs.stderr);
    let reply = gateway.chat(gateway.api_key(), say(1)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn limited(name: &str, value: impl ToString) -> GatewayBuilder {
    Gateway::demo().env(&format!("TURNPIKE__CONTROL_PLANE__CONNECTIONS__{name}"), value)
}

#[tokio::test]
async fn case_08_a_head_that_never_ends_is_given_up() {
    let gateway = Gateway::demo().start().await;
    let mut rogue = Rogue::greets(&gateway, &[]).await;
    rogue.sends(&Frame::new(HEADERS, 0, 1, &call("/x.Y/Z")).bytes()).await;
    let more =
        Frame::new(CONTINUATION, 0, 1, &fields(&[("x-more", "a".repeat(100).as_str()); 9])).bytes();
    let mut taken = 0;
    while taken < MANY && rogue.sends(&more).await {
        taken += 1;
        if taken % 1_000 == 0 {
            others_are_served(&gateway).await;
        }
    }
    assert!(taken < MANY, "ten megabytes of one head were taken");
    rogue.until_closed().await;
    others_are_served(&gateway).await;
}

#[tokio::test]
async fn case_08_ten_thousand_calls_that_are_taken_back_at_once_close_their_connection() {
    let gateway = Gateway::demo().start().await;
    let mut rogue = Rogue::greets(&gateway, &[]).await;
    let begin_and_reset = |stream| {
        let begin = Frame::new(HEADERS, END_HEADERS, stream, &call("/grpc.health.v1.Health/Watch"));
        [begin.bytes(), Frame::new(RST_STREAM, 0, stream, &[0, 0, 0, 8]).bytes()].concat()
    };
    let all: Vec<u8> = streams(MANY).flat_map(begin_and_reset).collect();
    rogue.sends(&all).await;
    others_are_served(&gateway).await;
    is_told_to_calm_down(&rogue.until_closed().await);
}

#[tokio::test]
async fn case_08_ten_thousand_calls_at_once_are_refused_beyond_the_limit_and_close_their_connection()
 {
    let gateway = limited("CALLS", 10).start().await;
    let mut rogue = Rogue::greets(&gateway, &[]).await;
    // Calls that stay open as long as their client likes.
    let watch = |stream| {
        let begin = Frame::new(HEADERS, END_HEADERS, stream, &call("/grpc.health.v1.Health/Watch"));
        [begin.bytes(), Frame::new(DATA, END_STREAM, stream, &[0; 5]).bytes()].concat()
    };
    let all: Vec<u8> = streams(MANY).flat_map(watch).collect();
    rogue.sends(&all).await;
    others_are_served(&gateway).await;
    let heard = rogue.until_closed().await;
    is_told_to_calm_down(&heard);
    let answered = heard.iter().filter(|frame| frame.kind == HEADERS && frame.stream > 0);
    let answered = answered.filter(|frame| frame.flags & END_HEADERS != 0).count();
    assert!(answered <= 10, "{answered} calls at once");
}

#[tokio::test]
async fn case_08_a_client_without_a_window_gets_nothing_and_is_given_up_once_it_does_not_answer() {
    let gateway = limited("PING_INTERVAL", "300 ms")
        .env("TURNPIKE__CONTROL_PLANE__CONNECTIONS__PING_TIMEOUT", "2 s")
        .start()
        .await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let mut rogue = Rogue::greets(&gateway, &[0, 4, 0, 0, 0, 0]).await;
    let check = |stream| {
        let begin = Frame::new(HEADERS, END_HEADERS, stream, &call("/grpc.health.v1.Health/Check"));
        [begin.bytes(), Frame::new(DATA, END_STREAM, stream, &[0; 5]).bytes()].concat()
    };
    let all: Vec<u8> = streams(200).flat_map(check).collect();
    assert!(rogue.sends(&all).await);
    others_are_served(&gateway).await;
    let heard = rogue.until_closed().await;
    assert!(heard.iter().any(|frame| frame.kind == HEADERS), "it was answered");
    let data: usize = heard.iter().filter(|f| f.kind == DATA).map(|f| f.payload.len()).sum();
    assert_eq!(data, 0, "there was no window for it");
    others_are_served(&gateway).await;
}

#[tokio::test]
async fn case_01_connections_that_never_greet_keep_their_places_for_a_moment_only() {
    let gateway = limited("MOST", 4)
        .env("TURNPIKE__CONTROL_PLANE__CONNECTIONS__GREETING_TIMEOUT", "500 ms")
        .start()
        .await;
    let mut silent = Vec::new();
    for said in [&b""[..], b"PRI * HTTP/2.0", b"", b"P", b"", b""] {
        let mut rogue = Rogue::connects(&gateway).await;
        rogue.sends(said).await;
        silent.push(rogue);
    }
    others_are_served(&gateway).await;
    for rogue in silent {
        rogue.until_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_on_one_connection_wait_for_each_other_and_are_all_answered() {
    let gateway = Gateway::demo().start().await;
    let address = gateway.demo_env().get("TURNPIKE_ADMIN_ADDR");
    let address = format!("http://{}", address.trim_start_matches("http://"));
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let bearer = format!("Bearer {}", gateway.demo_env().get("TURNPIKE_ADMIN_TOKEN"));
    let mut calls = JoinSet::new();
    for _ in 0..MANY {
        let mut client = PlanServiceClient::new(channel.clone());
        let mut request = tonic::Request::new(GetPlanRequest { name: "demo".to_owned() });
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        calls.spawn(async move { client.get_plan(request).await.map(drop) });
    }
    let answered = timeout(Duration::from_secs(240), calls.join_all()).await.unwrap();
    let failed: Vec<_> = answered.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed, for instance {:?}", failed.len(), failed.first());
    others_are_served(&gateway).await;
}
