//! Two control planes on one database: money is where a request needs it, whichever of them the data planes are connected to.

use integration_tests::{Cluster, ClusterSize, Member, NewOrg, OrgHandle, Reply, Role, say};
use serde_json::Value;

const SIZE: ClusterSize = ClusterSize { control_planes: 2, billing: 1, data_planes: 2 };

/// Patience for a machine that does much else; nothing comes back because it lies idle.
const SETTINGS: [(&str, &str); 4] = [
    ("BILLING__ESCROW__RECALL_WAIT", "900ms"),
    ("BILLING__ESCROW__HEARD_INTERVAL", "500ms"),
    ("DATA_PLANE__MONEY__WAIT_MAX", "5s"),
    ("DATA_PLANE__MONEY__IDLE_RELEASE_AFTER", "1h"),
];

/// More than half of the wallet may be what such a request costs, and much less is what it does.
const CREDIT: &str = "0.20 USD";

fn long() -> Value {
    let mut body = say(3);
    body["messages"][0]["content"] = "a ".repeat(50_000).into();
    body
}

async fn ask(cluster: &Cluster, data_plane: usize, org: &OrgHandle) -> Reply {
    cluster.client_of(data_plane).chat(&org.key, long()).await.unwrap()
}

/// A cluster whose first data plane holds most of the money of an org, and needs none of it.
async fn parked(name: &str) -> (Cluster, OrgHandle) {
    let cluster = Cluster::start_set(SIZE, &SETTINGS).await;
    cluster.admin().apply("kind: Plan\nname: wide\nspec: {}\n").await;
    let org = NewOrg { plan: "wide", credit: CREDIT, ..NewOrg::named(name) };
    let org = cluster.create_org(org).await;
    cluster.knows(1, &org.key).await;
    let reply = ask(&cluster, 0, &org).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    cluster.admin().reconciled_with(1).await;
    let balance = cluster.admin().balance(name).await;
    assert!(balance.held > balance.free, "{balance:?}");
    (cluster, org)
}

#[tokio::test]
async fn idle_money_on_a_data_plane_of_the_other_replica_is_recalled_before_a_402() {
    let (cluster, org) = parked("wanderer").await;
    let reply = ask(&cluster, 1, &org).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    cluster.admin_of(1).reconciled_with(2).await;
}

#[tokio::test]
async fn money_parked_on_an_absent_data_plane_is_in_flight_and_comes_back_with_it() {
    let (mut cluster, org) = parked("stranded").await;
    let first = Member(Role::DataPlane, 0);
    cluster.kill(first).await;
    let reply = ask(&cluster, 1, &org).await;
    assert_eq!((reply.status, reply.reason().as_str()), (402, "in_flight"), "{}", reply.text());
    cluster.start_member(first).await;
    integration_tests::eventually("it gives back what it need not keep", async || {
        (ask(&cluster, 1, &org).await.status == 200).then_some(())
    })
    .await;
}
