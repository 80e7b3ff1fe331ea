//! Operators on the command line, and calls whose answer was lost with the process.

use integration_tests::{Cli, Gateway, eventually, say};
use sqlx::{Connection, SqliteConnection};
use tokio::io;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn an_operator_is_made_used_watched_and_disabled_from_the_command_line() {
    let gateway = Gateway::demo().start().await;
    let root = gateway.admin();
    let arguments =
        ["operator", "create", "alice", "--role", "admin", "--org", "demo", "--expires", "90d"];
    let made = root.run(&arguments).await;
    assert_eq!(made.status, 0, "{}", made.stderr);
    assert!(made.stdout.starts_with("op-") && made.stdout.lines().count() == 1, "{}", made.stdout);
    let alice = Cli::new(gateway.demo_env().get("TURNPIKE_ADMIN_ADDR"), made.stdout.trim());
    assert_eq!(alice.json(&["get", "orgs", "-o", "json"]).await[0]["name"], "demo");
    let refused = alice.run(&["org", "credit", "demo", "5.00 USD"]).await;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("owner, billing"), "{}", refused.stderr);
    let listed = root.json(&["operator", "list", "-o", "json"]).await;
    assert_eq!(listed[0]["spec"]["role"], "admin");
    let denied = root.json(&["audit", "list", "--operator", "alice", "-o", "json"]).await;
    assert_eq!(denied[0]["outcome"], "denied", "{denied}");
    let head = root.run(&["audit", "verify"]).await;
    assert_eq!(head.status, 0, "{}", head.stderr);
    assert_eq!(root.run(&["operator", "disable", "alice"]).await.status, 0);
    assert!(alice.run(&["get", "orgs"]).await.stderr.contains("disabled"));
    assert_eq!(root.run(&["operator", "delete", "alice"]).await.status, 0);
    let held = root.run(&["audit", "verify", "--expect", head.stdout.trim()]).await;
    assert_eq!(held.status, 0, "{}", held.stderr);

    let mut database = open(&gateway).await;
    sqlx::query("UPDATE audit_record SET operator = 'bob' WHERE seq = 2")
        .execute(&mut database)
        .await
        .unwrap();
    let bent = root.run(&["audit", "verify"]).await;
    assert_eq!(bent.status, 1);
    assert!(bent.stderr.contains("audit record 2"), "{}", bent.stderr);
}

#[tokio::test]
async fn a_key_whose_secret_was_lost_between_commit_and_answer_is_given_to_the_repeated_call() {
    let mut gateway = Gateway::demo().start().await;
    let address = gateway.demo_env().get("TURNPIKE_ADMIN_ADDR").to_owned();
    let token = gateway.demo_env().get("TURNPIKE_ADMIN_TOKEN").to_owned();
    let deaf = Cli::new(&one_way(&address).await, &token);
    let create = ["key", "create", "--org", "demo", "--name", "lost", "--request-id", "once"];
    let lost = tokio::spawn(async move { deaf.run(&create).await });
    let mut database = open(&gateway).await;
    eventually("the key is committed", async || {
        let kept =
            sqlx::query("SELECT request_id FROM admin_answer").fetch_all(&mut database).await;
        (!kept.unwrap().is_empty()).then_some(())
    })
    .await;
    database.close().await.unwrap();
    gateway.kill9().await;
    let lost = lost.await.unwrap();
    assert_eq!((lost.status, lost.stdout.as_str()), (3, ""), "{}", lost.stderr);

    gateway.restart().await;
    let found = gateway.admin().run(&create).await;
    assert_eq!(found.status, 0, "{}", found.stderr);
    let again = gateway.admin().run(&create).await;
    assert_eq!(again.stdout, found.stdout);
    let answer = gateway.chat(found.stdout.trim(), say(2)).await;
    assert_eq!(answer.status, 200);
}

async fn open(gateway: &Gateway) -> SqliteConnection {
    let file = gateway.data_dir().join("turnpike.db");
    SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap()
}

/// A way to an address on which nothing comes back, until the one who is there is gone.
async fn one_way(address: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let there = address.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(there).await.unwrap();
        let mut nowhere = io::sink();
        let (mut from_client, _) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            _ended = io::copy(&mut from_client, &mut to_server) => {}
            _ended = io::copy(&mut from_server, &mut nowhere) => {}
        }
    });
    here
}
