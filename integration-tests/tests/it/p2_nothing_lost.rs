//! P2: each request that reached an upstream has exactly one event, and each event is in the ledger once, through
//! `kill -9` at any moment. What reached the upstream is what the simulator's own log says, in a process that survives.

mod load;
mod any_call;

use integration_tests::{
    Chance, Cli, Gateway, LogReader, SimulatorProcess, eventually, load_factor, nano, say,
};
use load::Load;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

const KILLS: usize = 20;
/// After so many kills the next start is killed too, while it closes what it found open.
const STARTS_THAT_ARE_KILLED: usize = 4;
const IN_FLIGHT_MIN: usize = 50;
const STREAMING_MIN: usize = 10;
const CREDIT: &str = "1000.00 USD";
const CREDIT_NANO: i64 = 1_000_000_000_000;

/// Prices of `demo/chat` for `global`, in nano-units per token: the dearest that input may meet, and output.
const INPUT_NANO: i64 = 1_200;
const OUTPUT_NANO: i64 = 1_800;
/// What a stream holds at least: one window of output, and no request of these tests is shorter in bytes.
const HOLD_MIN_NANO: i64 = 100 * INPUT_NANO + 256 * OUTPUT_NANO;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_nothing_and_charge_nothing_twice() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let org = gateway.new_org("survivor", CREDIT).await;
    let mut chance = Chance::new("p2");
    let mut log = simulator.client().reader();
    let mut answered = BTreeSet::new();
    let (in_flight_min, streaming_min) =
        (IN_FLIGHT_MIN * load_factor(), STREAMING_MIN * load_factor());
    for kill in 1..=KILLS {
        let load = Load::start(&gateway.client(), &org.key);
        eventually("enough requests are in flight", async || {
            log.read_on().await;
            let in_flight = log.running().count();
            (in_flight >= in_flight_min && load.talking() >= streaming_min).then_some(())
        })
        .await;
        sleep(Duration::from_millis(chance.within(0..300))).await;
        gateway.kill9().await;
        answered.append(&mut load.end().await);
        let cut_off = cut_off(&mut log).await;
        assert!(cut_off >= in_flight_min * kill, "{cut_off} requests were cut off by {kill} kills");

        if kill % STARTS_THAT_ARE_KILLED == 0 {
            gateway.restart_and_kill9(Duration::from_millis(chance.within(0..1_500))).await;
        }
        gateway.restart().await;
        let records = records(&gateway.admin(), &org.name, &log).await;
        every_answer_is_in_the_books(&answered, &records);
        gateway.admin().reconciled().await;
    }
    let records = records(&gateway.admin(), &org.name, &log).await;
    the_simulators_file_says_the_same(&simulator, &records);
    records.values().for_each(|record| is_charged_for_what_it_got(record, &log));
    let charges: i64 = records.values().map(|record| nano(&record["charge_nano"])).sum();
    let admin = gateway.admin();
    assert_eq!(admin.balance(&org.name).await.posted, CREDIT_NANO - charges);
    assert_eq!(admin.reconciled().await, u64::try_from(records.len()).unwrap());
}

#[tokio::test]
async fn an_interrupted_stream_is_charged_what_its_last_progress_had_metered() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let mut body = say(1);
    body["x_simulator"] = json!({"tokens": 1_000_000, "pace_ms": 1});
    let mut stream = gateway.stream(gateway.api_key(), body).await;
    let request_id = stream.request_id().to_owned();
    for _ in 0..3_000 {
        assert!(stream.next().await.unwrap().words().is_some());
    }
    gateway.kill9().await;
    gateway.restart().await;

    let bill = gateway.admin().bill(&request_id).await;
    assert_eq!(bill["outcome"], "interrupted", "{bill}");
    let output = quantity(&bill, "output");
    // A stream tops up at the latest when eight windows are used up, and writes down what it has metered.
    assert!(output > 3_000 - 8 * 256, "{bill}");
    let attempts = simulator.client().attempts_of(&request_id, 1).await;
    let bytes = said_bytes(&attempts[0]);
    assert!(output <= bytes, "no token is shorter than a byte: {output} of {bytes} bytes: {bill}");
    let lines = bill["lines"].as_array().unwrap();
    let amounts: i64 = lines.iter().map(|line| nano(&line["amount_nano"])).sum();
    assert_eq!(amounts, nano(&bill["charge_nano"]), "{bill}");
}

#[tokio::test]
async fn an_interrupted_request_that_got_nothing_is_charged_no_output() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let mut body = say(1);
    body["x_simulator"] = json!({"fault": "silence"});
    let (client, key) = (gateway.client(), gateway.api_key().to_owned());
    let asking = tokio::spawn(async move { client.chat(&key, body).await });
    let mut log = simulator.client().reader();
    let request_id = eventually("the request is upstream", async || {
        log.read_on().await;
        log.running().next().map(|begun| begun["request_id"].as_str().unwrap().to_owned())
    })
    .await;
    gateway.kill9().await;
    assert!(asking.await.unwrap().is_err());
    gateway.restart().await;

    let bill = gateway.admin().bill(&request_id).await;
    assert_eq!(bill["outcome"], "interrupted", "{bill}");
    assert_eq!(quantity(&bill, "output"), 0, "{bill}");
    let input = quantity(&bill, "input");
    assert!(nano(&bill["charge_nano"]) <= input * INPUT_NANO, "{bill}");
    gateway.admin().reconciled().await;
}

/// How many requests were ever cut off, once none is running any more.
async fn cut_off(log: &mut LogReader) -> usize {
    eventually("the simulator has noticed that its client is gone", async || {
        log.read_on().await;
        log.running().next().is_none().then_some(())
    })
    .await;
    log.attempts.values().filter(|attempt| attempt["ended"] == "client_gone").count()
}

/// The record of each request by its id, once all that the simulator has seen are there.
async fn records(admin: &Cli, org: &str, log: &LogReader) -> BTreeMap<String, Value> {
    let seen: BTreeSet<&str> = log.attempts.values().map(id).collect();
    let rows = eventually("every request that reached the simulator is in the books", async || {
        let rows = admin.usage(org).await;
        let booked: BTreeSet<&str> = rows.iter().map(id).collect();
        seen.is_subset(&booked).then_some(rows.clone())
    })
    .await;
    let count = rows.len();
    let records: BTreeMap<String, Value> =
        rows.into_iter().map(|row| (id(&row).to_owned(), row)).collect();
    assert_eq!(records.len(), count, "no request has two records");
    for (request_id, record) in &records {
        let never_left = !seen.contains(request_id.as_str());
        let is_free = record["outcome"] == "interrupted" && nano(&record["charge_nano"]) == 0;
        assert!(!never_left || is_free, "what the simulator never saw costs nothing: {record}");
    }
    records
}

fn every_answer_is_in_the_books(answered: &BTreeSet<String>, records: &BTreeMap<String, Value>) {
    for request_id in answered {
        let record = &records[request_id];
        assert_eq!(record["outcome"], "completed", "its client has the whole answer: {record}");
        assert!(nano(&record["charge_nano"]) > 0, "{record}");
    }
}

fn the_simulators_file_says_the_same(
    simulator: &SimulatorProcess,
    records: &BTreeMap<String, Value>,
) {
    let lines = simulator.log_lines();
    assert!(lines.len() > KILLS * IN_FLIGHT_MIN, "{} lines are not all", lines.len());
    for line in &lines {
        assert!(records.contains_key(id(line)), "no record of {line}");
    }
}

/// An interrupted request pays for what it got, as last metered, and never for all that it held.
fn is_charged_for_what_it_got(record: &Value, log: &LogReader) {
    if record["outcome"] == "interrupted" {
        let charge = nano(&record["charge_nano"]);
        assert!(charge < HOLD_MIN_NANO, "that is as much as it held: {record}");
    }
    is_charged_no_more_than_was_said(record, log);
}

fn is_charged_no_more_than_was_said(record: &Value, log: &LogReader) {
    let output = count(&record["output_tokens"]);
    let attempt = log.attempts.values().find(|attempt| id(attempt) == id(record));
    let said = attempt.map_or(0, said_bytes);
    assert!(output <= said, "no token is shorter than a byte; {said} bytes were said: {record}");
}

/// Bytes of the answer's body that the simulator has sent: more than its words alone.
fn said_bytes(attempt: &Value) -> i64 {
    attempt["chunk_lengths"].as_array().unwrap().iter().map(count).sum()
}

fn quantity(bill: &Value, class: &str) -> i64 {
    let lines = bill["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter(|line| line["class"] == class).map(|line| count(&line["quantity"])).sum()
}

/// A count, as a number or as protobuf's JSON writes 64 bits.
fn count(value: &Value) -> i64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().unwrap(),
        other => other.as_i64().unwrap(),
    }
}

fn id(entry: &Value) -> &str {
    entry["request_id"].as_str().unwrap()
}
