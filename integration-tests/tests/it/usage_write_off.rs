//! A spool of which a file is damaged beyond repair, on a real data directory: what is missing is told by metrics, `doctor` and
//! `reconcile`; an operator gives it up, and the spool lets go of what is behind it.

use integration_tests::{Metrics, SplitGateway, eventually, nano, say};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

const SERVED: usize = 200;

fn files(split: &SplitGateway, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(split.data_dir().join("spool")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let mut files: Vec<PathBuf> = paths.filter(is_one).collect();
    files.sort();
    files
}

/// Several files of events that billing has not seen, of which the second is damaged in its middle.
async fn damaged(split: &mut SplitGateway, key: &str) {
    split.kill_office().await;
    let title = "x".repeat(100);
    for _ in 0..SERVED {
        let mut body = say(1);
        body["session_id"] = title.clone().into();
        // Little is held for each, so that what the data plane holds is enough for all.
        body["max_completion_tokens"] = 2.into();
        let reply = split.chat(key, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    split.stop_plane().await;
    let is_used = |path: &PathBuf| fs::read(path).unwrap().iter().any(|byte| *byte != 0);
    let mut used: Vec<PathBuf> = files(split, "segment").into_iter().filter(is_used).collect();
    assert!(used.len() > 2, "the newest would begin another life: {used:?}");
    let victim = used.remove(1);
    let mut bytes = fs::read(&victim).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2..written / 2 + 64].fill(0xa5);
    fs::write(&victim, bytes).unwrap();
    split.start_plane().await;
    split.start_office().await;
}

async fn gaps(split: &SplitGateway, more: &[&str]) -> Vec<Value> {
    let command = [&["usage", "gaps", "-o", "json"], more].concat();
    let told = split.admin().json(&command).await;
    told["gaps"].as_array().cloned().unwrap_or_default()
}

fn name(gap: &Value) -> String {
    let part = |field: &str| gap[field].as_str().map_or(gap[field].to_string(), str::to_owned);
    let [plane, life, from, to] = ["data_plane", "incarnation", "from_seq", "to_seq"].map(part);
    format!("{plane}:{life}:{}:{from}-{to}", gap["partition"].as_u64().unwrap_or(0))
}

async fn finding(split: &SplitGateway) -> Value {
    let doctor = split.admin().run(&["doctor", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let all = told.as_array().or(told["findings"].as_array()).unwrap().clone();
    all.into_iter().find(|finding| finding["check"] == "missing-usage").unwrap()
}

fn count(metrics: &Metrics, name: &str) -> usize {
    format!("{:.0}", metrics.sum(name, &[])).parse().unwrap()
}

#[tokio::test]
async fn usage_in_a_damaged_file_is_missed_aloud_until_an_operator_writes_it_off() {
    let settings = [
        ("TURNPIKE__DATA_PLANE__SPOOL__SEGMENT_BYTES", "32 KiB"),
        ("TURNPIKE__DATA_PLANE__SPOOL__CAPACITY_BYTES", "64 MiB"),
        ("TURNPIKE__BILLING__LOOK_AGAIN", "50ms"),
        ("TURNPIKE__CONTROL_PLANE__LIMITS__WRITE_OFF_AFTER", "1 s"),
    ];
    let mut split = SplitGateway::start(&settings).await;
    let org = split.new_org("lossy", "10.00 USD").await;
    assert_eq!(split.chat(&org.key, say(1)).await.status, 200);
    damaged(&mut split, &org.key).await;
    let gap = eventually("the gap is known", async || gaps(&split, &[]).await.pop()).await;
    let missing = nano(&gap["to_seq"]) - nano(&gap["from_seq"]) + 1;
    let lost = usize::try_from(missing).unwrap();
    assert!(lost > 1 && lost < SERVED, "{gap}");
    let rows = eventually("the rest is billed", async || {
        let rows = split.admin().usage("lossy").await;
        (rows.len() == SERVED + 1 - lost).then_some(rows)
    })
    .await;

    let office = split.office_metrics().await;
    assert_eq!(count(&office, "turnpike_billing_gaps_total"), 1);
    assert_eq!(count(&office, "turnpike_billing_missing_events"), lost);
    let waiting = count(&split.plane_metrics().await, "turnpike_spool_unbilled_events");
    assert!(waiting >= lost, "{waiting} wait behind {lost} that are missing");
    let found = finding(&split).await;
    assert_eq!(found["state"], "warning", "{found}");
    assert!(
        found["found"].as_str().unwrap().starts_with(&format!("{lost} usage events")),
        "{found}"
    );
    let books = split.admin().json(&["reconcile", "-o", "json"]).await;
    assert_eq!((&books["ok"], nano(&books["missing_events"])), (&true.into(), missing));

    let give_up = ["usage", "write-off", &name(&gap), "--reason", "its disk, ticket 311"];
    let before = split.admin().balance("lossy").await;
    eventually("it has been missing for long enough to be given up", async || {
        let tried = split.admin().run(&[&give_up[..], &["--dry-run"]].concat()).await;
        assert!(tried.status == 0 || tried.stderr.contains("may still come"), "{}", tried.stderr);
        (tried.status == 0).then_some(())
    })
    .await;
    assert_eq!(gaps(&split, &[]).await.len(), 1, "a trial gives nothing up");
    let done = split.admin().run(&give_up).await;
    assert_eq!(done.status, 0, "{}", done.stderr);
    let again = split.admin().run(&give_up).await;
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("written off already"), "{}", again.stderr);
    assert!(gaps(&split, &[]).await.is_empty());
    let given_up = gaps(&split, &["--written-off"]).await;
    assert_eq!(given_up[0]["reason"], "its disk, ticket 311", "{given_up:?}");
    let audit = split.admin().run(&["audit", "list", "--limit", "1"]).await;
    assert!(audit.stdout.contains("ticket 311"), "{}", audit.stdout);
    assert_eq!(split.admin().balance("lossy").await, before, "no money moves");
    assert_eq!(finding(&split).await["state"], "ok");

    eventually("the spool lets go of what is behind it", async || {
        let metrics = split.plane_metrics().await;
        (count(&metrics, "turnpike_spool_unbilled_events") == 0).then_some(())
    })
    .await;
    assert_eq!((files(&split, "damaged").len(), files(&split, "evidence").len()), (0, 1));
    let charged: i64 = rows.iter().map(|row| nano(&row["charge_nano"])).sum();
    assert_eq!(before.posted, integration_tests::units(10) - charged);
    split.admin().reconciled().await;
    assert_eq!(split.chat(&org.key, say(1)).await.status, 200, "and life goes on");
}
