//! P9: token classes × unit price = charge, for any request; and one nano-unit out of place anywhere is found and named.

use integration_tests::{Cli, Gateway, NewOrg, nano, say};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

const MILLION: i128 = 1_000_000;

/// Lines add up to the charge, and each is its quantity times its price, give or take the one rounding.
fn adds_up(bill: &Value) {
    let lines = bill["lines"].as_array().unwrap();
    let sum: i64 = lines.iter().map(|line| nano(&line["amount_nano"])).sum();
    assert_eq!(sum, nano(&bill["charge_nano"]) + nano(&bill["uncollected_nano"]), "{bill}");
    for line in lines {
        let exact =
            i128::from(nano(&line["quantity"])) * i128::from(nano(&line["unit_nano_per_million"]));
        let amount = i128::from(nano(&line["amount_nano"])) * MILLION;
        assert!((exact - amount).abs() < MILLION, "{line}");
    }
}

fn quantity(bill: &Value, class: &str) -> i64 {
    let lines = bill["lines"].as_array().unwrap();
    lines.iter().find(|line| line["class"] == class).map_or(0, |line| nano(&line["quantity"]))
}

/// Enough input to be believable as so many tokens.
fn asking(model: &str, usage: Value) -> Value {
    let mut body = say(64);
    body["model"] = model.into();
    body["messages"][0]["content"] = "word ".repeat(1_000).into();
    body["x_simulator"]["usage"] = usage;
    body
}

#[tokio::test]
async fn every_class_that_an_upstream_reports_is_a_line_of_the_bill() {
    let gateway = Gateway::demo().start().await;
    let usage = json!({
        "prompt_tokens": 1_000, "completion_tokens": 60, "total_tokens": 1_060,
        "prompt_tokens_details": {"cached_tokens": 301, "cache_write_tokens": 103, "audio_tokens": 57, "image_tokens": 11},
        "completion_tokens_details": {"reasoning_tokens": 17, "audio_tokens": 7, "image_tokens": 5},
    });
    let reply = gateway.chat(gateway.api_key(), asking("demo/chat", usage)).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    adds_up(&bill);
    let expected = [
        ("input", 528),
        ("cache_read", 301),
        ("cache_write_5m", 103),
        ("audio_in", 57),
        ("image_in", 11),
        ("output", 31),
        ("reasoning", 17),
        ("audio_out", 7),
        ("image_out", 5),
    ];
    for (class, count) in expected {
        assert_eq!(quantity(&bill, class), count, "{class}: {bill}");
    }
    assert_eq!(bill["usage_anomaly"], false);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn beyond_a_threshold_every_token_costs_the_higher_price() {
    let gateway = Gateway::demo().start().await;
    let mut units = Vec::new();
    for input in [200_000, 200_001] {
        let mut body = asking(
            "demo/long",
            json!({"prompt_tokens": input, "completion_tokens": 10, "total_tokens": input + 10}),
        );
        body["messages"][0]["content"] = "word ".repeat(50_000).into();
        let reply = gateway.chat(gateway.api_key(), body).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        adds_up(&bill);
        assert_eq!(quantity(&bill, "input"), input);
        let line =
            bill["lines"].as_array().unwrap().iter().find(|line| line["class"] == "input").unwrap();
        units.push(nano(&line["unit_nano_per_million"]));
    }
    assert!(units[1] > units[0], "{units:?}");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_buyer_of_another_entity_pays_in_its_currency_by_its_markup() {
    let gateway = Gateway::demo().start().await;
    let chinese = NewOrg { entity: "cn", credit: "10.00 CNY", ..NewOrg::named("chinese") };
    let chinese = gateway.create_org(chinese).await;
    let mut body = say(50);
    body["model"] = "demo/cn-only".into();
    let reply = gateway.chat(&chinese.key, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bill = gateway.admin().bill(reply.request_id()).await;
    adds_up(&bill);
    assert_eq!(bill["currency"], "CNY");
    let charge = nano(&bill["charge_nano"]);
    assert!(charge > 0);
    assert_eq!(gateway.admin().balance("chinese").await.posted, 10_000_000_000 - charge);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_price_change_leaves_earlier_bills_as_they_were() {
    let gateway = Gateway::demo().start().await;
    let before = gateway.chat(gateway.api_key(), say(10)).await;
    let bill = gateway.admin().bill(before.request_id()).await;
    let rule = "kind: MarkupRule\nname: dearer\nspec: {priority: 1000, percent: '300'}\n";
    gateway.admin().apply(rule).await;
    let after = gateway.chat(gateway.api_key(), say(10)).await;
    let dearer = gateway.admin().bill(after.request_id()).await;
    adds_up(&dearer);
    assert!(nano(&dearer["charge_nano"]) > nano(&bill["charge_nano"]));
    assert!(nano(&dearer["price_revision"]) > nano(&bill["price_revision"]));
    assert_eq!(gateway.admin().bill(before.request_id()).await, bill);
    gateway.admin().reconciled().await;
}

/// One nano-unit out of place, and what must be named.
const DAMAGE: [(&str, &str); 7] = [
    ("UPDATE account SET posted = posted + 1 WHERE key_uid = 0", "demo"),
    ("UPDATE account SET held = held + 1 WHERE key_uid = 0", "demo"),
    ("UPDATE posting SET amount = amount + 1 WHERE debit LIKE 'wallet:%'", "posting"),
    ("UPDATE usage_record SET charge_nano = charge_nano + 1", "req-"),
    ("UPDATE lot SET remaining = remaining - 1", "lot"),
    ("UPDATE key_usage SET charge_nano = charge_nano + 1", "demo/first"),
    ("UPDATE slice SET granted = granted + 1", "wallet demo"),
];

async fn tamper(gateway: &Gateway, statement: &'static str) {
    let url = format!("sqlite://{}", gateway.data_dir().join("turnpike.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let changed = sqlx::query(statement).execute(&mut database).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    database.close().await.unwrap();
}

async fn differences(admin: &Cli) -> Vec<Value> {
    let output = admin.run(&["reconcile", "-o", "json"]).await;
    assert_eq!(output.status, 1, "{}", output.stdout);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(found["ok"], false);
    found["differences"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_nano_unit_out_of_place_is_found_and_named() {
    let mut gateway = Gateway::demo().start().await;
    let reply = gateway.chat(gateway.api_key(), say(10)).await;
    gateway.admin().bill(reply.request_id()).await;
    gateway.admin().reconciled().await;
    for (statement, names) in DAMAGE {
        let undo: &'static str = Box::leak(invert(statement).into_boxed_str());
        gateway.stop().await;
        tamper(&gateway, statement).await;
        gateway.restart().await;
        let found = differences(&gateway.admin()).await;
        let text = Value::from(found).to_string();
        assert!(text.contains(names), "{statement} gave {text}");
        gateway.stop().await;
        tamper(&gateway, undo).await;
        gateway.restart().await;
        gateway.admin().reconciled().await;
    }
}

fn invert(statement: &str) -> String {
    let swapped = statement.replace("+ 1", "- #").replace("- 1", "+ 1").replace("- #", "- 1");
    assert_ne!(swapped, statement);
    swapped
}
