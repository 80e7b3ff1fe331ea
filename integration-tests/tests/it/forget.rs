//! Data planes that never come back, and one that does: what they held is their customers' again, what they had not told is the
//! company's loss, and nobody is charged for what was not delivered.

use integration_tests::{Balance, Cluster, ClusterSize, Member, OrgHandle, eventually, say};
use servers::Postgres;
use sqlx::{Connection, PgConnection};

const GONE: Member = Member::DATA_PLANE;
const NAME: &str = "data-plane-0";
const CREDIT: i64 = 10_000_000_000;

/// One is not taken for connected for long.
const QUICK: (&str, &str) = ("BILLING__ESCROW__HEARD_INTERVAL", "300ms");

const UNTOUCHED: Balance = Balance { posted: CREDIT, held: 0, free: CREDIT };

async fn ask(cluster: &Cluster, org: &OrgHandle, times: usize) {
    for _ in 0..times {
        let reply = cluster.chat(&org.key, say(3)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// A data plane that served three requests which nobody was told of, and died.
async fn died_untold(name: &str, settings: &[(&str, &str)]) -> (Cluster, OrgHandle) {
    let mut cluster = Cluster::start_as(ClusterSize::SMALLEST, settings).await;
    let org = cluster.new_org(name, "10.00 USD").await;
    cluster.kill(Member::BILLING).await;
    ask(&cluster, &org, 3).await;
    cluster.kill(GONE).await;
    cluster.start_member(Member::BILLING).await;
    let balance = cluster.admin().balance(name).await;
    assert!(balance.posted == CREDIT && balance.held > 0, "{balance:?}");
    (cluster, org)
}

async fn forget(cluster: &Cluster, more: &[&str]) -> serde_json::Value {
    let order = ["forget", NAME, "--reason", "its machine burnt", "-o", "json"];
    let arguments: Vec<&str> = order.iter().chain(more).copied().collect();
    let (admin, mut told) = (cluster.admin(), None);
    eventually("it is taken for gone", async || {
        let output = admin.run(&arguments).await;
        if output.status == 0 {
            told = serde_json::from_str::<serde_json::Value>(&output.stdout).ok();
            return Some(());
        }
        assert!(output.stderr.contains("stop it"), "{}", output.stderr);
        None
    })
    .await;
    told.unwrap()["lives"][0].clone()
}

#[tokio::test]
async fn a_lost_disk_never_overcharges() {
    let (mut cluster, org) = died_untold("burnt", &[QUICK]).await;
    cluster.lose_disk(GONE);
    let tried = forget(&cluster, &["--dry-run"]).await;
    assert_eq!(tried["state"], "forgetting", "{tried}");
    assert!(cluster.admin().balance("burnt").await.held > 0, "a trial frees nothing");
    let done = forget(&cluster, &["--wait"]).await;
    assert_eq!((&done["state"], &done["given_up"]), (&"given-up".into(), &tried["held"]), "{done}");
    assert_eq!(cluster.admin().balance("burnt").await, UNTOUCHED);
    cluster.admin().reconciled_with(0).await;
    cluster.admin().audited().await;
    // Over a new disk it is another life.
    cluster.start_member(GONE).await;
    cluster.knows(0, &org.key).await;
    ask(&cluster, &org, 2).await;
    cluster.admin().reconciled_with(2).await;
}

#[tokio::test]
async fn one_that_comes_back_is_the_companys_loss_and_shown() {
    let (mut cluster, org) = died_untold("lazarus", &[QUICK]).await;
    forget(&cluster, &["--wait"]).await;
    assert_eq!(cluster.admin().balance("lazarus").await, UNTOUCHED);
    cluster.start_member(GONE).await;
    cluster.admin().reconciled_with(3).await;
    let balance = cluster.admin().balance("lazarus").await;
    assert_eq!(balance.posted, CREDIT, "{balance:?}");
    let lost = cluster.metrics(Member::BILLING).await;
    assert!(lost.sum("turnpike_billing_shortfall_nano_total", &[]) > 0.0);
    let given_up = cluster.metrics(Member::CONTROL_PLANE).await;
    assert!(given_up.sum("turnpike_escrow_given_up_nano_total", &[("cause", "word")]) > 0.0);
    // It goes on, and once it has given back what it had not spent its customers pay again.
    let mut events = 3;
    eventually("its customers pay", async || {
        ask(&cluster, &org, 1).await;
        events += 1;
        cluster.admin().reconciled_with(events).await;
        (cluster.admin().balance("lazarus").await.posted < CREDIT).then_some(())
    })
    .await;
}

#[tokio::test]
async fn forget_waits_for_what_was_sent() {
    let mut cluster = Cluster::start_as(ClusterSize::SMALLEST, &[QUICK]).await;
    let org = cluster.new_org("late", "10.00 USD").await;
    // Billing takes in what is sent, and cannot count it.
    let mut other = PgConnection::connect(cluster.database()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    let held = "UPDATE ledger_head SET last_transaction = last_transaction";
    sqlx::query(held).execute(&mut *lock).await.unwrap();
    ask(&cluster, &org, 3).await;
    eventually("billing waits", async || {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND query LIKE '%ledger_head%'";
        let name = cluster.database().rsplit('/').next().unwrap().split('?').next().unwrap();
        (Postgres::shared().execute(name, waiting).trim() == "1").then_some(())
    })
    .await;
    cluster.kill(GONE).await;
    cluster.lose_disk(GONE);
    assert_eq!(forget(&cluster, &[]).await["state"], "forgetting");
    let hasty = ["forget", NAME, "--reason", "again", "--wait", "--wait-timeout", "3"];
    let hasty = cluster.admin().run(&hasty).await;
    assert_eq!(hasty.status, 1, "{}", hasty.stdout);
    lock.rollback().await.unwrap();
    forget(&cluster, &["--wait"]).await;
    cluster.admin().reconciled_with(3).await;
    let balance = cluster.admin().balance("late").await;
    assert!(balance.posted < CREDIT && balance.held == 0, "{balance:?}");
    let lost = cluster.metrics(Member::BILLING).await;
    assert!(lost.sum("turnpike_billing_shortfall_nano_total", &[]) == 0.0, "the customer paid");
}

#[tokio::test]
async fn after_24_hours_the_company_pays() {
    // Hours are seconds here.
    let settings = [
        QUICK,
        ("BILLING__ESCROW__SUSPECT_AFTER", "5s"),
        ("BILLING__ESCROW__GIVE_UP_AFTER", "20s"),
    ];
    let (cluster, _) = died_untold("patient", &settings).await;
    eventually("it is suspect", async || {
        let metrics = cluster.metrics(Member::CONTROL_PLANE).await;
        (metrics.sum("turnpike_escrow_suspect_data_planes", &[]) == 1.0).then_some(())
    })
    .await;
    eventually("its customers have their money again", async || {
        (cluster.admin().balance("patient").await == UNTOUCHED).then_some(())
    })
    .await;
    let given_up = cluster.metrics(Member::CONTROL_PLANE).await;
    assert!(given_up.sum("turnpike_escrow_given_up_nano_total", &[("cause", "silence")]) > 0.0);
    cluster.admin().reconciled_with(0).await;
}
