//! What `docs/metrics.md` says to alert on moves when, and only when, that happens.

use integration_tests::{Client, units};
use integration_tests::{Gateway, Metrics, NewOrg, Request, SplitGateway, eventually, say};
use rustix::process::Signal;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::fs;
use std::path::Path;

/// Waits until a number is as it should be.
async fn moves(
    name: &str,
    read: impl AsyncFn() -> Metrics,
    is_so: impl Fn(f64) -> bool,
) -> Metrics {
    eventually(name, async || {
        let shown = read().await;
        is_so(shown.sum(name, &[])).then_some(shown)
    })
    .await
}

async fn shown(gateway: &Gateway) -> Metrics {
    let ops = Client::new(gateway.ops_url());
    Metrics::read(ops.try_send(&Request::get("/metrics")).await.unwrap().text())
}

fn is(expected: f64) -> impl Fn(f64) -> bool {
    move |found| found.to_bits() == expected.to_bits()
}

async fn change(data_dir: &Path, statement: &str) {
    let url = format!("sqlite://{}", data_dir.join("turnpike.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let busy = sqlx::query("PRAGMA busy_timeout = 20000");
    busy.execute(&mut connection).await.unwrap();
    let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_a_request_costs_beyond_its_hold_moves_uncollected_and_hold_shortfalls() {
    let gateway = Gateway::demo().start().await;
    let losses = ["turnpike_uncollected_nano_total", "turnpike_hold_shortfalls_total"];
    let before = shown(&gateway).await;
    assert!(losses.iter().all(|name| is(0.0)(before.sum(name, &[]))), "nothing yet");
    // An upstream that ignores the bound says 2 000 tokens where five were asked for.
    let said = r#"{"id":"c","choices":[{"index":0,"finish_reason":"stop","message":{"content":""#;
    let usage = r#""}}],"usage":{"prompt_tokens":8,"completion_tokens":2000}}"#;
    let words = json!({"repeat": "word ", "times": 500});
    let headers = json!({"content-type": "application/json"});
    let mut body = say(1);
    body["max_tokens"] = 5.into();
    body["x_simulator"] = json!({"raw": {"headers": headers, "body": [said, words, usage]}});
    let poor = NewOrg { credit: "0.001 USD", ..NewOrg::named("poor") };
    let org = gateway.create_org(poor).await;
    let reply = gateway.chat(&org.key, body).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    let lost = integration_tests::nano(&bill["uncollected_nano"]);
    assert!(lost > 0, "{bill}");
    let after = shown(&gateway).await;
    let of_global = |name: &str| after.sum(name, &[("entity", "global")]);
    assert_eq!(format!("{:.0}", of_global(losses[0])), lost.to_string());
    assert!(is(1.0)(of_global(losses[1])), "{after:?}");
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_moves_poison_until_it_can() {
    let gateway = Gateway::demo().env("TURNPIKE__BILLING__LOOK_AGAIN", "50ms").start().await;
    let org = gateway.new_org("odd", "1.00 USD").await;
    let uid = "(SELECT uid FROM config_object WHERE kind = 'Org' AND name = 'odd')";
    let set = |currency: &str| {
        format!("UPDATE account SET currency = '{currency}' WHERE org_uid = {uid} AND key_uid = 0")
    };
    // As if somebody had meddled with the database.
    change(gateway.data_dir(), &set("EUR")).await;
    let reply = gateway.chat(&org.key, say(3)).await;
    let name = "turnpike_billing_poison_events";
    let kept = moves(name, async || shown(&gateway).await, is(1.0)).await;
    let poisoned = kept.sum("turnpike_billing_events_total", &[("result", "poison")]);
    assert!(is(1.0)(poisoned), "{poisoned}");
    assert_eq!(gateway.admin().balance("odd").await.posted, units(1), "nobody paid yet");
    change(gateway.data_dir(), &set("USD")).await;
    moves(name, async || shown(&gateway).await, is(0.0)).await;
    gateway.admin().bill(reply.request_id()).await;
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_data_plane_that_is_behind_moves_the_lag() {
    let split = SplitGateway::start(&[]).await;
    let name = "turnpike_config_lag_revisions";
    moves(name, async || split.office_metrics().await, is(0.0)).await;
    split.signal_plane(Signal::STOP);
    for rpm in 1..=3 {
        let plan = format!("kind: Plan\nname: slow\nspec: {{requests_per_minute: {rpm}}}\n");
        let output = split.admin().run_with(&["apply", "-f", "-"], &plan).await;
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    moves(name, async || split.office_metrics().await, is(3.0)).await;
    split.signal_plane(Signal::CONT);
    moves(name, async || split.office_metrics().await, is(0.0)).await;
}

#[tokio::test]
async fn events_that_wait_for_billing_move_the_depth_and_the_age_of_the_spool() {
    let mut split = SplitGateway::start(&[]).await;
    let org = split.new_org("waiting", "1.00 USD").await;
    assert_eq!(split.chat(&org.key, say(1)).await.status, 200);
    let depth = "turnpike_spool_unbilled_events";
    moves(depth, async || split.plane_metrics().await, is(0.0)).await;
    split.kill_office().await;
    for served in 1..=3_u8 {
        assert_eq!(split.chat(&org.key, say(1)).await.status, 200);
        moves(depth, async || split.plane_metrics().await, is(f64::from(served))).await;
    }
    let age = "turnpike_spool_oldest_unbilled_seconds";
    let older = |than: f64| moves(age, async || split.plane_metrics().await, move |age| age > than);
    older(0.5).await;
    older(1.0).await;
    split.start_office().await;
    let billed = moves(depth, async || split.plane_metrics().await, is(0.0)).await;
    assert!(is(0.0)(billed.sum(age, &[])), "{}", billed.sum(age, &[]));
}

#[tokio::test]
async fn money_on_a_life_of_a_data_plane_that_is_gone_moves_refused_while_parked() {
    let mut split = SplitGateway::start(&[]).await;
    // All of it goes into the first slice.
    let org = split.new_org("parked", "0.0003 USD").await;
    assert_eq!(split.chat(&org.key, say(1)).await.status, 200);
    let name = "turnpike_refused_while_parked_total";
    assert!(is(0.0)(split.plane_metrics().await.sum(name, &[])));
    split.kill_plane().await;
    fs::remove_dir_all(split.data_dir().join("spool")).unwrap();
    split.start_plane().await;
    let refused = split.chat(&org.key, say(100)).await;
    assert_eq!((refused.status, &*refused.reason()), (402, "in_flight"), "{}", refused.text());
    moves(name, async || split.plane_metrics().await, |refusals| refusals >= 1.0).await;
}
