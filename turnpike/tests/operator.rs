//! What an operator types at a running control plane, and what is promised of it: documents that round-trip, secrets alone
//! on stdout, every violation told, exit codes. One `turnpike up --demo` serves all tests.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const LISTENERS: [&str; 6] = [
    "TURNPIKE__DATA_PLANE__LISTEN",
    "TURNPIKE__CONTROL_PLANE__ADMIN_LISTEN",
    "TURNPIKE__CONTROL_PLANE__FLEET_LISTEN",
    "TURNPIKE__CONTROL_PLANE__CONSOLE_LISTEN",
    "TURNPIKE__OPS__LISTEN",
    "TURNPIKE__SIMULATOR__LISTEN",
];
const KINDS: [&str; 9] = [
    "entities",
    "plans",
    "upstreams",
    "fx-rates",
    "price_books",
    "models",
    "orgs",
    "MarkupRules",
    "key",
];

/// A gateway with the demo's objects, gone with this value.
struct Gateway {
    child: Child,
    data: TempDir,
    environment: BTreeMap<String, String>,
}

impl Gateway {
    fn start() -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnpike"))
            .args(["up", "--demo", "--data-dir"])
            .arg(data.path())
            .env_clear()
            .envs(LISTENERS.map(|name| (name, "127.0.0.1:0")))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut all = String::new();
        while !all.contains("Turnpike is ready") {
            assert!(said.read_line(&mut all).expect("text") > 0, "it ended: {all}");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let text = fs::read_to_string(data.path().join("demo.env")).expect("demo.env is there");
        let variable = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        let environment = text.lines().filter_map(variable).collect();
        Self { child, data, environment }
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnpike"))
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(stdin.as_bytes()).unwrap_or_default();
        drop(input);
        child.wait_with_output().expect("the binary ends")
    }

    /// What a command that succeeds prints.
    fn data(&self, arguments: &[&str], stdin: &str) -> String {
        let output = self.run(arguments, stdin);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let printed = self.data(&[arguments, &["-o", "json"]].concat(), "");
        serde_json::from_str(&printed).expect(&printed)
    }

    /// What a command that fails says.
    fn complaint(&self, arguments: &[&str], stdin: &str) -> String {
        let output = self.run(arguments, stdin);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        text(&output.stderr)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_operator_can_rely_on_the_command_line() {
    let gateway = Gateway::start();
    what_get_prints_apply_takes_and_changes_nothing(&gateway);
    a_secret_is_alone_on_stdout_and_shown_once(&gateway);
    apply_waits_and_delete_refuses_what_is_needed(&gateway);
    every_violation_is_told_and_nothing_is_applied(&gateway);
    a_credit_with_one_idempotency_key_posts_once(&gateway);
    documents_have_the_promised_shapes(&gateway);
    a_wrong_token_is_told_from_a_missing_server(&gateway);
    a_second_up_on_the_same_directory_names_the_first(&gateway);
    up_drains_and_exits_0_on_sigterm(gateway);
}

fn what_get_prints_apply_takes_and_changes_nothing(gateway: &Gateway) {
    for format in ["yaml", "json"] {
        for kind in KINDS {
            let printed = gateway.data(&["get", kind, "-o", format], "");
            let applied = gateway.data(&["apply", "-f", "-", "--wait", "-o", "json"], &printed);
            let applied: Json = serde_json::from_str(&applied).expect("JSON");
            let objects = applied["objects"].as_array().expect("objects");
            assert!(!objects.is_empty(), "{kind}");
            for object in objects {
                assert_eq!(object["action"], "unchanged", "{kind} as {format}: {object}");
            }
        }
    }
}

fn a_secret_is_alone_on_stdout_and_shown_once(gateway: &Gateway) {
    let printed = gateway
        .data(&["key", "create", "--org", "demo", "--name", "ci", "--budget", "1.50 USD"], "");
    assert!(printed.starts_with("sk-tp-") && printed.lines().count() == 1, "{printed}");
    let created = gateway.json(&["key", "create", "--org", "demo"]);
    let fields: Vec<&String> = created.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["name", "secret"]);
    let secret = created["secret"].as_str().expect("text");
    let all = gateway.data(&["get", "keys", "-o", "yaml"], "");
    assert!(all.contains("demo/ci") && all.contains("1.50 USD"), "{all}");
    assert!(!all.contains(secret) && !all.contains(printed.trim()), "a secret is shown again");
}

fn apply_waits_and_delete_refuses_what_is_needed(gateway: &Gateway) {
    let plan = "kind: Plan\nname: trial\nspec: {requests_per_minute: 5}\n";
    let dry = gateway.data(&["apply", "-f", "-", "--dry-run"], plan);
    assert!(dry.contains("Plan  trial  created"), "{dry}");
    assert!(gateway.complaint(&["get", "plan", "trial"], "").contains("trial"));
    assert!(gateway.data(&["apply", "-f", "-", "--wait"], plan).contains("created"));
    assert_eq!(gateway.json(&["get", "plan", "trial"])["spec"]["requests_per_minute"], "5");
    let described = gateway.data(&["describe", "plan", "trial"], "");
    assert!(described.contains("spec.requests_per_minute  5"), "{described}");
    assert_eq!(gateway.data(&["delete", "plan", "trial"], ""), "");
    assert!(gateway.complaint(&["delete", "plan", "trial"], "").contains("trial"));
    assert!(gateway.complaint(&["delete", "plan", "demo"], "").contains("Org \"demo\""));
}

fn every_violation_is_told_and_nothing_is_applied(gateway: &Gateway) {
    let objects = "kind: Plan\nname: good\nspec: {}\n---\n\
                   kind: Org\nname: bad\nspec: {entity: nobody, plan: nothing}\n---\n\
                   kind: Model\nname: no-slash\nspec: {context_length: 10, max_output_tokens: 5, input_modalities: [text]}\n";
    let said = gateway.complaint(&["apply", "-f", "-"], objects);
    for expected in ["nobody", "nothing", "no-slash"] {
        let lines: Vec<&str> =
            said.lines().skip(1).filter(|line| line.contains(expected)).collect();
        assert_eq!(lines.len(), 1, "{expected}: {said}");
    }
    assert!(gateway.complaint(&["get", "plan", "good"], "").contains("good"));
}

fn a_credit_with_one_idempotency_key_posts_once(gateway: &Gateway) {
    let posted =
        || gateway.json(&["balance", "demo"])["posted_nano"].as_str().expect("text").to_owned();
    assert_eq!(posted(), "10000000000");
    for _ in 0..2 {
        let printed =
            gateway.data(&["org", "credit", "demo", "5.00 USD", "--idempotency-key", "a"], "");
        assert!(printed.contains("15.00 USD"), "{printed}");
    }
    assert_eq!(posted(), "15000000000");
    assert!(gateway.complaint(&["org", "credit", "demo", "5.00 EUR"], "").contains("USD"));
    assert!(gateway.complaint(&["org", "credit", "demo", "5"], "").contains("5"));
}

fn documents_have_the_promised_shapes(gateway: &Gateway) {
    let fields =
        |json: &Json| json.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let balance = gateway.json(&["balance", "demo"]);
    assert_eq!(fields(&balance), ["org", "currency", "posted_nano", "held_nano", "free_nano"]);
    let reconciled = gateway.json(&["reconcile"]);
    let (books, missing) =
        (["ok", "events", "differences", "rolled_up"], ["missing_events", "written_off_events"]);
    assert_eq!(fields(&reconciled), [&books[..], &missing].concat());
    assert_eq!(reconciled["ok"], true);
    assert_eq!(fields(&gateway.json(&["usage"])), ["rows", "next_page_token"]);
    assert!(gateway.json(&["get", "models"]).is_array());
    assert_eq!(fields(&gateway.json(&["get", "model", "demo/chat"])), ["kind", "name", "spec"]);
    assert!(gateway.complaint(&["explain", "nothing"], "").contains("nothing"));
}

fn a_wrong_token_is_told_from_a_missing_server(gateway: &Gateway) {
    let file = gateway.data.path().join("wrong.token");
    fs::write(&file, "not the operator's token").expect("a file");
    let file = file.to_str().expect("text");
    let said = gateway.complaint(&["get", "orgs", "--admin-token-file", file], "");
    assert!(said.contains("TURNPIKE_ADMIN_TOKEN"), "{said}");
    let right = gateway.data.path().join("operator.token");
    assert!(
        gateway
            .data(&["get", "orgs", "--admin-token-file", right.to_str().expect("text")], "")
            .contains("demo")
    );
}

fn a_second_up_on_the_same_directory_names_the_first(gateway: &Gateway) {
    let said =
        gateway.complaint(&["up", "--data-dir", gateway.data.path().to_str().expect("text")], "");
    assert!(said.contains(&gateway.child.id().to_string()), "{said}");
}

fn up_drains_and_exits_0_on_sigterm(mut gateway: Gateway) {
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).expect("it runs");
    let status = gateway.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
}
