//! The built binary from outside: exit codes, what goes to stdout and what to stderr. No server is needed here; what a
//! running one answers is tested in `integration-tests`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// Runs the binary with nothing of the caller's environment that could mean something to it.
fn turnpike(arguments: &[&str], variables: &[(&str, &str)], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnpike"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = child.stdin.take().expect("a pipe");
    // A command that refuses its arguments does not read; that is no failure of this test.
    input.write_all(stdin.as_bytes()).unwrap_or_default();
    drop(input);
    child.wait_with_output().expect("the binary ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

#[test]
fn wrong_usage_exits_2_and_says_so_on_stderr_alone() {
    let table: [(&[&str], &str); 35] = [
        (&["frobnicate"], "frobnicate"),
        (&["aply", "-f", "-"], "'apply'"),
        (&["--nonsense"], "--nonsense"),
        (&["apply", "x.yaml"], "x.yaml"),
        (&["apply", "-f", "-", "--wait", "--wait-timeout", "soon"], "soon"),
        (&["apply", "-f", "-", "--wait-timeout", "5"], "--wait"),
        (&["diff"], "--file"),
        (&["diff", "-f", "/nowhere/at-all.yaml"], "/nowhere/at-all.yaml"),
        (&["get", "org", "a", "--filter", "name = b"], "--filter"),
        (&["describe", "org"], "<NAME>"),
        (&["describe", "frogs", "a"], "the kinds are Entity"),
        (&["delete", "org"], "<NAME>"),
        (&["delete", "frogs", "a"], "the kinds are Entity"),
        (&["key", "frobnicate"], "frobnicate"),
        (&["key", "revoke"], "<NAME>"),
        (&["key", "disable"], "<NAME>"),
        (&["key", "list", "-o", "xml"], "xml"),
        (&["org", "credit", "acme"], "<AMOUNT>"),
        (&["usage", "--limit", "0"], "0"),
        (&["balance"], "<ORG>"),
        (&["explain"], "<REQUEST_ID>"),
        (&["balance", "a", "--timeout", "0"], "0"),
        (&["doctor", "--upstream-timeout", "0"], "0"),
        (&["simulator", "--listen", "here"], "here"),
        (&["completions", "tcsh"], "tcsh"),
        (&["get"], "<KIND>"),
        (&["get", "frogs"], "the kinds are Entity"),
        (&["get", "orgs", "-o", "xml"], "xml"),
        (&["apply"], "--file"),
        (&["apply", "-f", "-", "--dry-run", "--wait"], "--wait"),
        (&["apply", "-f", "/nowhere/at-all.yaml"], "/nowhere/at-all.yaml"),
        (&["key", "create"], "--org"),
        (&["key", "create", "--org", "a", "--expires", "soon"], "RFC 3339"),
        (&["reconcile", "--since", "yesterday"], "yesterday"),
        (&["up", "--roles", "cashier"], "cashier"),
    ];
    for (arguments, says) in table {
        let output = turnpike(arguments, &[], "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(said.starts_with("turnpike: "), "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_without_its_part_shows_its_help_on_stderr() {
    for arguments in [&[][..], &["key"][..], &["org"][..]] {
        let output = turnpike(arguments, &[], "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage: turnpike"), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_exits_3_and_says_how_to_mend_it() {
    let address = nobody();
    let plan = "{kind: Plan, name: a, spec: {}}";
    let table: [&[&str]; 14] = [
        &["get", "orgs"],
        &["diff", "-f", "-"],
        &["key", "list"],
        &["key", "disable", "a/b"],
        &["key", "revoke", "a/b"],
        &["usage"],
        &["describe", "org", "a"],
        &["delete", "org", "a"],
        &["apply", "-f", "-"],
        &["key", "create", "--org", "a"],
        &["org", "credit", "a", "1.00 USD"],
        &["balance", "a"],
        &["explain", "a"],
        &["reconcile", "-o", "json"],
    ];
    for arguments in table {
        let output = turnpike(arguments, &[("TURNPIKE_ADMIN_ADDR", &address)], plan);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(
            said.contains(&address) && said.contains("TURNPIKE_ADMIN_ADDR"),
            "{arguments:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn a_wrong_object_exits_1_before_any_server_is_asked() {
    let address = nobody();
    let output = turnpike(
        &["apply", "-f", "-"],
        &[("TURNPIKE_ADMIN_ADDR", &address)],
        "kind: Plan\nname: a\nspec: {request_per_minute: 1}\n",
    );
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("stdin, document 1 (Plan a), spec.request_per_minute"), "{said}");
    assert!(said.contains("did you mean \"requests_per_minute\""), "{said}");
}

#[test]
fn a_wrong_configuration_exits_2_and_names_the_key() {
    let output = turnpike(&["up"], &[("TURNPIKE__DATA_PLANE__LISTN", "127.0.0.1:0")], "");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("did you mean `data_plane.listen`?"), "{said}");
}

#[test]
fn the_token_is_never_shown() {
    let secret = "tok-9f8e7d6c";
    let variables =
        [("TURNPIKE_ADMIN_ADDR", nobody()), ("TURNPIKE_ADMIN_TOKEN", secret.to_owned())];
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for arguments in
        [&["get", "orgs", "--help"][..], &["get", "orgs"][..], &["key", "create", "-h"][..]]
    {
        let output = turnpike(arguments, &variables, "");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.is_empty() && !said.contains(secret), "{arguments:?}: {said}");
    }
}

#[test]
fn help_version_and_completions_go_to_stdout_and_exit_0() {
    let table: [(&[&str], &str); 6] = [
        (&["--help"], "Exit codes:"),
        (&["version"], concat!("turnpike ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["--version"], concat!("turnpike ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["apply", "--help"], "Examples:"),
        (&["completions", "bash"], "complete "),
        (&["completions", "zsh"], "#compdef turnpike"),
    ];
    for (arguments, says) in table {
        let output = turnpike(arguments, &[], "");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(says), "{arguments:?}: {}", text(&output.stdout));
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnpike"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
