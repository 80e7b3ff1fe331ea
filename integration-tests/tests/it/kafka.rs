//! Usage through a real broker, between real processes: one request from its client to the ledger, an outage that costs
//! nothing, and billing processes that share the work, also while one of them stands still.

use integration_tests::{Cluster, ClusterSize, Member, OrgHandle, Role, eventually, say};
use rustix::process::Signal;
use servers::Kafka;

/// A cluster whose usage goes through this broker.
async fn start(kafka: &Kafka, size: ClusterSize) -> Cluster {
    let brokers = format!("[\"{}\"]", kafka.address());
    let named = [
        ("BROKERS", brokers.as_str()),
        ("REPLICATION", "1"),
        ("MIN_IN_SYNC", "1"),
        ("RENEW_INTERVAL", "300ms"),
        ("STALE_AFTER", "2s"),
        ("MARKS_INTERVAL", "100ms"),
    ];
    let named = named.map(|(name, value)| (format!("LINKS__USAGE__TOPIC__{name}"), value));
    let named: Vec<(&str, &str)> =
        named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Cluster::start_set(size, &named).await
}

/// Sends this many requests, each of which must be answered.
async fn ask(cluster: &Cluster, org: &OrgHandle, times: usize) {
    for _ in 0..times {
        let reply = cluster.chat(&org.key, say(3)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// Waits until a number of a process is as it should be.
async fn shows(cluster: &Cluster, member: Member, name: &str, is_so: impl Fn(f64) -> bool) {
    eventually(name, async || is_so(cluster.metrics_of(member).await.sum(name, &[])).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_ledger_through_kafka_and_an_outage_of_it_costs_nothing() {
    let mut kafka = tokio::task::block_in_place(Kafka::start);
    let mut cluster = start(&kafka, ClusterSize::SMALLEST).await;
    let again = cluster.migrate(&["--check"]).await;
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert!(again.stdout.contains("topic turnpike.usage.local is there"), "{}", again.stdout);
    let org = cluster.new_org("streamed", "10.00 USD").await;
    ask(&cluster, &org, 3).await;
    cluster.admin().reconciled_with(3).await;
    // What is billed is forgotten by the spool: the desk tells it.
    let unbilled = "turnpike_spool_unbilled_events";
    shows(&cluster, Member::DATA_PLANE, unbilled, |events| events < 0.5).await;

    tokio::task::block_in_place(|| kafka.kill());
    ask(&cluster, &org, 5).await;
    let age = "turnpike_usage_topic_oldest_unshipped_seconds";
    shows(&cluster, Member::DATA_PLANE, age, |seconds| seconds > 1.0).await;
    // Neither end needs the broker to begin another life.
    cluster.kill(Member::DATA_PLANE).await;
    cluster.kill(Member::BILLING).await;
    cluster.start_member(Member::DATA_PLANE).await;
    cluster.start_member(Member::BILLING).await;
    ask(&cluster, &org, 2).await;
    tokio::task::block_in_place(|| kafka.run());
    cluster.admin().reconciled_with(10).await;
    shows(&cluster, Member::DATA_PLANE, unbilled, |events| events < 0.5).await;
    shows(&cluster, Member::DATA_PLANE, age, |seconds| seconds < 0.1).await;
    for member in [Member::CONTROL_PLANE, Member::BILLING, Member::DATA_PLANE] {
        cluster.stop(member).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_billing_process_that_was_stopped_and_wakes_up_bills_nothing_twice() {
    let kafka = tokio::task::block_in_place(Kafka::start);
    let size = ClusterSize { billing: 2, ..ClusterSize::SMALLEST };
    let mut cluster = start(&kafka, size).await;
    let (first, second) = (Member::BILLING, Member(Role::Billing, 1));
    let owned = "turnpike_usage_topic_partitions_owned";
    let is = |count: f64| move |value: f64| (value - count).abs() < 0.5;
    shows(&cluster, first, owned, is(32.0)).await;
    shows(&cluster, second, owned, is(32.0)).await;
    let orgs = ["a", "b", "c", "d"];
    let mut customers = Vec::new();
    for name in orgs {
        customers.push(cluster.new_org(name, "10.00 USD").await);
    }
    for org in &customers {
        ask(&cluster, org, 2).await;
    }
    cluster.admin().reconciled_with(8).await;

    cluster.signal(first, Signal::STOP);
    for org in &customers {
        ask(&cluster, org, 2).await;
    }
    cluster.admin().reconciled_with(16).await;
    shows(&cluster, second, owned, is(64.0)).await;
    cluster.signal(first, Signal::CONT);
    for org in &customers {
        ask(&cluster, org, 1).await;
    }
    cluster.admin().reconciled_with(20).await;
    shows(&cluster, first, owned, is(32.0)).await;
    // One that goes in good order leaves its part at once, and nothing is lost between the two.
    cluster.stop(first).await;
    for org in &customers {
        ask(&cluster, org, 1).await;
    }
    cluster.admin().reconciled_with(24).await;
}
