//! Plans: the limits of each key, in windows of one UTC minute, and what a client is told of them.

use integration_tests::{Gateway, NewOrg, OrgHandle, Reply, say};
use jiff::Timestamp;
use std::collections::BTreeMap;

async fn on_plan(gateway: &Gateway, name: &str, plan: &str) -> OrgHandle {
    gateway.create_org(NewOrg { plan, credit: "1.00 USD", ..NewOrg::named(name) }).await
}

fn number(reply: &Reply, header: &str) -> u64 {
    reply.header(header).unwrap_or_else(|| panic!("no {header}")).parse().unwrap()
}

fn check_refused(reply: &Reply, limit: &str) {
    assert_eq!(reply.status, 429, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["metadata"]["error_type"], "rate_limit_exceeded");
    assert_eq!(error["metadata"]["limit"], limit);
    assert!((1..=60).contains(&number(reply, "retry-after")));
}

/// The minute in which a request was admitted, as its bill says.
async fn admitted_in(gateway: &Gateway, reply: &Reply) -> i64 {
    let bill = gateway.admin().bill(reply.request_id()).await;
    let at: Timestamp = bill["admitted_at"].as_str().unwrap().parse().unwrap();
    at.as_second() / 60
}

#[tokio::test]
async fn ten_requests_a_minute_are_ten_in_any_minute_and_all_usable_at_once() {
    let gateway = Gateway::demo().start().await;
    let org = on_plan(&gateway, "starting", "starter").await;
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    let asking = (0..25).map(|_| {
        let (client, key) = (gateway.client(), org.key.clone());
        tokio::spawn(async move { client.chat(&key, say(1)).await.unwrap() })
    });
    for asked in asking.collect::<Vec<_>>() {
        let reply = asked.await.unwrap();
        if reply.status == 200 { admitted.push(reply) } else { refused.push(reply) }
    }
    refused.iter().for_each(|reply| check_refused(reply, "requests_per_minute"));
    let mut by_minute: BTreeMap<i64, usize> = BTreeMap::new();
    for reply in &admitted {
        assert_eq!(number(reply, "x-ratelimit-limit-requests"), 10);
        assert!(number(reply, "x-ratelimit-remaining-requests") < 10);
        *by_minute.entry(admitted_in(&gateway, reply).await).or_default() += 1;
    }
    assert!(by_minute.values().all(|count| *count <= 10), "{by_minute:?}");
    // All at once: in the minute of the first ten, none was held back.
    assert!(by_minute.values().any(|count| *count == 10) || by_minute.len() > 1, "{by_minute:?}");
    assert!(admitted.len() >= 10, "{by_minute:?}");
}

#[tokio::test]
async fn tokens_per_minute_count_what_was_really_used() {
    let gateway = Gateway::demo().start().await;
    gateway.admin().apply("kind: Plan\nname: words\nspec: {tokens_per_minute: 100}\n").await;
    let org = on_plan(&gateway, "words", "words").await;
    // Of three answers of 90 tokens each, no two fit into one minute.
    let mut refusals = 0;
    for _ in 0..3 {
        let reply = gateway.chat(&org.key, say(90)).await;
        if reply.status == 200 {
            assert_eq!(number(&reply, "x-ratelimit-limit-tokens"), 100);
        } else {
            check_refused(&reply, "tokens_per_minute");
            refusals += 1;
        }
    }
    assert!(refusals >= 1);
}

#[tokio::test]
async fn no_more_requests_run_at_once_than_the_plan_says() {
    let gateway = Gateway::demo().start().await;
    gateway.admin().apply("kind: Plan\nname: pair\nspec: {concurrency: 2}\n").await;
    let org = on_plan(&gateway, "pair", "pair").await;
    let mut endless = say(10_000);
    endless["x_simulator"]["pace_ms"] = 50.into();
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut stream = gateway.stream(&org.key, endless.clone()).await;
        stream.next().await.unwrap();
        running.push(stream);
    }
    check_refused(&gateway.chat(&org.key, say(1)).await, "concurrency");
    running.pop().unwrap().drop_connection();
    integration_tests::eventually("a place is free", async || {
        let reply = gateway.chat(&org.key, say(1)).await;
        (reply.status == 200).then_some(())
    })
    .await;
}
