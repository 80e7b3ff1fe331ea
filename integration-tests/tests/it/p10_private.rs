//! P10: what is planted in a prompt, a tool, an image, a credential, a key and a header is where it belongs, and nowhere
//! else: not in logs at the finest level, metrics, spans, answers of the command line, errors, files or the process.

mod needle;
mod places;
mod planted;
mod stored;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{
    Collector, Gateway, OrgHandle, Reply, Request, SimulatorProcess, eventually,
};
use needle::Needle;
use places::files;
use planted::{
    BODY_BYTES, CREDENTIAL, Case, NAMED, SAID, SENT, TOLD, admitted, ask, planted, refused,
};
use serde_json::Value;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Where a client connects from that no proxy names.
const CONNECTED: Ipv4Addr = Ipv4Addr::new(127, 45, 67, 89);

const CHAT: &str = "/v1/chat/completions";

async fn start(simulator: &SimulatorProcess, collector: &Collector) -> Gateway {
    let gateway = Gateway::demo()
        .external_simulator(simulator.url())
        .env("TURNPIKE__LOG__FILTER", "trace")
        .env("TURNPIKE__LOG__ACCESS", "on")
        .env("TURNPIKE__TRACES__ENDPOINT", collector.url())
        .env("TURNPIKE__TRACES__SAMPLE_RATIO", 1)
        .env("TURNPIKE__TRACES__EXPORT_INTERVAL", "20ms")
        .env("TURNPIKE__DATA_PLANE__TRUSTED_PROXIES", "[127.0.0.1]")
        .env("TURNPIKE__DATA_PLANE__LIMITS__BODY_BYTES", BODY_BYTES)
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN", "1ms")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN_MAX", "1ms")
        .start()
        .await;
    lend_the_credential(&gateway, simulator).await;
    gateway
}

async fn lend_the_credential(gateway: &Gateway, simulator: &SimulatorProcess) {
    for name in ["demo-a", "demo-b"] {
        let url = simulator.url();
        let spec = format!(
            "{{vendor: simulator, dialect: openai, base_url: \"{url}/v1\", credential: {CREDENTIAL}, \
             jurisdiction: SG, stops_on_abort: true}}"
        );
        gateway.admin().apply(&format!("kind: Upstream\nname: {name}\nspec: {spec}\n")).await;
    }
}

async fn send(gateway: &Gateway, key: &str, case: &Case) -> Reply {
    let reply = gateway.send(&ask(key, case.path, &case.body)).await;
    assert_eq!(reply.status, case.status, "{}: {}", case.name, reply.text());
    reply
}

/// All kinds of requests that reach an upstream; returns their ids.
async fn talk(gateway: &Gateway, key: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for case in admitted() {
        let reply = send(gateway, key, &case).await;
        if case.status == 400 {
            refusal_tells_no_more_than_it_may(&reply.json());
        } else if case.status > 400 {
            is_in_our_own_words(&case, &reply);
        }
        ids.push(reply.request_id().to_owned());
    }
    ids
}

/// All kinds of requests that do not.
async fn talk_in_vain(gateway: &Gateway, key: &str) {
    let poor = gateway.new_org("poor", "").await;
    let chat = |name, status| {
        let body = planted(false).to_string();
        Case { name, path: CHAT, body, status }
    };
    for case in refused() {
        is_in_our_own_words(&case, &send(gateway, key, &case).await);
    }
    for (key, case) in
        [(poor.key.as_str(), chat("without money", 402)), (SENT[6], chat("a wrong key", 401))]
    {
        is_in_our_own_words(&case, &send(gateway, key, &case).await);
    }
    let nowhere = Request::get(&format!("/v1/{}?q={}", SENT[3], SENT[3])).bearer(key);
    assert_eq!(gateway.send(&nowhere).await.status, 404);
}

/// An error of ours quotes neither what was said nor the upstream.
fn is_in_our_own_words(case: &Case, reply: &Reply) {
    let text = reply.text();
    for planted in SAID.iter().chain(&TOLD).chain([&CREDENTIAL]) {
        assert!(!text.contains(planted), "{}: {planted} in {text}", case.name);
    }
}

fn refusal_tells_no_more_than_it_may(error: &Value) {
    let text = error.to_string();
    for hidden in TOLD.iter().chain([&CREDENTIAL]) {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!(error["error"]["metadata"]["upstream_code"], "invalid_value", "{text}");
    assert_eq!(error["error"]["metadata"]["field"], "temperature", "{text}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("Invalid value: the key …"), "{text}");
}

/// The same from an address of its own. Returns the request's id.
async fn talk_from(gateway: &Gateway, address: Ipv4Addr, key: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let host = gateway.base_url().trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = socket.connect(host.parse().unwrap()).await.unwrap();
    let body = planted(false).to_string();
    // It is no trusted proxy, so what it says of others is not believed.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         x-forwarded-for: {NAMED}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A stream that is running when the process dies. Returns the request's id.
async fn talk_until_death(gateway: &mut Gateway, key: &str) -> String {
    let mut body = planted(true);
    body["x_simulator"] = serde_json::json!({"tokens": 100_000, "pace_ms": 20});
    let mut stream = gateway.stream(key, body).await;
    stream.next().await.unwrap();
    let id = stream.request_id().to_owned();
    gateway.kill9().await;
    drop(stream);
    id
}

/// The positive control: the upstream got what was said, and told what it should not.
fn assert_the_upstream_saw_it(simulator: &SimulatorProcess, key: &str) {
    let mut seen = String::new();
    for line in simulator.log_lines() {
        for body in ["request_body", "response_body"] {
            let bytes = STANDARD.decode(line[body].as_str().unwrap_or_default()).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        seen.push_str(&line["request_headers"].to_string());
    }
    let image = STANDARD.encode(SAID[3]);
    let bare = SAID.iter().chain(&TOLD).chain([&CREDENTIAL]).filter(|text| **text != SAID[3]);
    for planted in bare.copied().chain([image.as_str()]) {
        assert!(seen.contains(planted), "{planted} reached the upstream");
    }
    let connected = CONNECTED.to_string();
    for ours in SENT.iter().chain([&NAMED, &key, &connected.as_str()]) {
        assert!(!seen.contains(ours), "{ours} is none of the upstream's business");
    }
}

fn all_needles(gateway: &Gateway, org: &OrgHandle) -> Vec<Needle> {
    let connected = CONNECTED.to_string();
    let secrets = [
        CREDENTIAL,
        NAMED,
        connected.as_str(),
        org.key.as_str(),
        gateway.demo_env().get("TURNPIKE_ADMIN_TOKEN"),
    ];
    SAID.iter().chain(&TOLD).chain(&SENT).chain(&secrets).map(|text| Needle::new(text)).collect()
}

#[tokio::test]
async fn what_is_planted_is_found_where_it_belongs_and_nowhere_else() {
    let (simulator, collector) = (SimulatorProcess::start().await, Collector::start().await);
    let mut gateway = start(&simulator, &collector).await;
    let org = gateway.new_org("quiet", "1.00 USD").await;
    let mut requests = talk(&gateway, &org.key).await;
    requests.push(talk_from(&gateway, CONNECTED, &org.key).await);
    talk_in_vain(&gateway, &org.key).await;
    let needles = all_needles(&gateway, &org);
    eventually("the spans of all requests are sent", async || {
        let spans = format!("{:?}", collector.spans());
        requests.iter().all(|request| spans.contains(request)).then_some(())
    })
    .await;
    assert_the_upstream_saw_it(&simulator, &org.key);
    places::assert_no_core_is_written(&gateway);
    for place in places::of_process(&gateway, &collector, &requests).await {
        place.assert_clean(&needles);
    }
    for place in places::of_disk(&gateway, &requests) {
        place.assert_clean(&needles);
    }

    // A process that dies with a request at work writes no more, nor does the one that ends it.
    let died = talk_until_death(&mut gateway, &org.key).await;
    gateway.restart().await;
    lend_the_credential(&gateway, &simulator).await;
    assert_eq!(gateway.admin().bill(&died).await["outcome"], "interrupted");
    requests.push(died);
    gateway.admin().reconciled().await;
    gateway.stop().await;
    for place in places::of_disk(&gateway, &requests) {
        place.assert_clean(&needles);
    }
    needles.iter().for_each(|needle| needle.assert_absent("the log", gateway.stderr().as_bytes()));
}

#[tokio::test]
async fn of_an_address_a_hash_is_kept_that_tells_clients_apart() {
    let (simulator, collector) = (SimulatorProcess::start().await, Collector::start().await);
    let gateway = start(&simulator, &collector).await;
    let org = gateway.new_org("quiet", "1.00 USD").await;
    let mut digests = Vec::new();
    for address in [CONNECTED, CONNECTED, Ipv4Addr::new(127, 45, 67, 90)] {
        let id = talk_from(&gateway, address, &org.key).await;
        digests.push(gateway.admin().bill(&id).await["client_digest"].as_str().unwrap().to_owned());
    }
    // Through the proxy, two clients.
    for named in [NAMED, NAMED, "203.0.113.48"] {
        let request = Request::post(CHAT, planted(false).to_string()).bearer(&org.key);
        let reply = gateway.send(&request.header("x-forwarded-for", named)).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        digests.push(bill["client_digest"].as_str().unwrap().to_owned());
    }
    assert!(digests.iter().all(|digest| digest.len() == 32), "{digests:?}");
    let same = |one: usize, other: usize| digests[one] == digests[other];
    assert!(same(0, 1) && same(3, 4), "one client is one: {digests:?}");
    assert!(!same(0, 2) && !same(3, 5) && !same(0, 3), "two are two: {digests:?}");
}
