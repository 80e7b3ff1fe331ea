//! P6: without a control plane, a running or restarted data plane serves known keys within the money it holds, up to
//! `max_config_age`; and everything settles once there is one again.

use integration_tests::{SplitGateway, eventually, nano, say, units};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A few hundred of the answers below; a data plane holds a part of it.
const CREDIT: &str = "0.01 USD";

#[tokio::test]
async fn a_data_plane_killed_while_the_control_plane_is_away_serves_its_money_then_503_and_all_settles()
 {
    let mut split = SplitGateway::start(&[]).await;
    let org = split.new_org("steady", CREDIT).await;
    let revoked = split.new_org("revoked", CREDIT).await;
    let mut served = 1;
    assert_eq!(split.chat(&org.key, say(5)).await.status, 200);
    let keys = split.admin().json(&["get", "key", "-o", "json"]).await.to_string();
    let name = keys.split('"').find(|word| word.starts_with("revoked/")).unwrap().to_owned();
    let spec = "spec: {org: revoked, disabled: true}";
    split.admin().apply(&format!("kind: Key\nname: {name}\n{spec}\n")).await;

    split.kill_office().await;
    assert_eq!(split.chat(&org.key, say(5)).await.status, 200, "a running one goes on");
    served += 1;
    split.kill_plane().await;
    split.start_plane().await;
    assert_eq!(split.chat(&revoked.key, say(5)).await.status, 401, "what was acknowledged holds");
    assert_eq!(split.chat("sk-unknown", say(5)).await.status, 401);
    let refused = loop {
        let reply = split.chat(&org.key, say(5)).await;
        if reply.status != 200 {
            break reply;
        }
        served += 1;
        assert!(served < 5_000, "the money it holds has no end");
        if served % 25 == 0 {
            split.kill_plane().await;
            split.start_plane().await;
        }
    };
    assert_eq!(
        (refused.status, &*refused.reason()),
        (503, "budget_unavailable"),
        "{}",
        refused.text()
    );
    assert!(served > 2, "a restarted data plane serves what it holds");
    split.stop_plane().await;
    split.start_plane().await;
    assert_eq!(split.chat(&org.key, say(5)).await.status, 503);

    split.start_office().await;
    eventually("money comes again", async || {
        let reply = split.chat(&org.key, say(5)).await;
        assert!([200, 503].contains(&reply.status), "{}", reply.text());
        (reply.status == 200).then_some(())
    })
    .await;
    served += 1;
    settles(&split, &org.name, served).await;
}

#[tokio::test]
async fn a_control_plane_that_dies_and_comes_back_under_traffic_costs_nobody_anything() {
    let mut split = SplitGateway::start(&[]).await;
    let org = split.new_org("steady", "20.00 USD").await;
    let (client, key) = (split.client(), org.key.clone());
    let (is_over, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let asking = {
        let (is_over, served) = (is_over.clone(), served.clone());
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let reply = client.chat(&key, say(3)).await.unwrap();
                let is_served = reply.status == 200;
                assert!(is_served || reply.reason() == "budget_unavailable", "{}", reply.text());
                served.fetch_add(usize::from(is_served), Ordering::Relaxed);
            }
        })
    };
    for _ in 0..3 {
        let before = served.load(Ordering::Relaxed);
        eventually("requests are served", async || {
            (served.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
        split.kill_office().await;
        split.start_office().await;
    }
    is_over.store(true, Ordering::Relaxed);
    asking.await.unwrap();
    let served = served.load(Ordering::Relaxed);
    settles(&split, &org.name, served).await;
}

#[tokio::test]
async fn what_the_control_plane_has_not_confirmed_for_too_long_is_not_served_and_readyz_says_so() {
    let age = ("TURNPIKE__DATA_PLANE__CONFIGURATION__MAX_CONFIG_AGE", "12 s");
    let mut split = SplitGateway::start(&[age]).await;
    let org = split.new_org("steady", CREDIT).await;
    assert_eq!(split.chat(&org.key, say(1)).await.status, 200);
    split.kill_office().await;
    let refused = eventually("it is too old", async || {
        let reply = split.chat(&org.key, say(1)).await;
        // Until then the money at hand may come to its end.
        let is_served = reply.status == 200 || reply.reason() == "budget_unavailable";
        (!is_served).then_some(reply)
    })
    .await;
    let told = (refused.status, &*refused.reason());
    assert_eq!(told, (503, "configuration_too_old"), "{}", refused.text());
    let ready = split.plane_ops("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("has not confirmed the configuration"), "{}", ready.text());
    let metrics = split.plane_ops("/metrics").await;
    let age = metrics.text().lines().find(|line| line.starts_with("turnpike_config_age_seconds"));
    let age: f64 = age.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(age > 12.0, "{age}");

    // A restart makes it no younger.
    split.kill_plane().await;
    split.launch_plane();
    let client = split.client();
    let refused = eventually("it listens", async || client.chat(&org.key, say(1)).await.ok()).await;
    assert_eq!((refused.status, &*refused.reason()), (503, "configuration_too_old"));
    assert!(split.plane_said().contains("too old"));
    split.start_office().await;
    eventually("a word is enough", async || {
        (split.chat(&org.key, say(1)).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(split.plane_ops("/readyz").await.status, 200);
}

#[tokio::test]
async fn two_processes_share_a_data_directory_and_a_third_is_told_who_has_it() {
    let mut split = SplitGateway::start(&[]).await;
    let data_dir = split.data_dir();
    let data_dir = data_dir.to_str().unwrap();
    for roles in ["data-plane", "control-plane,billing", "control-plane,data-plane,billing"] {
        let third = split.admin().run(&["up", "--roles", roles, "--data-dir", data_dir]).await;
        assert_eq!(third.status, 1, "{roles}: {}", third.stderr);
        assert!(third.stderr.contains("is in use by process"), "{roles}: {}", third.stderr);
    }
    for roles in ["billing", "control-plane", "data-plane,billing"] {
        let refused = split.admin().run(&["up", "--roles", roles, "--data-dir", data_dir]).await;
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains("--roles control-plane,billing"), "{}", refused.stderr);
    }
    split.kill_office().await;
}

/// Every request is in the books once, the money adds up, and what was held is given back.
async fn settles(split: &SplitGateway, org: &str, served: usize) {
    let admin = split.admin();
    let rows = eventually("every request is billed", async || {
        let rows = admin.usage(org).await;
        (rows.len() >= served).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), served, "one event for each request that was served");
    let charges: i64 = rows.iter().map(|row| nano(&row["charge_nano"])).sum();
    let balance = admin.balance(org).await;
    assert!(balance.posted >= 0 && balance.free >= 0, "{balance:?}");
    assert!(charges > 0 && balance.posted + charges <= units(20), "{balance:?} {charges}");
    admin.reconciled().await;
}
