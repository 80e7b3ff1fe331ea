//! The command line at a running gateway: what differs, what is wrong, keys. The shapes of documents are in
//! `turnpike/tests`.

use integration_tests::{Gateway, Request};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn diff_says_field_by_field_what_apply_would_change_and_shows_no_secret() {
    let gateway = Gateway::demo().start().await;
    let admin = gateway.admin();
    for kind in ["entities", "plans", "upstreams", "models", "price-books", "orgs", "keys"] {
        let stored = admin.run(&["get", kind, "-o", "yaml"]).await.stdout;
        let same = admin.run_with(&["diff", "-f", "-"], &stored).await;
        assert_eq!((same.status, same.stdout.as_str()), (0, ""), "{kind}: {}", same.stderr);
    }
    let upstream = |credential: &str| {
        format!(
            "---\nkind: Upstream\nname: demo-a\nspec: {{vendor: simulator, dialect: openai, \
             base_url: {}/v1, credential: {credential}, jurisdiction: SG, stops_on_abort: true}}\n",
            gateway.demo_env().get("TURNPIKE_SIMULATOR_ADDR")
        )
    };
    let files =
        "kind: Plan\nname: starter\nspec: {requests_per_minute: 11, tokens_per_minute: 100000}\n\
                 ---\nkind: Plan\nname: tiny\nspec: {concurrency: 3}\n"
            .to_owned()
            + &upstream("another-credential");
    let differs = admin.run_with(&["diff", "-f", "-"], &files).await;
    assert_eq!(differs.status, 1, "{}", differs.stderr);
    assert_eq!(differs.stderr, "", "the difference is the data, not an error");
    let expected = "--- Plan starter (stored)\n+++ Plan starter (files)\n\
                    -spec.requests_per_minute: 10\n+spec.requests_per_minute: 11\n\
                    --- /dev/null\n+++ Plan tiny (files)\n+spec.concurrency: 3\n\
                    --- Upstream demo-a (stored)\n+++ Upstream demo-a (files)\n\
                    -spec.credential: (a secret)\n+spec.credential: (another secret)\n";
    assert_eq!(differs.stdout, expected);
    let told = admin.run_with(&["diff", "-f", "-", "-o", "json"], &files).await;
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["differs"], true);
    assert_eq!(told["objects"][0]["fields"][0]["path"], "spec.requests_per_minute");
    assert_eq!(told["objects"][0]["fields"][0]["before"], "10");
    assert_eq!(told["objects"][1]["action"], "created");

    admin.apply(&files).await;
    let applied = admin.run_with(&["diff", "-f", "-"], &files).await;
    assert_eq!((applied.status, applied.stdout.as_str()), (0, ""), "{}", applied.stderr);
}

#[tokio::test]
async fn a_key_is_listed_disabled_enabled_and_revoked_by_name() {
    let gateway = Gateway::demo().start().await;
    let admin = gateway.admin();
    let secret = admin.run(&["key", "create", "--org", "demo", "--name", "ci"]).await.stdout;
    let secret = secret.trim();
    gateway.knows(secret).await;
    let status = async || gateway.send(&Request::get("/v1/models").bearer(secret)).await.status;
    let listed = admin.json(&["key", "list", "--org", "demo", "-o", "json"]).await;
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["demo/ci", "demo/first"]);
    assert!(!listed.to_string().contains(secret));
    let none = admin.json(&["key", "list", "--org", "nobody", "-o", "json"]).await;
    assert_eq!(none, serde_json::json!([]));

    for (verb, expected) in [("disable", 401), ("enable", 200), ("revoke", 401)] {
        let done = admin.run(&["key", verb, "demo/ci"]).await;
        assert_eq!((done.status, done.stdout.as_str()), (0, ""), "{}", done.stderr);
        integration_tests::eventually("the proxy has it", async || {
            (status().await == expected).then_some(())
        })
        .await;
    }
    let again = admin.run(&["key", "revoke", "demo/ci"]).await;
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("demo/ci"), "{}", again.stderr);
}

/// The state of each finding of a check.
fn states<'a>(told: &'a Value, check: &str) -> Vec<&'a str> {
    let findings = told["findings"].as_array().unwrap().iter();
    let of_check = findings.filter(|finding| finding["check"] == check);
    of_check.map(|finding| finding["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_with_a_gateway_that_works() {
    let gateway = Gateway::demo().start().await;
    let data_dir = gateway.data_dir().to_str().unwrap().to_owned();
    let admin = gateway.admin();
    let told = admin.json(&["doctor", "--data-dir", &data_dir, "-o", "json"]).await;
    assert_eq!(told["ok"], true, "{told}");
    for check in ["config", "data-dir", "disk", "schema", "spool", "admin", "clock", "data-planes"]
    {
        assert_eq!(states(&told, check), ["ok"], "{check}: {told}");
    }
    assert_eq!(states(&told, "secrets"), ["ok"; 3], "{told}");
    assert_eq!(states(&told, "upstreams"), ["ok"; 3], "{told}");
}

#[tokio::test]
async fn doctor_names_each_thing_that_is_wrong_and_how_to_mend_it() {
    let mut gateway = Gateway::demo().start().await;
    let dead = "---\nkind: Upstream\nname: dead\nspec: {vendor: x, dialect: openai, \
                base_url: 'http://127.0.0.1:1/v1', jurisdiction: SG}\n";
    gateway.admin().apply(dead).await;
    let data_dir = gateway.data_dir().to_path_buf();
    let place = data_dir.to_str().unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(data_dir.join("seal.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(data_dir.join("pepper.key"), "too short").unwrap();
    let arguments = ["doctor", "--data-dir", place, "-o", "json"];
    let found = gateway.admin().run(&arguments).await;
    assert_eq!(found.status, 1);
    assert_eq!(found.stderr.lines().count(), 1, "{}", found.stderr);
    let told: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(states(&told, "data-dir"), ["wrong"], "{told}");
    assert_eq!(states(&told, "secrets"), ["ok", "wrong", "wrong"], "{told}");
    assert_eq!(states(&told, "upstreams"), ["wrong", "ok", "ok", "ok"], "{told}");
    let wrong = told["findings"].as_array().unwrap().iter().filter(|one| one["state"] == "wrong");
    for finding in wrong {
        assert_ne!(finding["mend"], "", "{finding}");
    }
    let token = fs::read_to_string(data_dir.join("operator.token")).unwrap();
    assert!(!found.stdout.contains(token.trim()), "a secret is shown");

    gateway.kill9().await;
    let told = gateway.admin().run(&arguments).await;
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(states(&told, "admin"), ["wrong"], "{told}");
    assert_eq!(states(&told, "clock"), Vec::<&str>::new(), "{told}");
}
