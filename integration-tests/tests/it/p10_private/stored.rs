//! Content of orgs that want it kept: sealed on the disk, read by one command, gone when it is not wanted or old.

use super::needle::Needle;
use super::{CHAT, SAID, files, planted};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Cli, Client, Gateway, GatewayBuilder, OrgHandle, Request, eventually};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use std::fs;

fn sweeping() -> GatewayBuilder {
    Gateway::demo().env("TURNPIKE__CONTROL_PLANE__CONTENT__SWEEP_INTERVAL", "50ms")
}

async fn wants_content(gateway: &Gateway, org: &str, wants: bool) {
    let spec =
        format!("{{entity: global, plan: demo, audience: standard, store_content: {wants}}}");
    gateway.admin().apply(&format!("kind: Org\nname: {org}\nspec: {spec}\n")).await;
}

async fn open_org(gateway: &Gateway) -> OrgHandle {
    let org = gateway.new_org("open", "1.00 USD").await;
    wants_content(gateway, "open", true).await;
    org
}

async fn ask(gateway: &Gateway, key: &str, stream: bool) -> String {
    let request = Request::post(CHAT, planted(stream).to_string()).bearer(key);
    let reply = gateway.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.request_id().to_owned()
}

/// What was kept of a request, once it is.
async fn kept(gateway: &Gateway, request: &str) -> Value {
    let kept = eventually("the content is kept", async || {
        let output = gateway.admin().run(&["content", request, "-o", "json"]).await;
        (output.status == 0).then(|| serde_json::from_str(&output.stdout).unwrap())
    });
    let within = std::time::Duration::from_secs(20);
    tokio::time::timeout(within, kept).await.unwrap_or_else(|_| panic!("never: {request}"))
}

async fn gone(gateway: &Gateway, request: &str) {
    eventually("the content is gone", async || {
        let output = gateway.admin().run(&["content", request]).await;
        (output.status == 1 && output.stderr.contains("no content of request")).then_some(())
    })
    .await;
}

fn text(kept: &Value, field: &str) -> String {
    let bytes = STANDARD.decode(kept[field].as_str().unwrap_or_default()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A piece of what the database holds of a request.
async fn sealed(gateway: &Gateway, request: &str) -> Vec<u8> {
    let file = gateway.data_dir().join("content.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT sealed FROM content WHERE request_id = $1").bind(request);
    let text: String = row.fetch_one(&mut connection).await.unwrap().get(0);
    connection.close().await.unwrap();
    text.as_bytes()[..64].to_vec()
}

/// How often the audit chain says that the content of a request was read.
async fn readings(gateway: &Gateway, request: &str) -> i64 {
    let file = gateway.data_dir().join("turnpike.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let count = "SELECT COUNT(*) FROM audit_record WHERE resource = $1 AND outcome = 'done'";
    let row = sqlx::query(count).bind(format!("Content {request}"));
    let readings = row.fetch_one(&mut connection).await.unwrap().get(0);
    connection.close().await.unwrap();
    readings
}

fn is_on_the_disk(gateway: &Gateway, piece: &[u8]) -> bool {
    files(gateway.data_dir()).iter().any(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(piece.len()).any(|window| window == piece)
    })
}

#[tokio::test]
async fn content_that_is_wanted_is_sealed_on_the_disk_and_read_by_the_command() {
    let gateway = Gateway::demo().start().await;
    let org = open_org(&gateway).await;
    let (answer, stream) =
        (ask(&gateway, &org.key, false).await, ask(&gateway, &org.key, true).await);
    for (request, is_stream) in [(&answer, false), (&stream, true)] {
        let kept = kept(&gateway, request).await;
        assert_eq!(
            (&kept["request_id"], &kept["org"]),
            (&Value::from(request.as_str()), &"open".into())
        );
        assert_eq!(text(&kept, "prompt"), planted(is_stream).to_string());
        let completion = text(&kept, "completion");
        assert!(completion.contains("chatcmpl") && completion.contains("\"stop\""), "{completion}");
        assert_eq!(completion.starts_with("data: "), is_stream, "{completion}");
        assert_eq!(kept["prompt_cut"], false, "{kept}");
    }
    let said: Vec<Needle> = SAID.iter().map(|text| Needle::new(text)).collect();
    for path in files(gateway.data_dir()) {
        let bytes = fs::read(&path).unwrap_or_default();
        said.iter().for_each(|needle| needle.assert_absent(&path.display().to_string(), &bytes));
    }
    said.iter().for_each(|needle| needle.assert_absent("stderr", gateway.stderr().as_bytes()));
    for request in [&answer, &stream] {
        assert!(readings(&gateway, request).await > 0, "the audit chain tells of each reading");
    }
}

#[tokio::test]
async fn content_is_erased_once_its_org_does_not_want_it_any_more() {
    let gateway = sweeping().start().await;
    let org = open_org(&gateway).await;
    let request = ask(&gateway, &org.key, false).await;
    kept(&gateway, &request).await;
    let piece = sealed(&gateway, &request).await;
    assert!(is_on_the_disk(&gateway, &piece), "the positive control");
    wants_content(&gateway, "open", false).await;
    gone(&gateway, &request).await;
    eventually("its bytes are gone", async || (!is_on_the_disk(&gateway, &piece)).then_some(()))
        .await;
    let later = ask(&gateway, &org.key, false).await;
    gateway.admin().bill(&later).await;
    gone(&gateway, &later).await;
}

#[tokio::test]
async fn content_is_erased_when_it_is_old_and_the_bill_stays() {
    let gateway =
        sweeping().env("TURNPIKE__CONTROL_PLANE__CONTENT__RETENTION", "3 s").start().await;
    let org = open_org(&gateway).await;
    let request = ask(&gateway, &org.key, true).await;
    kept(&gateway, &request).await;
    let piece = sealed(&gateway, &request).await;
    gone(&gateway, &request).await;
    eventually("its bytes are gone", async || (!is_on_the_disk(&gateway, &piece)).then_some(()))
        .await;
    assert_eq!(gateway.admin().bill(&request).await["outcome"], "completed");
}

#[tokio::test]
async fn long_content_is_cut_and_what_finds_no_room_is_dropped_without_harm() {
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__CONTENT__BYTES", 100).start().await;
    let org = open_org(&gateway).await;
    let request = ask(&gateway, &org.key, true).await;
    let kept = kept(&gateway, &request).await;
    assert_eq!(text(&kept, "prompt"), planted(true).to_string().get(..100).unwrap());
    assert_eq!(text(&kept, "completion").len(), 100);
    assert_eq!((&kept["prompt_cut"], &kept["completion_cut"]), (&true.into(), &true.into()));

    let full =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__CONTENT__WAITING_BYTES", 10).start().await;
    let org = open_org(&full).await;
    let request = ask(&full, &org.key, false).await;
    assert_eq!(full.admin().bill(&request).await["outcome"], "completed");
    let metrics = Client::new(full.ops_url()).try_send(&Request::get("/metrics")).await.unwrap();
    assert!(metrics.text().contains("turnpike_contents_dropped_total 1"), "{}", metrics.text());
    assert_eq!(full.admin().run(&["content", &request]).await.status, 1);
}

/// A command line of an operator with that role and scope.
async fn operator(gateway: &Gateway, role: &str, scope: &[&str]) -> Cli {
    let name = format!("{role}{}", scope.concat());
    let mut create = vec!["operator", "create", &name, "--role", role, "-o", "json"];
    create.extend(scope);
    let made = gateway.admin().json(&create).await;
    Cli::new(gateway.demo_env().get("TURNPIKE_ADMIN_ADDR"), made["token"].as_str().unwrap())
}

#[tokio::test]
async fn content_is_read_by_owners_and_admins_of_its_org_and_by_nobody_else() {
    let gateway = Gateway::demo().start().await;
    let org = open_org(&gateway).await;
    let request = ask(&gateway, &org.key, false).await;
    kept(&gateway, &request).await;
    let scopes: [(&[&str], bool); 5] = [
        (&[], true),
        (&["--entity", "global"], true),
        (&["--org", "open"], true),
        (&["--entity", "cn"], false),
        (&["--org", "demo"], false),
    ];
    let mut read = 0;
    for (scope, is_own) in scopes {
        for (role, may_read) in
            [("owner", true), ("admin", true), ("billing", false), ("viewer", false)]
        {
            let cli = operator(&gateway, role, scope).await;
            let before = readings(&gateway, &request).await;
            let output = cli.run(&["content", &request, "-o", "json"]).await;
            let after = readings(&gateway, &request).await;
            let whom = format!("{role} of {scope:?}: {}", output.stderr);
            if may_read && is_own {
                read += 1;
                assert_eq!(output.status, 0, "{whom}");
                let told: Value = serde_json::from_str(&output.stdout).unwrap();
                assert_eq!(text(&told, "prompt"), planted(false).to_string(), "{whom}");
                assert_eq!(after, before + 1, "the audit chain tells of it: {whom}");
                continue;
            }
            let reason = if may_read { "no content of request" } else { "may not" };
            assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{whom}");
            assert!(output.stderr.contains(reason), "{whom}");
            assert_eq!(after, before, "{whom}");
        }
    }
    assert_eq!(read, 6);
}
