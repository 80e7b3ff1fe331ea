//! `/metrics`: what is documented is shown, what is shown is documented, and clients cannot make it grow.

use integration_tests::{Client, Collector, Gateway, Metrics, Request, eventually, say, workspace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

async fn metrics(gateway: &Gateway) -> Metrics {
    let ops = Client::new(gateway.ops_url());
    Metrics::read(ops.try_send(&Request::get("/metrics")).await.unwrap().text())
}

fn faulty(fault: &str) -> Value {
    let mut body = say(3);
    body["x_simulator"]["fault"] = fault.into();
    body["x_simulator"]["attempt"] = 1.into();
    body
}

/// Something of everything that can happen to a request.
async fn mixed_run(gateway: &Gateway) {
    let key = gateway.api_key();
    assert_eq!(gateway.chat(key, say(5)).await.status, 200);
    gateway.stream(key, say(5)).await.rest().await;
    gateway.stream(key, faulty("server_error")).await.rest().await;
    gateway.chat(key, faulty("bad_request")).await;
    gateway.chat("sk-nobody", say(1)).await;
    let mut impossible = say(5);
    impossible["x_simulator"]["usage"] = json!({"prompt_tokens": 9_000_000, "completion_tokens": 9_000_000, "total_tokens": 18_000_000});
    let last = gateway.chat(key, impossible).await;
    gateway.admin().bill(last.request_id()).await;
}

/// A row of a table of the page.
struct Row {
    kind: String,
    labels: Vec<String>,
    meaning: String,
}

fn documented() -> BTreeMap<String, Row> {
    let page = std::fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        let row = Row { kind: cells[2].to_owned(), labels, meaning: cells[4].to_owned() };
        (cells[1].trim_matches('`').to_owned(), row)
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn the_page_and_the_process_agree_on_every_metric() {
    let collector = Collector::start().await;
    let gateway = Gateway::demo()
        .env("TURNPIKE__TRACES__ENDPOINT", collector.url())
        .env("TURNPIKE__TRACES__SAMPLE_RATIO", 1)
        .env("TURNPIKE__TRACES__EXPORT_INTERVAL", "50ms")
        .start()
        .await;
    mixed_run(&gateway).await;
    let documented = documented();
    let shown = eventually("every documented metric is shown", async || {
        let shown = metrics(&gateway).await;
        documented.keys().all(|name| shown.0.contains_key(name)).then_some(shown)
    });
    let shown = tokio::time::timeout(std::time::Duration::from_secs(20), shown).await;
    let shown = match shown {
        Ok(shown) => shown,
        Err(_) => metrics(&gateway).await,
    };
    let missing: Vec<&String> =
        documented.keys().filter(|name| !shown.0.contains_key(*name)).collect();
    assert!(missing.is_empty(), "documented, not shown: {missing:?}");
    for (name, family) in &shown.0 {
        let row =
            documented.get(name).unwrap_or_else(|| panic!("{name} is not documented: {family:?}"));
        assert_eq!(family.kind, row.kind, "{name}");
        assert_eq!(family.help, row.meaning, "{name}");
        let labels: Vec<&str> = family.labels().into_iter().collect();
        assert_eq!(labels, row.labels, "{name}");
    }
}

#[test]
fn every_metric_that_the_source_names_is_documented() {
    let documented = documented();
    let mut named = 0;
    for role in ["billing", "control-plane", "data-plane", "links", "storage", "turnpike"] {
        for path in rust_files(&workspace().join(role).join("src")) {
            for text in std::fs::read_to_string(path).unwrap().split('"').skip(1).step_by(2) {
                let is_name = text.starts_with("turnpike_") || text.starts_with("gen_ai_");
                let ends_well =
                    ["_total", "_seconds", "_bytes"].iter().any(|end| text.ends_with(end));
                if is_name && ends_well {
                    named += 1;
                    assert!(documented.contains_key(text), "{text} is not in docs/metrics.md");
                }
            }
        }
    }
    assert!(named > 30, "{named} names are not all there are");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let deeper = folders.iter().flat_map(|folder| rust_files(folder));
    files.into_iter().chain(deeper).collect()
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let gateway = Gateway::demo().start().await;
    mixed_run(&gateway).await;
    let shown = metrics(&gateway).await;
    type Labels = &'static [(&'static str, &'static str)];
    let table: [(&str, Labels, f64); 12] = [
        (
            "turnpike_requests_settled_total",
            &[("entity", "global"), ("plan", "demo"), ("outcome", "completed")],
            4.0,
        ),
        ("turnpike_requests_settled_total", &[("outcome", "upstream_failed")], 1.0),
        ("turnpike_requests_refused_total", &[("error_type", "authentication")], 1.0),
        ("turnpike_upstream_attempts_total", &[("result", "ok")], 4.0),
        ("turnpike_upstream_attempts_total", &[("result", "failed")], 1.0),
        ("turnpike_upstream_attempts_total", &[("result", "refused")], 1.0),
        ("turnpike_usage_anomalies_total", &[], 1.0),
        ("gen_ai_server_request_duration_seconds", &[("le", "+Inf"), ("error_type", "")], 4.0),
        (
            "gen_ai_client_operation_duration_seconds",
            &[("le", "+Inf"), ("error_type", "failed")],
            1.0,
        ),
        ("turnpike_billing_events_total", &[("result", "applied")], 5.0),
        ("turnpike_uncollected_nano_total", &[], 0.0),
        ("turnpike_requests_in_flight", &[], 0.0),
    ];
    for (name, labels, expected) in table {
        assert_eq!(shown.sum(name, labels).to_bits(), expected.to_bits(), "{name} {labels:?}");
    }
    let published = shown.sum("turnpike_config_published_revision", &[]);
    assert!(published > 0.0);
    assert_eq!(shown.sum("turnpike_config_applied_revision", &[]).to_bits(), published.to_bits());
    let spent = gateway.admin().balance("demo").await;
    let charged = shown.sum("turnpike_charged_nano_total", &[("entity", "global")]);
    assert_eq!(format!("{charged:.0}"), (integration_tests::units(10) - spent.posted).to_string());
}

#[tokio::test]
async fn a_thousand_unknown_models_and_keys_make_no_series() {
    let gateway = Gateway::demo().start().await;
    let ask = async |round: usize| {
        let mut body = say(1);
        body["model"] = format!("nobody/{round}-{}", "x".repeat(round % 40)).into();
        let unknown_model = gateway.chat(gateway.api_key(), body).await;
        assert_eq!(unknown_model.status, 404, "{}", unknown_model.text());
        let unknown_key = gateway.chat(&format!("sk-nobody-{round}"), say(1)).await;
        assert_eq!(unknown_key.status, 401, "{}", unknown_key.text());
        let nowhere =
            Request::get(&format!("/nowhere/{round}")).header("x-title", &format!("app {round}"));
        assert_eq!(gateway.send(&nowhere).await.status, 404);
    };
    mixed_run(&gateway).await;
    ask(0).await;
    let before = metrics(&gateway).await;
    for round in 1..=1_000 {
        ask(round).await;
    }
    let after = metrics(&gateway).await;
    let counts = |metrics: &Metrics| -> BTreeMap<String, usize> {
        metrics.0.iter().map(|(name, family)| (name.clone(), family.series.len())).collect()
    };
    assert_eq!(counts(&after), counts(&before));
    assert!(after.series() < 1_000, "{} series of the demo's catalog", after.series());
    let values = after.0.values().flat_map(|family| &family.series).flat_map(|s| s.labels.values());
    for value in values {
        assert!(!value.contains("nobody"), "{value}");
    }
    let refused = after.sum("turnpike_requests_refused_total", &[("error_type", "not_found")]);
    assert!(refused >= 1_001.0, "the positive control: they were counted: {refused}");
}

#[tokio::test]
async fn readyz_says_in_words_what_it_waits_for() {
    let gateway = Gateway::demo().start().await;
    let ops = Client::new(gateway.ops_url());
    assert_eq!(ops.try_send(&Request::get("/readyz")).await.unwrap().text(), "ready\n");
    let mut body = say(100_000);
    body["x_simulator"]["pace_ms"] = 20.into();
    let mut endless = gateway.stream(gateway.api_key(), body).await;
    endless.next().await.unwrap();
    gateway.signal(rustix::process::Signal::TERM);
    let told = eventually("it is not ready", async || {
        let reply = ops.try_send(&Request::get("/readyz")).await.unwrap();
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert!(told.text().contains("stopping"), "{}", told.text());
    endless.drop_connection();
}
