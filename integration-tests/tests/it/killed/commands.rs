//! `kill -9` in the middle of every command. The commands come from `--help`: one that has no entry here, neither among those
//! that change something, nor those that only read, nor those that ask no server, fails the test.

use super::api::Api;
use super::death::{Moment, Whole, agrees, dying, kept, steady};
use super::rows::Rows;
use crate::grpcurl::gaps::overtaken;
use integration_tests::{Chance, Cli, Gateway, Output, eventually};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use tokio::task::JoinSet;

/// What comes of a command that is given again after it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It says that it was so already, or the same as before.
    Same,
    /// It fails: there is one already, or none any more.
    Refused,
    /// It is done again: each reading is recorded.
    Done,
}

/// A command that changes something.
struct Change {
    /// As in `--help`, for instance `key rotate`.
    name: &'static str,
    arguments: String,
    stdin: &'static str,
    writes: Whole,
    again: Again,
}

const PLANS: &str = "kind: Plan\nname: bronze\nspec: {concurrency: 1}\n---\nkind: Plan\nname: iron\nspec: {concurrency: 2}\n";
const PLAN: &str = "kind: Plan\nname: lead\nspec: {concurrency: 1}\n";
const KEYS: &str =
    "org,name,secret\ndemo,one,secret-of-one-0123456789\ndemo,two,secret-of-two-0123456789\n";

/// In an order in which each finds what it needs, made by those before.
fn changes(content_of: &str) -> Vec<Change> {
    let (one, who) = (Whole::CONFIGURATION, Whole::OPERATORS);
    let change = |name: &'static str, rest: &str, writes: Whole, again: Again| Change {
        name,
        arguments: rest.to_owned(),
        stdin: "",
        writes,
        again,
    };
    vec![
        Change { stdin: PLANS, ..change("apply", "-f -", one.with(2), Again::Same) },
        Change { stdin: PLANS, ..change("delete", "-f - --yes", one.with(2), Again::Same) },
        Change { stdin: PLAN, ..change("apply", "-f - --wait", one, Again::Same) },
        change("delete", "plan lead", one, Again::Refused),
        change("key create", "--org demo --name ci", one, Again::Refused),
        change("key create", "--org demo --name id --request-id made-once", one, Again::Same),
        Change { stdin: KEYS, ..change("key import", "-f -", one.with(2), Again::Same) },
        change("key rotate", "demo/ci --overlap 1h --request-id turned-once", one, Again::Same),
        change("key disable", "demo/ci", one, Again::Same),
        change("key enable", "demo/ci", one, Again::Same),
        change("key revoke", "demo/ci", one, Again::Refused),
        change("operator create", "alice --role admin", who, Again::Refused),
        change("operator create", "bob --role viewer --request-id hired-once", who, Again::Same),
        change("operator disable", "alice", who, Again::Same),
        change("operator delete", "alice", who, Again::Refused),
        change(
            "org credit",
            "demo 1.00_USD --idempotency-key paid-once",
            Whole::MONEY,
            Again::Same,
        ),
        change("usage write-off", "gone:7:3:1-2 --reason its_disk", Whole::GAPS, Again::Refused),
        change("forget", "gone --reason its_disk", Whole::LIVES, Again::Same),
        change("content", content_of, Whole::READING, Again::Done),
    ]
}

/// Commands that only read: with what they are given.
const READS: [(&str, &str, &str); 15] = [
    ("get", "plans", ""),
    ("describe", "plan demo", ""),
    ("diff", "-f -", PLANS),
    ("apply", "-f - --dry-run", PLANS),
    ("key list", "--org demo", ""),
    ("key rotate", "demo/first --overlap 1h --dry-run", ""),
    ("operator list", "", ""),
    ("operator get", "alice", ""),
    ("audit list", "", ""),
    ("audit verify", "", ""),
    ("usage", "", ""),
    ("usage gaps", "", ""),
    ("balance", "demo", ""),
    ("explain", "req-unknown", ""),
    ("reconcile", "", ""),
];

/// Commands that ask no server, or tell what they find as it is.
const LOCAL: [&str; 9] = [
    "up",
    "control-plane",
    "data-plane",
    "billing",
    "migrate",
    "simulator",
    "completions",
    "version",
    "doctor",
];

fn words<'a>(name: &'a str, arguments: &'a str) -> Vec<String> {
    let words = name.split(' ').chain(arguments.split(' ')).filter(|word| !word.is_empty());
    words.map(|word| word.replace('_', " ")).collect()
}

async fn run(admin: &Cli, name: &str, arguments: &str, stdin: &str) -> Output {
    let words = words(name, arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    admin.run_with(&words, stdin).await
}

/// The names in the list of commands that `--help` shows, and of those below them.
async fn listed(admin: &Cli, above: &str) -> Vec<String> {
    let help = run(admin, above, "--help", "").await.stdout;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return vec![above.to_owned()] };
    let list = list.split_once("\n\n").map_or(list, |(list, _)| list);
    let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap_or_default();
    let is_one_itself = !usage.ends_with("<COMMAND>");
    let mut leaves: Vec<String> = is_one_itself.then(|| above.to_owned()).into_iter().collect();
    for line in list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        leaves.extend(Box::pin(listed(admin, format!("{above} {name}").trim())).await);
    }
    leaves
}

#[tokio::test]
async fn every_command_has_an_entry_here() {
    let nowhere = Cli::new("http://127.0.0.1:1", "");
    let found: BTreeSet<String> = listed(&nowhere, "").await.into_iter().collect();
    let changes = changes("");
    let known = changes.iter().map(|change| change.name);
    let known = known.chain(READS.iter().map(|(name, ..)| *name)).chain(LOCAL);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    assert_eq!(found, known);
}

#[tokio::test]
async fn every_command_whose_server_is_killed_is_done_or_not_and_can_be_given_again() {
    let mut chance = Chance::new("killed commands");
    let mut gateway = steady().start().await;
    let content_of = kept(&gateway).await;
    overtaken(&gateway).await;
    let mut done = Vec::new();
    for change in changes(&content_of) {
        let moment = Moment::any(&mut chance);
        done.push(dies_in_the_middle(&mut gateway, &change, moment).await);
    }
    assert!(
        done.contains(&true) && done.contains(&false),
        "all died too late, or too early: {done:?}"
    );
}

/// Whether it was done when its server died.
async fn dies_in_the_middle(gateway: &mut Gateway, change: &Change, moment: Moment) -> bool {
    let &Change { name, ref arguments, stdin, writes, again } = change;
    let what = format!("{name} {arguments}, {moment:?}");
    let keeps_answer = arguments.contains("--request-id");
    let before = Rows::of(gateway).await;
    let admin = gateway.admin();
    let said = dying(gateway, moment, run(&admin, name, arguments, stdin)).await;
    gateway.restart().await;
    let after = Rows::of(gateway).await;
    let is_done = writes.is_done(&what, keeps_answer, &before, &after);
    assert!(matches!(said.status, 0 | 3), "{what}: {}", said.stderr);
    assert!(is_done || said.status != 0, "{what}: it said that it was done");
    let repeated = run(&gateway.admin(), name, arguments, stdin).await;
    let settled = Rows::of(gateway).await;
    if !is_done || again == Again::Done {
        assert_eq!(repeated.status, 0, "{what}: {}", repeated.stderr);
        assert!(writes.is_done(&what, keeps_answer, &after, &settled), "{what}: given again");
    } else {
        assert_eq!(repeated.status == 0, again == Again::Same, "{what}: {}", repeated.stderr);
        assert_eq!(after.changed(&settled), [], "{what}: it was done already");
    }
    agrees(&Api::of(gateway), &what).await;
    is_done
}

/// How many connections to a port wait with something that nobody has read.
fn unread(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let waits = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_here = fields[1].ends_with(&format!(":{port:04X}"));
        is_here
            && fields[3] == ESTABLISHED
            && fields[4].split_once(':').is_some_and(|(_, unread)| unread != "00000000")
    };
    table.lines().skip(1).filter(waits).count()
}

#[tokio::test]
async fn a_command_that_reads_says_in_one_line_that_its_server_died_in_the_middle() {
    let mut gateway = Gateway::demo().start().await;
    let address = gateway.demo_env().get("TURNPIKE_ADMIN_ADDR").to_owned();
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    // It takes connections, and what is asked on them, but answers nobody.
    gateway.signal(Signal::STOP);
    let mut asking = JoinSet::new();
    for (name, arguments, stdin) in READS {
        let admin = gateway.admin();
        asking.spawn(async move { (name, run(&admin, name, arguments, stdin).await) });
    }
    let all = READS.len();
    eventually("all have asked", async || (unread(port) == all).then_some(())).await;
    gateway.kill9().await;
    for (name, said) in asking.join_all().await {
        assert_eq!(said.status, 3, "{name}: {}{}", said.stdout, said.stderr);
        assert_eq!(said.stdout, "", "{name}");
        assert_eq!(said.stderr.lines().count(), 1, "{name}: {}", said.stderr);
        assert!(said.stderr.contains(&address), "{name}: {}", said.stderr);
    }
}
