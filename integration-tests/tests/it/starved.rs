//! A process that gets too little (`docs/faults.md`, 78): a twentieth of the processor, no memory. What a container's limits do is
//! done here without containers: stopped and continued in turn, and a limit on what the process may map.

use integration_tests::{
    Account, Bill, Event, Gateway, PATIENCE, RawConnection, SimulatorProcess, say,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;

fn paced(tokens: u64, pace_ms: u64) -> Value {
    let mut body = say(tokens);
    body["x_simulator"]["pace_ms"] = pace_ms.into();
    body
}

/// For ever: 5 ms of each 100.
async fn a_twentieth_of_the_time(gateway: &Gateway) {
    loop {
        gateway.signal(Signal::CONT);
        sleep(Duration::from_millis(5)).await;
        gateway.signal(Signal::STOP);
        sleep(Duration::from_millis(95)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_twentieth_of_the_processor_all_are_answered_and_no_upstream_is_blamed() {
    let simulator = SimulatorProcess::start().await;
    let gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "throttled", 1).await;
    let mut asking = JoinSet::new();
    for round in 0..12 {
        let (client, key) = (gateway.client(), account.org.key.clone());
        asking.spawn(async move {
            if round % 2 == 0 {
                let reply = client.chat(&key, say(10)).await.unwrap();
                assert_eq!(reply.status, 200, "{}", reply.text());
                return reply.request_id().to_owned();
            }
            let stream = client.stream(&key, paced(10, 20)).await.unwrap();
            let id = stream.request_id().to_owned();
            let (events, _) = stream.rest().await;
            assert!(events.last().is_some_and(Event::is_done), "{events:?}");
            id
        });
    }
    let ids: Vec<String> = tokio::select! {
        () = a_twentieth_of_the_time(&gateway) => Vec::new(),
        ids = asking.join_all() => ids,
    };
    gateway.signal(Signal::CONT);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for bill in account.all_charged(&gateway, &ids).await {
        assert_eq!((bill.outcome(), bill.attempts()), ("completed", vec![""]), "{}", bill.0);
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 10 * OUTPUT_NANO, "{}", bill.0);
    }
    gateway.admin().reconciled().await;
}

/// Together they announce more than any allocator has put by.
const CROWD: usize = 64;
const BODY_BYTES: usize = 31 << 20;

/// From now on nearly every new mapping fails, as at the end of a container's memory.
fn forbid_more_memory(gateway: &Gateway) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process_id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size = size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    let most = Some(size + (16 << 20));
    let id = Pid::from_raw(i32::try_from(gateway.process_id()).unwrap()).unwrap();
    prlimit(Some(id), Resource::As, Rlimit { current: most, maximum: most }).unwrap();
}

#[tokio::test]
async fn without_memory_the_process_ends_at_once_and_its_next_life_settles_each_request_once() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let account = Account::open(&gateway, "greedy", 100).await;
    let key = &account.org.key;
    let answered = gateway.chat(key, say(3)).await.request_id().to_owned();
    let mut stream = gateway.stream(key, paced(100_000, 5)).await;
    for _ in 0..10 {
        stream.next().await.unwrap();
    }
    let cut_off = stream.request_id().to_owned();

    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(RawConnection::open(gateway.base_url()).await);
    }
    forbid_more_memory(&gateway);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: turnpike\r\nauthorization: Bearer {key}\r\n\
         content-length: {BODY_BYTES}\r\n\r\n"
    );
    for client in &mut crowd {
        client.send(&head).await;
        client.send(vec![b' '; 256 << 10]).await;
    }
    let exited = gateway.ended_within(PATIENCE).await;
    assert_eq!(exited.code, None, "a signal ended it: {}", exited.stderr);
    assert!(exited.stderr.contains("memory allocation of"), "{}", exited.stderr);
    gateway.restart().await;

    let outcome = async |id: &str| Bill(gateway.admin().bill(id).await).outcome().to_owned();
    assert_eq!(outcome(&answered).await, "completed");
    assert_eq!(outcome(&cut_off).await, "interrupted");
    let rows = gateway.admin().usage(&account.org.name).await;
    let mut booked: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *booked.entry(row["request_id"].as_str().unwrap()).or_default() += 1;
    }
    for line in simulator.log_lines() {
        assert_eq!(booked.get(line["request_id"].as_str().unwrap()), Some(&1), "{line}");
    }
    gateway.admin().reconciled().await;
}
