//! The official OpenAI SDKs for Python and Node, unmodified, by base URL and key alone.

use integration_tests::{Gateway, NewOrg, workspace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use tokio::process::Command;

type Cases = BTreeMap<String, Value>;

/// What `scripts/setup` installed, by the variable that names it or where it puts it.
pub(crate) fn installed(variable: &str, place: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(|| workspace().join(place), PathBuf::from);
    assert!(path.exists(), "{} is missing: run scripts/setup", path.display());
    path
}

async fn run(mut program: Command, gateway: &Gateway, keys: &[(&str, &str)]) -> Cases {
    let output = program
        .env("OPENAI_BASE_URL", gateway.base_url())
        .env("OPENAI_API_KEY", gateway.api_key())
        .envs(keys.iter().copied())
        .output()
        .await
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let case = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        (line["case"].as_str().unwrap().to_owned(), line["saw"].take())
    };
    stdout.lines().map(case).collect()
}

fn check_answers(cases: &Cases) {
    let text = &cases["chat"]["text"];
    assert!(text.as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(cases["chat"]["output"], 4);
    assert_eq!(cases["stream"], json!({"text": text, "usage": []}));
    assert_eq!(cases["stream with usage"], json!({"text": text, "usage": [4]}));
    let call = json!({"name": "weather", "arguments": ["city"]});
    assert_eq!(cases["tools"], call);
    assert_eq!(cases["tools in a stream"], call);
    assert_eq!(cases["json object"], true);
    assert_eq!(cases["json schema"], json!(["answer"]));
    for case in ["prefill", "image by address", "image inline"] {
        assert_eq!(&cases[case], text, "{case}");
    }
    let models = json!(["demo/chat", "demo/embed", "demo/long", "demo/reasoning", "demo/vision"]);
    assert_eq!(cases["models"], models);
    assert_eq!(cases["other prefix"], models);
}

fn check_errors(cases: &Cases) {
    let table = [
        ("400", "BadRequestError"),
        ("401", "AuthenticationError"),
        ("403", "PermissionDeniedError"),
        ("404", "NotFoundError"),
        ("429", "RateLimitError"),
        ("502", "InternalServerError"),
        ("503", "InternalServerError"),
    ];
    for (case, class) in table {
        let status: u16 = case.parse().unwrap();
        assert_eq!(cases[case], json!({"class": class, "status": status, "id": true}), "{case}");
    }
    // The SDKs have no class for 402 alone.
    assert_eq!((&cases["402"]["status"], &cases["402"]["id"]), (&json!(402), &json!(true)));
    let broken = &cases["mid-stream"];
    assert_eq!(broken["class"], "APIError", "{broken}");
}

/// A gateway, a key without money, and one that may ask once a minute.
async fn prepare() -> (Gateway, String, String) {
    let gateway = Gateway::demo().start().await;
    let once = "kind: Plan\nname: once\nspec: {requests_per_minute: 1}\n";
    gateway.admin().apply(once).await;
    let poor = gateway.create_org(NewOrg::named("poor")).await.key;
    let limited = NewOrg { plan: "once", credit: "1.00 USD", ..NewOrg::named("limited") };
    let limited = gateway.create_org(limited).await.key;
    (gateway, poor, limited)
}

#[tokio::test]
async fn the_python_sdk_works_by_base_url_and_key_alone() {
    let (gateway, poor, limited) = prepare().await;
    let mut program = Command::new(installed("TURNPIKE_TEST_PYTHON", ".tools/venv/bin/python"));
    program.arg(workspace().join("integration-tests/tests/it/sdk/client.py"));
    let cases = run(program, &gateway, &[("POOR_KEY", &poor), ("LIMITED_KEY", &limited)]).await;
    check_answers(&cases);
    check_errors(&cases);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn the_node_sdk_works_by_base_url_and_key_alone() {
    let (gateway, poor, limited) = prepare().await;
    let modules = installed("TURNPIKE_TEST_NODE_MODULES", ".tools/clients/node_modules");
    let mut program = Command::new(installed("TURNPIKE_TEST_NODE", ".tools/node-bin/node"));
    program.arg(workspace().join("integration-tests/tests/it/sdk/client.mjs"));
    program.env("TURNPIKE_TEST_NODE_MODULES", modules);
    let cases = run(program, &gateway, &[("POOR_KEY", &poor), ("LIMITED_KEY", &limited)]).await;
    check_answers(&cases);
    check_errors(&cases);
    gateway.admin().reconciled().await;
}
