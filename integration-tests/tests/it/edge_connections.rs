//! Connections that are slow, large, many or gone (cases 1 to 3, 7, 8, 12 to 14, 17, 18 of the list of bad inputs): each
//! is bounded by a setting, costs nothing before it is admitted, and takes nothing from others.

use integration_tests::{Gateway, GatewayBuilder, RawConnection, Request, eventually, say};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";

fn limited(name: &str, value: impl ToString) -> GatewayBuilder {
    Gateway::demo().env(&format!("TURNPIKE__DATA_PLANE__LIMITS__{name}"), value)
}

fn head(gateway: &Gateway, more: &str) -> String {
    let key = gateway.api_key();
    format!("POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\n{more}\r\n")
}

/// Nothing reached an upstream, and nothing was charged.
async fn costs_nothing(gateway: &Gateway) {
    assert_eq!(gateway.simulator().log_after(0).await, Vec::<Value>::new());
    assert_eq!(gateway.admin().usage("demo").await, Vec::<Value>::new());
}

#[tokio::test]
async fn case_01_a_connection_that_says_nothing_is_closed() {
    let gateway = limited("HEAD_TIMEOUT", "300 ms").start().await;
    let silent = RawConnection::open(gateway.base_url()).await;
    assert_eq!(silent.until_closed().await.statuses(), Vec::<u16>::new());
    let mut half = RawConnection::open(gateway.base_url()).await;
    half.send("GET /v1/mod").await;
    assert_eq!(half.until_closed().await.statuses(), Vec::<u16>::new());
}

#[tokio::test]
async fn case_02_a_head_that_comes_byte_by_byte_is_given_up() {
    let gateway = limited("HEAD_TIMEOUT", "500 ms").start().await;
    let mut slow = RawConnection::open(gateway.base_url()).await;
    slow.drip(&head(&gateway, "content-length: 2\r\n"), Duration::from_millis(50)).await;
    assert_eq!(slow.until_closed().await.statuses(), Vec::<u16>::new());
    costs_nothing(&gateway).await;
}

#[tokio::test]
async fn case_03_a_body_that_comes_too_slowly_is_408_and_costs_nothing() {
    let gateway = limited("BODY_WHOLE_TIMEOUT", "500 ms").start().await;
    let mut slow = RawConnection::open(gateway.base_url()).await;
    slow.send(head(&gateway, "content-length: 1000\r\n")).await;
    slow.drip([b' '; 30], Duration::from_millis(50)).await;
    let told = slow.until_closed().await;
    assert_eq!(told.statuses(), [408]);
    assert!(told.0.contains("took longer than"), "{}", told.0);
    costs_nothing(&gateway).await;

    let gateway = limited("BODY_TIMEOUT", "300 ms").start().await;
    let mut stuck = RawConnection::open(gateway.base_url()).await;
    stuck.send(head(&gateway, "content-length: 1000\r\n")).await;
    stuck.send("{").await;
    let told = stuck.until_closed().await;
    assert_eq!(told.statuses(), [408]);
    assert!(told.0.contains("without pauses"), "{}", told.0);
    costs_nothing(&gateway).await;
}

#[tokio::test]
async fn case_07_a_body_is_not_asked_for_before_the_key_is_known() {
    let gateway = Gateway::demo().start().await;
    let mut stranger = RawConnection::open(gateway.base_url()).await;
    let expecting = "content-length: 100\r\nexpect: 100-continue\r\n";
    stranger.send(format!("POST {CHAT} HTTP/1.1\r\nhost: turnpike\r\n{expecting}\r\n")).await;
    assert_eq!(stranger.until_closed().await.statuses(), [401]);

    let body = say(1).to_string();
    let mut caller = RawConnection::open(gateway.base_url()).await;
    let expecting = format!("content-length: {}\r\nexpect: 100-continue\r\n", body.len());
    caller.send(head(&gateway, &format!("{expecting}connection: close\r\n"))).await;
    assert!(caller.until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    caller.send(body).await;
    assert_eq!(caller.until_closed().await.statuses(), [200]);
}

#[tokio::test]
async fn case_08_heads_beyond_the_limit_are_431_and_others_are_served_meanwhile() {
    let gateway = limited("HEAD_BYTES", "16 KiB").start().await;
    let long = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let many = (0..10_000).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    for more in [long, many] {
        let mut large = RawConnection::open(gateway.base_url()).await;
        large.send(head(&gateway, &more)).await;
        let statuses = large.until_closed().await.statuses();
        // The rest of the head may still have been on its way, so that a reset overtook the answer.
        assert!(matches!(statuses.as_slice(), [431] | []), "{statuses:?}");
        let other = gateway.chat(gateway.api_key(), say(1)).await;
        assert_eq!(other.status, 200, "{}", other.text());
    }
    let just_fits = format!("x-long: {}\r\nconnection: close\r\n", "a".repeat(15 << 10));
    let mut fitting = RawConnection::open(gateway.base_url()).await;
    fitting.send(head(&gateway, &format!("content-length: 0\r\n{just_fits}"))).await;
    assert_eq!(fitting.until_closed().await.statuses(), [400]);
}

#[tokio::test]
async fn case_13_the_limit_of_a_body_is_exact_however_it_is_framed() {
    let gateway = limited("BODY_BYTES", 10_000).start().await;
    for (length, status) in [(9_999, 200), (10_000, 200), (10_001, 413)] {
        let mut body = say(1).to_string();
        body.push_str(&" ".repeat(length - body.len()));
        let sized = Request::post(CHAT, body.clone()).bearer(gateway.api_key());
        assert_eq!(gateway.send(&sized).await.status, status, "{length}");
        let mut chunked = RawConnection::open(gateway.base_url()).await;
        chunked.send(head(&gateway, "transfer-encoding: chunked\r\n")).await;
        for piece in body.as_bytes().chunks(1_000) {
            chunked.send(format!("{:x}\r\n", piece.len())).await;
            chunked.send([piece, b"\r\n"].concat()).await;
        }
        chunked.send("0\r\n\r\n").await;
        assert_eq!(chunked.until_closed().await.statuses(), [status], "{length}");
    }
    let mut endless = RawConnection::open(gateway.base_url()).await;
    endless.send(head(&gateway, "transfer-encoding: chunked\r\n")).await;
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1_000));
    while endless.send(&chunk).await {}
}

#[tokio::test]
async fn case_14_a_client_that_sends_no_more_counts_as_gone_and_its_request_ends_once() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(1_000);
    body["stream"] = true.into();
    body["x_simulator"]["pace_ms"] = 20.into();
    let body = body.to_string();
    let mut half = RawConnection::open(gateway.base_url()).await;
    half.send(head(&gateway, &format!("content-length: {}\r\n", body.len()))).await;
    half.send(body).await;
    half.until("data:").await;
    half.half_close().await;
    half.until_closed().await;
    let ended = eventually("the request has ended", async || {
        let usage = gateway.admin().usage("demo").await;
        (!usage.is_empty()).then_some(usage)
    });
    let usage = ended.await;
    assert_eq!(usage.len(), 1);
    assert_eq!(usage[0]["outcome"], "client_gone", "{usage:?}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn case_17_a_stop_lets_open_streams_end_and_loses_none() {
    let mut gateway = Gateway::demo().start().await;
    let mut body = say(40);
    body["x_simulator"]["pace_ms"] = 25.into();
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = gateway.stream(gateway.api_key(), body.clone()).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    gateway.signal(rustix::process::Signal::TERM);
    for stream in streams {
        let (events, end) = stream.rest().await;
        assert!(events.last().unwrap().is_done(), "{end:?}");
    }
    assert_eq!(gateway.ended_within(Duration::from_secs(10)).await.code, Some(0));
    gateway.restart().await;
    let usage = gateway.admin().usage("demo").await;
    assert_eq!(usage.len(), 50);
    assert!(usage.iter().all(|row| row["outcome"] == "completed"), "{usage:?}");
}

#[tokio::test]
async fn case_18_without_file_descriptors_it_waits_and_recovers() {
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__CORES", 1).start().await;
    let pid = Pid::from_raw(i32::try_from(gateway.process_id()).unwrap()).unwrap();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", gateway.process_id())).unwrap().count();
    let before = open();
    let few = u64::try_from(before).unwrap() + 20;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let old = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(few), maximum }).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..60 {
        waiting.push(RawConnection::open(gateway.base_url()).await);
    }
    eventually("all descriptors are used", async || (open() >= before + 19).then_some(())).await;
    let used = cpu_ticks(gateway.process_id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spun = cpu_ticks(gateway.process_id()) - used;
    assert!(spun < 50, "it spins: {spun} of 100 ticks");
    drop(waiting);
    let reply = gateway.chat(gateway.api_key(), say(1)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    prlimit(Some(pid), Resource::Nofile, old).unwrap();
}

/// What a process has used of the processors, in hundredths of a second.
fn cpu_ticks(process_id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
