//! Upstreams that cannot be trusted, found or kept (`docs/faults.md`, 39 to 41): another answers, or the client gets 503; what cannot
//! be trusted gets neither request nor credential, and only who answered is paid.

use crate::own_upstream::{PROMPT, SAID, answer, listen, request, upstream};
use integration_tests::{Account, Authority, Gateway, GatewayBuilder, Reply, say};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// More than any test lasts.
const LATER: i32 = 2099;

fn gateway() -> GatewayBuilder {
    let limit = |name: &str| format!("TURNPIKE__DATA_PLANE__LIMITS__{name}");
    // One core has all kept connections; an upstream that failed is asked again at once.
    Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__CORES", 1)
        .env(&limit("CONNECT_TIMEOUT"), "2 s")
        .env(&limit("COOLDOWN"), "1 ms")
        .env(&limit("COOLDOWN_MAX"), "1 ms")
}

fn is_down(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    let error = &reply.json()["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("all upstreams of this model are down"), "{message}");
}

/// With one bad upstream the other answers and is paid; with two of them nobody is.
async fn is_passed_over(gateway: &Gateway, account: &mut Account, url: &str, reason: &str) {
    gateway.admin().apply(&upstream("demo-a", url)).await;
    let reply = gateway.chat(&account.org.key, say(3)).await;
    assert_eq!(reply.status, 200, "{reason}: {}", reply.text());
    let bill = account.charged(gateway, reply.request_id()).await;
    assert_eq!(bill.attempts(), [reason, ""], "{}", bill.0);
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 3 * OUTPUT_NANO, "{}", bill.0);

    let there = gateway.admin().json(&["get", "upstream", "demo-b", "-o", "json"]).await;
    gateway.admin().apply(&upstream("demo-b", url)).await;
    let reply = gateway.chat(&account.org.key, say(3)).await;
    is_down(&reply);
    let bill = account.charged(gateway, reply.request_id()).await;
    assert_eq!(bill.attempts(), [reason, reason], "{}", bill.0);
    assert_eq!((bill.charge(), bill.outcome()), (0, "upstream_failed"), "{}", bill.0);
    let url = there["spec"]["base_url"].as_str().unwrap();
    gateway.admin().apply(&upstream("demo-b", url)).await;
}

/// How something that is no good answers a client's hello.
#[derive(Clone)]
enum Greeting {
    Tls(TlsAcceptor),
    Bytes(&'static [u8]),
    Nothing,
}

/// What came to such an upstream.
#[derive(Default)]
struct Came {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

async fn greet(greeting: Greeting, came: Arc<Came>, mut stream: TcpStream) {
    came.connections.fetch_add(1, Ordering::Relaxed);
    let acceptor = match greeting {
        Greeting::Tls(acceptor) => acceptor,
        Greeting::Bytes(bytes) => {
            drop(stream.read(&mut [0; 512]).await);
            drop(stream.write_all(bytes).await);
            return drop(stream.read(&mut [0; 512]).await);
        }
        Greeting::Nothing => return drop(stream.read_to_end(&mut Vec::new()).await),
    };
    if let Ok(stream) = acceptor.accept(stream).await {
        let mut stream = BufReader::new(stream);
        while let Some(request) = request(&mut stream).await {
            came.requests.lock().push(request);
            answer(&mut stream).await;
        }
    }
}

async fn greets(greeting: Greeting) -> (String, Arc<Came>) {
    let came = Arc::new(Came::default());
    let seen = came.clone();
    let address =
        listen("127.0.0.1:0", move |stream| greet(greeting.clone(), seen.clone(), stream));
    (format!("https://localhost:{}/v1", address.await.port()), came)
}

#[tokio::test]
async fn case_39_an_upstream_whose_tls_cannot_be_trusted_is_passed_over_and_sent_no_credential() {
    let trusted = Authority::new();
    let stranger = Authority::new();
    let gateway = gateway().env("SSL_CERT_FILE", trusted.file()).start().await;
    let mut account = Account::open(&gateway, "careful", 1).await;
    let table = [
        ("expired", Greeting::Tls(trusted.vouches_for("localhost", 2020))),
        ("another's name", Greeting::Tls(trusted.vouches_for("upstream.example", LATER))),
        ("nobody we know", Greeting::Tls(stranger.vouches_for("localhost", LATER))),
        // A server hello of TLS 1.0, and the alert of one that has no more than that.
        ("TLS 1.0", Greeting::Bytes(b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x2f\x00")),
        ("TLS 1.0 alone", Greeting::Bytes(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("plain HTTP", Greeting::Bytes(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")),
        ("half a hello", Greeting::Bytes(b"\x16\x03\x03\x00\x2a\x02")),
        ("no hello", Greeting::Nothing),
    ];
    for (what, greeting) in table {
        let (url, came) = greets(greeting).await;
        is_passed_over(&gateway, &mut account, &url, "tls").await;
        assert!(came.connections.load(Ordering::Relaxed) >= 3, "{what}: it was dialled each time");
        assert_eq!(*came.requests.lock(), Vec::<String>::new(), "{what}");
    }
    assert!(gateway.stderr().contains("TLS could not be agreed"), "{}", gateway.stderr());

    // The positive control: the same with a certificate as it should be.
    let (url, came) = greets(Greeting::Tls(trusted.vouches_for("localhost", LATER))).await;
    gateway.admin().apply(&upstream("demo-a", &url)).await;
    let reply = gateway.chat(&account.org.key, say(3)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bill = account.charged(&gateway, reply.request_id()).await;
    assert_eq!(bill.attempts(), [""], "{}", bill.0);
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + SAID * OUTPUT_NANO, "{}", bill.0);
    let requests = came.requests.lock().clone();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains("authorization: Bearer secret-of-demo-a"), "{requests:?}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn case_40_an_upstream_whose_name_leads_nowhere_is_passed_over_and_costs_nothing() {
    let gateway = gateway().start().await;
    let mut account = Account::open(&gateway, "lost", 1).await;
    // RFC 6761 keeps this name from ever existing.
    is_passed_over(&gateway, &mut account, "http://upstream.invalid/v1", "unresolved").await;
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn case_40_a_name_whose_first_address_does_not_answer_is_reached_at_its_next() {
    let gateway = gateway().start().await;
    let mut account = Account::open(&gateway, "two-ways", 1).await;
    for at in ["[::1]:0", "127.0.0.1:0"] {
        let address = listen(at, |stream| async move {
            let mut stream = BufReader::new(stream);
            while request(&mut stream).await.is_some() {
                answer(&mut stream).await;
            }
        });
        // It has an address of each family, and just one of them is served.
        let url = format!("http://localhost:{}/v1", address.await.port());
        gateway.admin().apply(&upstream("demo-a", &url)).await;
        let reply = gateway.chat(&account.org.key, say(3)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.attempts(), [""], "{at}: {}", bill.0);
    }
}

/// The ids of requests, each as often as it came whole.
type Read = Arc<Mutex<BTreeMap<String, usize>>>;

fn note(read: &Read, request: &str) {
    let (_, id) = request.split_once("x-request-id: ").unwrap();
    let id = id.split("\r\n").next().unwrap().to_owned();
    *read.lock().entry(id).or_default() += 1;
}

/// An upstream each of whose connections is good for one answer, and which notes what it reads; it closes then, or once it has read
/// another request. Its address as a `base_url`.
async fn good_for_one_answer(seen: Read, reads_another: bool) -> String {
    let address = listen("127.0.0.1:0", move |stream| {
        let seen = seen.clone();
        async move {
            let mut stream = BufReader::new(stream);
            if let Some(request) = request(&mut stream).await {
                note(&seen, &request);
                answer(&mut stream).await;
            }
            if reads_another && let Some(request) = request(&mut stream).await {
                note(&seen, &request);
            }
        }
    });
    format!("http://{}/v1", address.await)
}

#[tokio::test]
async fn case_41_a_kept_connection_that_closes_as_we_write_costs_no_request_and_none_is_read_twice()
{
    let gateway = gateway().start().await;
    let mut account = Account::open(&gateway, "unlucky", 1).await;
    let read = Read::default();
    // It closes without a word: while the next request may be on its way.
    let address = good_for_one_answer(read.clone(), false).await;
    gateway.admin().apply(&upstream("demo-a", &address)).await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        let reply = gateway.chat(&account.org.key, say(SAID.unsigned_abs())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        ids.push(reply.request_id().to_owned());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let bills = account.all_charged(&gateway, &ids).await;
    for bill in &bills {
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + SAID * OUTPUT_NANO, "{}", bill.0);
        assert!(matches!(*bill.attempts(), [""] | ["unreachable", ""]), "{}", bill.0);
    }
    let unharmed = bills.iter().filter(|bill| bill.attempts() == [""]).count();
    assert!(unharmed > ids.len() / 2, "{unharmed}");
    let read = read.lock().clone();
    assert!(read.len() >= unharmed && read.values().all(|times| *times == 1), "{read:?}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn case_41_a_request_that_its_upstream_may_have_read_is_not_sent_to_it_again() {
    let gateway = gateway().start().await;
    let mut account = Account::open(&gateway, "read", 1).await;
    let read = Read::default();
    let address = good_for_one_answer(read.clone(), true).await;
    gateway.admin().apply(&upstream("demo-a", &address)).await;
    for round in 0..10 {
        let reply = gateway.chat(&account.org.key, say(SAID.unsigned_abs())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        let attempts: &[&str] = if round % 2 == 0 { &[""] } else { &["unreachable", ""] };
        assert_eq!(bill.attempts(), attempts, "{}", bill.0);
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + SAID * OUTPUT_NANO, "{}", bill.0);
        assert_eq!(read.lock().get(reply.request_id()), Some(&1), "read once by this upstream");
    }
    gateway.admin().reconciled().await;
}
