//! Secrets of keys from outside: rotated with an overlap in which both are good, ended by the data plane's own clock, both
//! gone with the key; and brought from another system that has nothing but their hashes.

use integration_tests::{Gateway, NewOrg, Request, eventually, say};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const AT_ONCE: Duration = Duration::from_secs(1);

async fn key_name(gateway: &Gateway, org: &str) -> String {
    let filter = format!("org = {org}");
    let keys = gateway.admin().json(&["get", "key", "--filter", &filter, "-o", "json"]).await;
    keys[0]["name"].as_str().unwrap().to_owned()
}

async fn rotate(gateway: &Gateway, name: &str, overlap: &str) -> Value {
    gateway.admin().json(&["key", "rotate", name, "--overlap", overlap, "-o", "json"]).await
}

/// What the data plane says to a secret: a status, and the error's text.
async fn asks(gateway: &Gateway, secret: &str) -> (u16, String) {
    let reply = gateway.send(&Request::get("/v1/key").bearer(secret)).await;
    (reply.status, reply.text().to_owned())
}

async fn is_refused(gateway: &Gateway, secret: &str) -> String {
    eventually("the secret is refused", async || {
        let (status, text) = asks(gateway, secret).await;
        (status == 401).then_some(text)
    })
    .await
}

#[tokio::test]
async fn a_rotated_key_serves_with_both_secrets_and_pays_from_one_budget_until_it_is_revoked() {
    let mut gateway = Gateway::demo().start().await;
    let budgeted =
        NewOrg { credit: "5.00 USD", key_budget: "1.00 USD", ..NewOrg::named("turning") };
    let org = gateway.create_org(budgeted).await;
    let name = key_name(&gateway, "turning").await;
    assert_eq!(gateway.chat(&org.key, say(5)).await.status, 200);
    let rotated = rotate(&gateway, &name, "24h").await;
    assert_eq!(rotated["name"], name.as_str());
    assert!(rotated["previous_secret_expire_time"].is_string(), "{rotated}");
    let fresh = rotated["secret"].as_str().unwrap().to_owned();
    gateway.knows(&fresh).await;
    gateway.kill9().await;
    gateway.restart().await;
    let mut charged = 0;
    for secret in [&org.key, &fresh] {
        let reply = gateway.chat(secret, say(7)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let bill = gateway.admin().bill(reply.request_id()).await;
        assert_eq!(bill["key"], name.as_str(), "one key, whichever secret");
        charged += integration_tests::nano(&bill["charge_nano"]);
    }
    assert!(charged > 0);
    let told =
        |text: String| serde_json::from_str::<Value>(&text).unwrap()["data"]["usage"].clone();
    let (by_old, by_new) = (asks(&gateway, &org.key).await, asks(&gateway, &fresh).await);
    assert_eq!(told(by_old.1), told(by_new.1), "one account of what it spent");
    let again = gateway.admin().run(&["key", "rotate", &name, "--overlap", "1h"]).await;
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("is being rotated"), "{}", again.stderr);

    let revoked = gateway.admin().run(&["key", "revoke", &name]).await;
    assert_eq!(revoked.status, 0, "{}", revoked.stderr);
    let begun = Instant::now();
    for secret in [&org.key, &fresh] {
        is_refused(&gateway, secret).await;
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn the_old_secret_ends_by_itself_and_one_rotated_without_overlap_at_once() {
    let gateway = Gateway::demo().start().await;
    let org = gateway.new_org("turning", "1.00 USD").await;
    let name = key_name(&gateway, "turning").await;
    let second = rotate(&gateway, &name, "1s").await["secret"].as_str().unwrap().to_owned();
    gateway.knows(&second).await;
    let revision = gateway.admin().json(&["get", "key", &name, "-o", "json"]).await["etag"].clone();
    let said = is_refused(&gateway, &org.key).await;
    assert!(said.contains("was replaced"), "{said}");
    assert_eq!(gateway.chat(&second, say(3)).await.status, 200);
    let now = gateway.admin().json(&["get", "key", &name, "-o", "json"]).await["etag"].clone();
    assert_eq!(now, revision, "nothing was pushed for it");

    let third = rotate(&gateway, &name, "0s").await["secret"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    is_refused(&gateway, &second).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    gateway.knows(&third).await;
    gateway.admin().audited().await;
}

#[tokio::test]
async fn a_secret_of_which_another_system_has_but_the_hash_is_a_key_here() {
    const SECRET: &str = "sk-moved-from-elsewhere-0123456789";
    const SHA256: &str = "abbadd49c0c9e05186f5cb49080198dc3b9e442fd217eca240276f62048edab5";
    let gateway = Gateway::demo().start().await;
    let line = format!("{{\"org\": \"demo\", \"name\": \"moved\", \"sha256\": \"{SHA256}\"}}\n");
    let imported = gateway.admin().run_with(&["key", "import", "-f", "-"], &line).await;
    assert_eq!(imported.status, 0, "{}", imported.stderr);
    gateway.knows(SECRET).await;
    assert_eq!(gateway.chat(SECRET, say(3)).await.status, 200);
    assert_eq!(asks(&gateway, SHA256).await.0, 401, "the hash itself opens nothing");
    let again = gateway.admin().run_with(&["key", "import", "-f", "-"], &line).await;
    assert!(again.stderr.contains("0 created, 1 there already"), "{}", again.stderr);
    let fresh = rotate(&gateway, "demo/moved", "24h").await["secret"].as_str().unwrap().to_owned();
    gateway.knows(&fresh).await;
    assert_eq!(gateway.chat(SECRET, say(3)).await.status, 200, "its overlap is as any other's");
}
