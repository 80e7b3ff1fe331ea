//! `kill -9` in the middle of commands that change something: each is wholly done or not at all, what it said is so, and
//! it can be run again.
//!
//! Here many at once; in the files below each method of the admin API and each command by itself.

mod api;
mod rows;
mod death;
mod calls;
mod commands;

use integration_tests::{Chance, Cli, Gateway, Output, eventually};
use std::time::Duration;
use tokio::task::JoinSet;

const ROUNDS: u32 = 6;
const MANY: usize = 20;
/// Longer than any of the commands takes on a slow machine.
const LATEST_US: u64 = 400_000;

/// A command, and how to tell whether it was done: by how many objects of a list fit a filter.
struct Command {
    arguments: Vec<String>,
    stdin: String,
    /// Whose list tells.
    kind: &'static str,
    filter: String,
    before: usize,
    after: usize,
}

fn command(arguments: &str, kind: &'static str, prefix: &str, counts: (usize, usize)) -> Command {
    let arguments = arguments.split(' ').map(str::to_owned).collect();
    let filter = format!("name = \"{prefix}*\"");
    Command { arguments, stdin: String::new(), kind, filter, before: counts.0, after: counts.1 }
}

fn plans(prefix: &str) -> String {
    let plan =
        |number| format!("---\nkind: Plan\nname: {prefix}{number}\nspec: {{concurrency: 1}}\n");
    (0..MANY).map(plan).collect()
}

fn keys(prefix: &str) -> String {
    let line = |number| format!("demo,{prefix}{number},secret-of-{prefix}{number}-0123456789\n");
    "org,name,secret\n".to_owned() + &(0..MANY).map(line).collect::<String>()
}

/// What every round runs at once, on names of its own.
fn commands(round: u32) -> Vec<Command> {
    let named = |what: &str| format!("{what}-{round}-");
    let of_demo = |what: &str| format!("demo/{what}-{round}-");
    let one_less = (MANY, MANY - 1);
    let disabled = command(
        &format!("key disable {}0", of_demo("disabled")),
        "keys",
        &of_demo("disabled"),
        one_less,
    );
    vec![
        Command {
            stdin: plans(&named("made")),
            ..command("apply -f -", "plans", &named("made"), (0, MANY))
        },
        Command {
            stdin: plans(&named("gone")),
            ..command("delete -f - --yes", "plans", &named("gone"), (MANY, 0))
        },
        Command {
            stdin: keys(&named("many")),
            ..command("key import -f -", "keys", &of_demo("many"), (0, MANY))
        },
        Command { filter: format!("{} AND disabled = false", disabled.filter), ..disabled },
        command(&format!("delete plan {}0", named("one")), "plans", &named("one"), one_less),
        command(
            &format!("key revoke {}0", of_demo("revoked")),
            "keys",
            &of_demo("revoked"),
            one_less,
        ),
        command(
            &format!("key create --org demo --name {}0", named("new")),
            "keys",
            &of_demo("new"),
            (0, 1),
        ),
    ]
}

async fn prepare(admin: &Cli, round: u32) {
    let named = |what: &str| format!("{what}-{round}-");
    admin.apply(&(plans(&named("gone")) + &plans(&named("one")))).await;
    for what in ["revoked", "disabled"] {
        let imported = admin.run_with(&["key", "import", "-f", "-"], &keys(&named(what))).await;
        assert_eq!(imported.status, 0, "{}", imported.stderr);
    }
}

async fn run(admin: Cli, command: &Command) -> Output {
    let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
    admin.run_with(&arguments, &command.stdin).await
}

async fn count(admin: &Cli, command: &Command) -> usize {
    let arguments = ["get", command.kind, "--filter", &command.filter, "-o", "json"];
    let listed = admin.json(&arguments).await;
    listed.as_array().unwrap().len()
}

#[tokio::test]
async fn a_command_whose_server_is_killed_is_done_or_not_and_can_be_repeated() {
    let mut chance = Chance::new("killed");
    let mut gateway = Gateway::demo().start().await;
    let mut posted = gateway.admin().balance("demo").await.posted;
    for round in 0..ROUNDS {
        prepare(&gateway.admin(), round).await;
        let key = format!("round-{round}");
        let credit = ["org", "credit", "demo", "1.00 USD", "--idempotency-key", key.as_str()];
        let ended =
            kill_while_they_run(&mut gateway, round, &credit, chance.within(0..LATEST_US)).await;
        gateway.restart().await;
        let admin = gateway.admin();
        for (command, said) in commands(round).iter().zip(&ended) {
            check(&admin, command, said).await;
        }
        posted = check_credit(&admin, &credit, ended.last().unwrap(), posted).await;
        admin.reconciled().await;
    }
}

/// How each command ended, the credit last.
async fn kill_while_they_run(
    gateway: &mut Gateway,
    round: u32,
    credit: &[&str],
    after_us: u64,
) -> Vec<Output> {
    let admin = gateway.admin();
    let mut running = JoinSet::new();
    for (index, command) in commands(round).into_iter().enumerate() {
        let admin = admin.clone();
        running.spawn(async move { (index, run(admin, &command).await) });
    }
    let credit: Vec<String> = credit.iter().map(|part| (*part).to_owned()).collect();
    running.spawn(async move {
        let credit: Vec<&str> = credit.iter().map(String::as_str).collect();
        (usize::MAX, admin.run(&credit).await)
    });
    tokio::time::sleep(Duration::from_micros(after_us)).await;
    gateway.kill9().await;
    let mut ended = running.join_all().await;
    ended.sort_by_key(|(index, _)| *index);
    ended.into_iter().map(|(_, output)| output).collect()
}

async fn check(admin: &Cli, command: &Command, said: &Output) {
    let Command { arguments, before, after, .. } = command;
    let found = count(admin, command).await;
    assert!(
        found == *before || found == *after,
        "{arguments:?}: {found} is neither {before} nor {after}"
    );
    assert!(matches!(said.status, 0 | 3), "{arguments:?}: {}", said.stderr);
    assert!(said.status != 0 || found == *after, "{arguments:?} said that it was done");
    let is_done = found == *after;
    let again = run(admin.clone(), command).await;
    let is_repeatable = !is_done || arguments.iter().any(|part| part == "-f" || part == "disable");
    // What makes one thing or takes it away by name says that it was so already.
    assert_eq!(again.status == 0, is_repeatable, "{arguments:?}: {}", again.stderr);
    eventually("it is done", async || (count(admin, command).await == *after).then_some(())).await;
}

async fn check_credit(admin: &Cli, credit: &[&str], said: &Output, before: i64) -> i64 {
    const ONE: i64 = 1_000_000_000;
    let found = admin.balance("demo").await.posted;
    assert!(found == before || found == before + ONE, "{found} after {before}");
    assert!(said.status != 0 || found == before + ONE, "it was said to be posted");
    let again = admin.run(credit).await;
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(admin.balance("demo").await.posted, before + ONE, "posted once");
    before + ONE
}
