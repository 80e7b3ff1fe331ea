//! P1: a wallet is never overdrawn, whatever its clients do at once, and nobody is sent away while there is money.
//!
//! Who was told what and when is compared afterwards with the simulator's log and the usage records; all clocks are one.

mod crowd;
mod three_data_planes;

use crowd::{INPUT_NANO, OUTPUT_NANO, Story};
use integration_tests::{
    Balance, Cli, Gateway, PATIENCE, eventually, load_factor, nano, say, units,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::timeout;

/// About fifty of the crowd's shorter answers.
const CREDIT_NANO: i64 = 18_600_000;

/// What the crowd has to spend.
fn credit_nano() -> i64 {
    CREDIT_NANO * i64::try_from(load_factor()).unwrap()
}

/// Between the moment that a record gives as a request's end and that at which its money is free again.
const SETTLING_US: i64 = 50_000;

/// What the books say of one request.
#[derive(Clone, Copy, Debug)]
struct Record {
    charge: i64,
    ended_us: i64,
}

/// By request id.
type Records = BTreeMap<String, Record>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_never_overdraw_a_wallet_worth_fifty_requests() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__MONEY__IDLE_RELEASE_AFTER", "1 s").start().await;
    let credit = credit_nano();
    let org = gateway.new_org("spender", &usd(credit)).await;
    let admin = gateway.admin();
    let is_over = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(admin.clone(), org.name.clone(), is_over.clone()));

    let story = timeout(PATIENCE * 2, Story::of(gateway.client(), &org.key)).await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    let looks = watching.await.unwrap();
    assert!(looks > 10, "{looks} looks at the balance are too few to see anything");

    let records = records(&admin, &org.name, &story).await;
    let charges: i64 = records.values().map(|record| record.charge).sum();
    assert!(charges > credit * 9 / 10, "the money was spent: {charges} of {credit}");
    assert_eq!(admin.balance(&org.name).await.posted, credit - charges);

    each_refusal_had_less_than_its_hold_free(&story, &records);
    no_refusal_was_final_while_money_was_held(&story, &began(&gateway).await);
    no_request_cost_more_than_its_hold(&admin, &story).await;

    let idle = eventually("idle money is given back", async || {
        let balance = admin.balance(&org.name).await;
        (balance.held == 0).then_some(balance)
    });
    assert_eq!(idle.await.free, credit - charges);
    assert_eq!(admin.reconciled().await, u64::try_from(records.len()).unwrap());
}

#[tokio::test]
async fn a_request_is_let_in_with_its_least_hold_free_and_not_with_one_nano_unit_less() {
    let gateway = Gateway::demo().start().await;
    for (number, is_stream) in [false, true].into_iter().enumerate() {
        let mut body = say(20);
        body["stream"] = is_stream.into();
        let least = least_hold(&body);
        let rich = gateway.new_org(&format!("rich-{number}"), &usd(least)).await;
        let answered = gateway.chat(&rich.key, body.clone()).await;
        assert_eq!(answered.status, 200, "{least}: {}", answered.text());

        let poor = gateway.new_org(&format!("poor-{number}"), &usd(least - 1)).await;
        let refused = gateway.chat(&poor.key, body).await;
        assert_eq!((refused.status, &*refused.reason()), (402, "insufficient_balance"));
    }
}

/// All of its bytes as the dearest input, and one token of output (DESIGN 6.3).
fn least_hold(body: &Value) -> i64 {
    let bytes = i64::try_from(body.to_string().len()).unwrap();
    bytes * INPUT_NANO + OUTPUT_NANO
}

fn usd(nano: i64) -> String {
    format!("{}.{:09} USD", nano / units(1), nano % units(1))
}

/// Looks at the balance until all is over; returns how often.
async fn watch(admin: Cli, org: String, is_over: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Balance { posted, held, free } = admin.balance(&org).await;
        assert!(posted >= 0 && held >= 0 && free >= 0, "{posted} posted, {held} held, {free} free");
        assert_eq!(posted - held, free);
        looks += 1;
    }
    looks
}

/// One record for each request that was served, and no other.
async fn records(admin: &Cli, org: &str, story: &Story) -> Records {
    let rows = eventually("every request is in the books", async || {
        let rows = admin.usage(org).await;
        (rows.len() >= story.served.len()).then_some(rows)
    })
    .await;
    let record = |row: &Value| {
        let ended: Timestamp = row["ended_at"].as_str().unwrap().parse().unwrap();
        let record = Record { charge: nano(&row["charge_nano"]), ended_us: ended.as_microsecond() };
        (row["request_id"].as_str().unwrap().to_owned(), record)
    };
    let records: Records = rows.iter().map(record).collect();
    assert_eq!(records.len(), rows.len(), "no request has two records");
    assert_eq!(records.len(), story.served.len(), "no request has a record that was not served");
    for served in &story.served {
        assert!(records.contains_key(&served.request_id), "{served:?} has no record");
    }
    records
}

/// When each request arrived at the simulator.
async fn began(gateway: &Gateway) -> BTreeMap<String, i64> {
    let mut log = gateway.simulator().reader();
    eventually("the simulator's log is read", async || {
        let before = log.attempts.len();
        log.read_on().await;
        (log.attempts.len() == before && log.running().next().is_none()).then_some(())
    })
    .await;
    let began = |attempt: &Value| {
        let id = attempt["request_id"].as_str().unwrap().to_owned();
        (id, attempt["began_us"].as_i64().unwrap())
    };
    log.attempts.values().map(began).collect()
}

/// Whatever was surely free when a request was refused is less than what would have let it in.
fn each_refusal_had_less_than_its_hold_free(story: &Story, records: &Records) {
    for refused in &story.refused {
        let mut taken_at_most = 0;
        for served in story.served.iter().filter(|served| served.sent_us < refused.answered_us) {
            let record = records[&served.request_id];
            let was_settled = record.ended_us + SETTLING_US < refused.sent_us;
            taken_at_most +=
                if was_settled { record.charge } else { served.hold_max.max(record.charge) };
        }
        let free_at_least = credit_nano() - taken_at_most;
        assert!(free_at_least < refused.minimum, "{free_at_least} were free: {refused:?}");
    }
}

/// "Insufficient" is the last word; while others hold money it must be "in flight".
fn no_refusal_was_final_while_money_was_held(story: &Story, began: &BTreeMap<String, i64>) {
    let mut final_refusals = 0;
    for refused in story.refused.iter().filter(|refused| refused.reason == "insufficient_balance") {
        final_refusals += 1;
        for served in &story.served {
            let Some(ran) = served.ran else { continue };
            let began_us = began[&served.request_id];
            let ran_all_the_while =
                began_us < refused.sent_us && refused.answered_us < ran.end(began_us);
            assert!(!ran_all_the_while, "{served:?} held money: {refused:?}");
        }
    }
    assert!(final_refusals > 0, "a crowd that no one was sent away from shows nothing");
}

/// An honest upstream costs the company nothing.
async fn no_request_cost_more_than_its_hold(admin: &Cli, story: &Story) {
    for served in &story.served {
        let bill = admin.bill(&served.request_id).await;
        assert_eq!(nano(&bill["uncollected_nano"]), 0, "{bill}");
    }
}
