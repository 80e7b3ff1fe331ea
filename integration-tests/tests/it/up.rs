//! `turnpike up`: starting, refusing to start, stopping, and what a restart keeps.

use integration_tests::{Client, End, Gateway, Request, eventually, nano, say, units};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[tokio::test]
async fn a_second_up_on_the_same_data_dir_exits_1_and_names_the_holder() {
    let gateway = Gateway::demo().start().await;
    let second = Gateway::demo().data_dir(gateway.data_dir()).fails().await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    let holder = gateway.process_id().to_string();
    assert!(second.stderr.contains(&holder), "{holder} is not in: {}", second.stderr);
    let path = gateway.data_dir().to_str().unwrap();
    assert!(second.stderr.contains(path), "{path} is not in: {}", second.stderr);
    assert_eq!(gateway.chat(gateway.api_key(), say(2)).await.status, 200, "the first goes on");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [
        ("TURNPIKE__DATA_PLANE__LISTEN", "data_plane.listen"),
        ("TURNPIKE__CONTROL_PLANE__ADMIN_LISTEN", "control_plane.admin_listen"),
        ("TURNPIKE__OPS__LISTEN", "ops.listen"),
        ("TURNPIKE__SIMULATOR__LISTEN", "simulator.listen"),
    ];
    for (variable, setting) in settings {
        let refused = Gateway::demo().env(variable, &address).fails().await;
        assert_eq!(refused.code, Some(1), "{variable}: {}", refused.stderr);
        assert!(refused.stderr.contains(&address), "{variable}: {}", refused.stderr);
        assert!(refused.stderr.contains(setting), "{variable}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_refused_by_its_name() {
    let refused = Gateway::demo().env("TURNPIKE__DATA_PLANE__LISTENS", "127.0.0.1:0").fails().await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.to_lowercase().contains("listens"), "{}", refused.stderr);
}

#[tokio::test]
async fn demo_env_is_for_the_owner_alone_and_says_how_to_come_in() {
    let gateway = Gateway::demo().start().await;
    let file = gateway.data_dir().join("demo.env");
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let names: Vec<&str> = gateway.demo_env().names().collect();
    let documented = [
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "TURNPIKE_ADMIN_ADDR",
        "TURNPIKE_ADMIN_TOKEN",
        "TURNPIKE_OPS_ADDR",
        "TURNPIKE_SIMULATOR_ADDR",
    ];
    assert_eq!(names, documented);
    assert!(gateway.base_url().ends_with("/v1"), "{}", gateway.base_url());
    for address in ["TURNPIKE_ADMIN_ADDR", "TURNPIKE_OPS_ADDR", "TURNPIKE_SIMULATOR_ADDR"] {
        let url = gateway.demo_env().get(address);
        assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{address}: {url}");
    }
    let told = gateway.stdout() + &gateway.stderr();
    let curl = format!("{}/chat/completions", gateway.base_url());
    assert!(told.contains("curl") && told.contains(&curl), "a ready curl line: {told}");
}

#[tokio::test]
async fn the_ops_listener_tells_health_readiness_and_metrics() {
    let mut gateway = Gateway::demo().start().await;
    let ops = Client::new(gateway.ops_url());
    let ask = async |path| ops.try_send(&Request::get(path)).await.unwrap();
    assert_eq!(ask("/healthz").await.status, 200);
    assert_eq!(ask("/readyz").await.status, 200);
    gateway.chat(gateway.api_key(), say(2)).await;
    let metrics = ask("/metrics").await;
    assert!(metrics.text().contains("turnpike_"), "{}", metrics.text());

    let mut endless = gateway.stream(gateway.api_key(), paced(100_000, 20)).await;
    endless.next().await.unwrap();
    gateway.signal(Signal::TERM);
    eventually("no new requests are wanted", async || {
        (ask("/readyz").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(ask("/healthz").await.status, 200, "it still drains");
    endless.drop_connection();
    assert_eq!(gateway.ended_within(Duration::from_secs(10)).await.code, Some(0));
}

#[tokio::test]
async fn a_restart_keeps_key_and_balance() {
    let mut gateway = Gateway::demo().start().await;
    let key = gateway.api_key().to_owned();
    let reply = gateway.chat(&key, say(50)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bill = gateway.admin().bill(reply.request_id()).await;
    let charge = nano(&bill["charge_nano"]);
    assert!(charge > 0, "{bill}");

    gateway.stop().await;
    gateway.restart().await;

    assert_eq!(gateway.api_key(), key);
    assert_eq!(gateway.admin().balance("demo").await.posted, units(10) - charge);
    assert_eq!(gateway.admin().bill(reply.request_id()).await, bill);
    let another = gateway.chat(&key, say(2)).await;
    assert_eq!(another.status, 200, "{}", another.text());
    gateway.admin().bill(another.request_id()).await;
    gateway.admin().reconciled_with(2).await;
}

#[tokio::test]
async fn sigterm_ends_streams_with_an_error_event_and_exits_0() {
    a_signal_ends_streams_with_an_error_event(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_ends_streams_with_an_error_event_and_exits_0() {
    a_signal_ends_streams_with_an_error_event(Signal::INT).await;
}

async fn a_signal_ends_streams_with_an_error_event(signal: Signal) {
    let limit = "TURNPIKE__DATA_PLANE__DRAIN__LIMIT";
    let mut gateway = Gateway::demo().env(limit, "2 s").start().await;
    let mut endless = gateway.stream(gateway.api_key(), paced(100_000, 20)).await;
    let mut short = gateway.stream(gateway.api_key(), paced(20, 20)).await;
    for stream in [&mut endless, &mut short] {
        assert_eq!(stream.status(), 200);
        assert!(stream.next().await.unwrap().words().is_some());
    }
    let endless_id = endless.request_id().to_owned();
    gateway.signal(signal);

    let (events, end) = short.rest().await;
    assert_eq!(end, End::Whole);
    assert!(events.last().unwrap().is_done(), "what can end in time does: {events:?}");

    let (events, end) = endless.rest().await;
    assert_eq!(end, End::Whole);
    let last = events.last().unwrap();
    let error = last.error().unwrap_or_else(|| panic!("the last event is an error: {last:?}"));
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    assert_eq!(last.json().as_object().unwrap().len(), 1, "an error and nothing else: {last:?}");

    let exited = gateway.ended_within(Duration::from_secs(10)).await;
    assert_eq!(exited.code, Some(0), "{}", exited.stderr);

    gateway.restart().await;
    let bill = gateway.admin().bill(&endless_id).await;
    assert!(nano(&bill["charge_nano"]) > 0, "what was delivered is charged: {bill}");
    gateway.admin().reconciled().await;
}

fn paced(tokens: u64, pace_ms: u64) -> Value {
    let mut body = say(tokens);
    body["x_simulator"] = json!({"tokens": tokens, "pace_ms": pace_ms});
    body
}
