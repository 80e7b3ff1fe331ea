//! Each role as a process of its own, on Postgres: they serve, bill and add up together, and each can go and come back.

use integration_tests::{Cluster, ClusterSize, Member, OrgHandle, eventually, say};
use servers::Postgres;

const ALL: [Member; 3] = [Member::CONTROL_PLANE, Member::BILLING, Member::DATA_PLANE];

/// Sends this many requests, each of which must be answered.
async fn ask(cluster: &Cluster, org: &OrgHandle, times: usize) {
    for _ in 0..times {
        let reply = cluster.chat(&org.key, say(3)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test]
async fn three_processes_on_postgres_serve_bill_and_reconcile() {
    let cluster = Cluster::start().await;
    let org = cluster.new_org("three", "10.00 USD").await;
    ask(&cluster, &org, 5).await;
    cluster.admin().reconciled_with(5).await;
    let balance = cluster.admin().balance("three").await;
    assert!(balance.posted < 10_000_000_000, "they cost something: {balance:?}");
    assert_eq!(cluster.admin().usage("three").await.len(), 5);
    cluster.admin().audited().await;
}

#[tokio::test]
async fn each_role_can_be_killed_and_comes_back() {
    let mut cluster = Cluster::start().await;
    let org = cluster.new_org("phoenix", "10.00 USD").await;
    ask(&cluster, &org, 1).await;
    let mut events = 1;
    for member in ALL {
        cluster.kill(member).await;
        if member != Member::DATA_PLANE {
            // It goes on: what it needs, it has.
            ask(&cluster, &org, 3).await;
            events += 3;
        }
        cluster.start_member(member).await;
        ask(&cluster, &org, 1).await;
        events += 1;
        cluster.admin().reconciled_with(events).await;
    }
    for member in ALL {
        cluster.stop(member).await;
    }
}

#[tokio::test]
async fn a_role_on_an_old_schema_says_to_migrate() {
    let database = Postgres::shared().database();
    let mut cluster = Cluster::prepare(ClusterSize::SMALLEST, &database).await;
    for member in [Member::CONTROL_PLANE, Member::BILLING] {
        let ended = cluster.start_in_vain(member).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("turnpike migrate"), "{last}");
    }
    let checked = cluster.migrate(&["--check"]).await;
    assert_eq!(checked.status, 1, "{}", checked.stderr);
    assert_eq!(cluster.migrate(&[]).await.status, 0);
    assert_eq!(cluster.migrate(&["--check"]).await.status, 0);
    cluster.start_member(Member::CONTROL_PLANE).await;
}

#[tokio::test]
async fn what_one_control_plane_is_told_data_planes_of_another_have_soon() {
    let size = ClusterSize { control_planes: 2, ..ClusterSize::SMALLEST };
    let cluster = Cluster::start_with(size).await;
    let org = cluster.new_org("shared", "10.00 USD").await;
    ask(&cluster, &org, 1).await;

    // The data plane is connected to the first.
    let second = cluster.admin_of(1);
    let created =
        second.json(&["key", "create", "--org", "shared", "--name", "other", "-o", "json"]);
    let key = created.await["secret"].as_str().unwrap().to_owned();
    eventually("the key is known", async || {
        let reply = cluster.chat(&key, say(3)).await;
        (reply.status == 200).then_some(())
    })
    .await;
    // It waits for those that follow the first, too.
    second.apply("kind: Key\nname: shared/other\nspec: {org: shared, disabled: true}\n").await;
    assert_eq!(cluster.chat(&key, say(3)).await.status, 401);
    // Both write on what the other wrote.
    for (admin, plan) in [(cluster.admin(), "a"), (second, "b"), (cluster.admin(), "c")] {
        admin
            .apply(&format!("kind: Plan\nname: {plan}\nspec: {{requests_per_minute: 60}}\n"))
            .await;
        admin.audited().await;
    }
    assert!(cluster.admin().run(&["get", "plan", "b"]).await.status == 0);
}
