//! Stopping: who is served, who is told to go elsewhere, what running requests get and pay, and how long it takes. Real processes,
//! data planes beside each other and whole gateways.

mod rolling;
mod told;

use integration_tests::{
    Account, End, Event, Gateway, RawConnection, SimulatorProcess, SplitGateway, eventually, nano,
    say, units,
};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;

/// What nobody said who was stopped in good order.
const NOISE: &str = "not connected to the control plane";

fn paced(tokens: u64, pace_ms: u64) -> Value {
    let mut body = say(tokens);
    body["x_simulator"]["pace_ms"] = pace_ms.into();
    body
}

fn words(events: &[Event]) -> i64 {
    i64::try_from(events.iter().filter_map(Event::words).count()).unwrap()
}

/// The error that is a stream's last event.
fn last_error(events: &[Event]) -> Value {
    let last = events.last().unwrap();
    last.error().unwrap_or_else(|| panic!("the last event is an error: {last:?}"))
}

#[tokio::test]
async fn a_stream_past_the_limit_ends_with_an_error_event_and_pays_what_it_got() {
    let limit = ("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "1 s");
    let mut split = SplitGateway::start(&[limit]).await;
    let org = split.new_org("cut", "1.00 USD").await;
    let other = split.new_org("unanswered", "1.00 USD").await;
    let mut stream = split.client().stream(&org.key, paced(100_000, 20)).await.unwrap();
    assert!(stream.next().await.unwrap().words().is_some());
    let id = stream.request_id().to_owned();
    let client = split.client();
    let mut silent = say(1);
    silent["x_simulator"]["fault"] = "silence".into();
    let whole = tokio::spawn(async move { client.chat(&other.key, silent).await });
    let mut log = split.simulator().client().reader();
    while log.running().count() < 2 {
        log.read_on().await;
    }
    split.signal_plane(Signal::TERM);

    let (events, end) = stream.rest().await;
    assert_eq!(end, End::Whole);
    assert_eq!(last_error(&events)["code"], 503, "{events:?}");
    let charge = PROMPT * INPUT_NANO + (1 + words(&events)) * OUTPUT_NANO;
    let unanswered = whole.await.unwrap().unwrap();
    assert_eq!(unanswered.status, 503, "{}", unanswered.text());
    assert_eq!(unanswered.header("x-should-retry"), Some("true"));
    let exited = split.plane().ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    assert!(!exited.stderr.contains(NOISE), "{}", exited.stderr);

    // All that was not spent is free by the time that the process is gone.
    let admin = split.admin();
    assert_eq!(admin.balance("cut").await.free, units(1) - charge);
    assert_eq!(admin.balance("unanswered").await.free, units(1), "nothing was delivered");
    split.start_plane().await;
    let bill = admin.bill(&id).await;
    assert_eq!(nano(&bill["charge_nano"]), charge, "{bill}");
    admin.bill(unanswered.request_id()).await;
    admin.reconciled_with(2).await;
}

#[tokio::test]
async fn up_ends_within_ten_seconds_with_streams_open() {
    let mut gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "endless", 10).await;
    let key = account.org.key.clone();
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = gateway.stream(&key, paced(100_000, 20)).await;
        assert!(stream.next().await.unwrap().words().is_some());
        streams.push(stream);
    }
    let mut half = RawConnection::open(gateway.base_url()).await;
    half.send("POST /v1/chat/completions HTTP/1.1\r\nhost: turnpike\r\ncontent-le").await;
    let idle = RawConnection::open(gateway.base_url()).await;
    let began = Instant::now();
    gateway.signal(Signal::INT);

    let mut charges = Vec::new();
    for stream in streams {
        let id = stream.request_id().to_owned();
        let (events, end) = stream.rest().await;
        assert_eq!((end, &last_error(&events)["code"]), (End::Whole, &503.into()));
        charges.push((id, PROMPT * INPUT_NANO + (1 + words(&events)) * OUTPUT_NANO));
    }
    let exited = gateway.ended_within(Duration::from_secs(10)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    let (_, said) = exited.stderr.split_once("stopping: ").unwrap();
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    idle.until_closed().await;
    half.until_closed().await;

    gateway.restart().await;
    let ids: Vec<&str> = charges.iter().map(|(id, _)| id.as_str()).collect();
    let bills = account.all_charged(&gateway, &ids).await;
    for (bill, (_, charge)) in bills.iter().zip(&charges) {
        assert_eq!(bill.charge(), *charge, "{}", bill.0);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_next_start_settles_what_ran() {
    let simulator = SimulatorProcess::start().await;
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "10 min");
        let mut gateway = gateway.external_simulator(simulator.url()).start().await;
        let mut stream = gateway.stream(gateway.api_key(), paced(100_000, 20)).await;
        assert!(stream.next().await.unwrap().words().is_some());
        let id = stream.request_id().to_owned();
        gateway.signal(first);
        told::is_refusing(&gateway).await;
        gateway.signal(second);
        let exited = gateway.ended_within(Duration::from_secs(3)).await;
        assert_eq!(exited.code, Some(1), "{}", exited.stderr);
        assert!(exited.stderr.contains("a second signal"), "{}", exited.stderr);
        let (events, end) = stream.rest().await;
        assert!(!events.iter().any(Event::is_done) && end != End::Whole, "{end:?} {events:?}");

        gateway.restart().await;
        assert_eq!(gateway.admin().bill(&id).await["outcome"], "interrupted");
        gateway.admin().reconciled().await;
    }
}

#[tokio::test]
async fn money_that_nobody_uses_is_given_back_while_streams_still_run() {
    let settings = [
        ("TURNPIKE__DATA_PLANE__MONEY__IDLE_RELEASE_AFTER", "10 min"),
        ("TURNPIKE__DATA_PLANE__DRAIN__LIMIT", "10 min"),
    ];
    let mut split = SplitGateway::start(&settings).await;
    let idle = split.new_org("idle", "1.00 USD").await;
    let busy = split.new_org("busy", "1.00 USD").await;
    let reply = split.chat(&idle.key, say(5)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let admin = split.admin();
    admin.bill(reply.request_id()).await;
    assert!(admin.balance("idle").await.held > 0, "a slice for more than one request");
    let mut stream = split.client().stream(&busy.key, paced(100_000, 20)).await.unwrap();
    assert!(stream.next().await.unwrap().words().is_some());
    split.signal_plane(Signal::TERM);
    eventually("it is given back", async || (admin.balance("idle").await.held == 0).then_some(()))
        .await;
    assert!(admin.balance("busy").await.held > 0);
    assert!(stream.next().await.unwrap().words().is_some(), "and the other one goes on");
    let id = stream.request_id().to_owned();
    stream.drop_connection();
    let exited = split.plane().ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);
    split.start_plane().await;
    admin.bill(&id).await;
    assert_eq!(admin.balance("busy").await.held, 0);
    admin.reconciled_with(2).await;
}
