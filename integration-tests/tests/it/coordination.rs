//! Two control planes that tell each other through etcd: at once while it is there, at the pace of polling while it is not,
//! and at once again when it is back.

use integration_tests::{Cli, Cluster, ClusterSize, Member, OrgHandle, Role, eventually, say};
use serde_json::Value;
use servers::Etcd;
use tempfile::TempDir;

const SIZE: ClusterSize = ClusterSize { control_planes: 2, ..ClusterSize::SMALLEST };
const CONTROL_PLANES: [Member; 2] = [Member(Role::ControlPlane, 0), Member(Role::ControlPlane, 1)];

/// Ten times as long as any test waits: what arrives was told.
const HARDLY_EVER: &str = "10 min";

async fn cluster(etcd: &Etcd, follow_interval: &str) -> Cluster {
    let settings = [
        ("COORDINATION__ETCD__ENDPOINTS", &*format!("[{}]", etcd.url())),
        ("COORDINATION__ETCD__PREFIX", "/tested"),
        ("CONTROL_PLANE__FOLLOW_INTERVAL", follow_interval),
    ];
    Cluster::start_set(SIZE, &settings).await
}

/// A new key, whose secret is returned.
async fn new_key(admin: &Cli, name: &str) -> String {
    let created = ["key", "create", "--org", "shared", "--name", name, "-o", "json"];
    admin.json(&created).await["secret"].as_str().unwrap().to_owned()
}

/// Waits until the data plane answers the key with this status. It follows the first control plane.
async fn is_answered(cluster: &Cluster, key: &str, status: u16) {
    eventually(&format!("the key gets {status}"), async || {
        (cluster.chat(key, say(3)).await.status == status).then_some(())
    })
    .await;
}

async fn shows(cluster: &Cluster, metric: &str, value: f64) {
    for member in CONTROL_PLANES {
        eventually(&format!("{member:?} shows {metric} {value}"), async || {
            (cluster.metrics_of(member).await.sum(metric, &[]) == value).then_some(())
        })
        .await;
    }
}

async fn shared(cluster: &Cluster) -> OrgHandle {
    let org = cluster.new_org("shared", "10.00 USD").await;
    is_answered(cluster, &org.key, 200).await;
    org
}

#[tokio::test]
async fn what_one_control_plane_commits_data_planes_of_the_other_have_long_before_it_polls() {
    let mut etcd = Etcd::start();
    let cluster = cluster(&etcd, HARDLY_EVER).await;
    shows(&cluster, "turnpike_coordination_members", 2.0).await;
    shared(&cluster).await;
    let second = cluster.admin_of(1);

    let key = new_key(&second, "told").await;
    is_answered(&cluster, &key, 200).await;
    let revoked = "kind: Key\nname: shared/told\nspec: {org: shared, disabled: true}\n";
    second.apply(revoked).await;
    is_answered(&cluster, &key, 401).await;

    // What is committed while etcd is away is told when it is back, since nobody looks for so long.
    etcd.kill();
    shows(&cluster, "turnpike_coordination_connected", 0.0).await;
    let key = new_key(&second, "meanwhile").await;
    assert_eq!(cluster.chat(&key, say(3)).await.status, 401, "nobody could have told");
    etcd.run();
    is_answered(&cluster, &key, 200).await;
    shows(&cluster, "turnpike_coordination_connected", 1.0).await;
    let key = new_key(&second, "again").await;
    is_answered(&cluster, &key, 200).await;
    cluster.admin().audited().await;

    let seen = doctor(&cluster, &etcd).await;
    assert_eq!(
        (seen["state"].as_str(), found(&seen).matches("http://127").count()),
        (Some("ok"), 3)
    );
    etcd.kill();
    let seen = doctor(&cluster, &etcd).await;
    assert_eq!(seen["state"], "warning", "{seen}");
}

/// What `doctor` says of etcd.
async fn doctor(cluster: &Cluster, etcd: &Etcd) -> Value {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("turnpike.yaml");
    let text =
        format!("coordination: {{etcd: {{endpoints: ['{}'], prefix: /tested}}}}", etcd.url());
    std::fs::write(&config, text).unwrap();
    let (config, data_dir) = (config.to_str().unwrap(), folder.path().to_str().unwrap());
    let arguments = ["doctor", "--config", config, "--data-dir", data_dir, "-o", "json"];
    let told: Value = serde_json::from_str(&cluster.admin().run(&arguments).await.stdout).unwrap();
    let mut findings = told["findings"].as_array().unwrap().iter();
    findings.find(|finding| finding["check"] == "etcd").unwrap().clone()
}

fn found(finding: &Value) -> &str {
    finding["found"].as_str().unwrap()
}

#[tokio::test]
async fn with_etcd_dead_everything_goes_on_at_the_pace_of_polling() {
    let mut etcd = Etcd::start();
    let mut cluster = cluster(&etcd, "250 ms").await;
    let org = shared(&cluster).await;
    shows(&cluster, "turnpike_coordination_connected", 1.0).await;
    etcd.kill();
    shows(&cluster, "turnpike_coordination_connected", 0.0).await;
    let second = cluster.admin_of(1);
    let key = new_key(&second, "polled").await;
    is_answered(&cluster, &key, 200).await;
    second.apply("kind: Plan\nname: plain\nspec: {requests_per_minute: 60}\n").await;
    assert_eq!(cluster.admin().run(&["get", "plan", "plain"]).await.status, 0);
    // A control plane also starts without it.
    cluster.kill(CONTROL_PLANES[1]).await;
    cluster.start_member(CONTROL_PLANES[1]).await;
    let key = new_key(&cluster.admin_of(1), "restarted").await;
    is_answered(&cluster, &key, 200).await;
    assert_eq!(cluster.chat(&org.key, say(3)).await.status, 200);
    etcd.run();
    shows(&cluster, "turnpike_coordination_members", 2.0).await;
    for member in CONTROL_PLANES {
        cluster.stop(member).await;
    }
}
