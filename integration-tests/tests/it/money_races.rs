//! Money that changes while requests run (`docs/faults.md`, 49 to 55, as far as one process): prices, keys, top-ups, and
//! amounts at the edge of what can be written.

use crate::errors::{Row, check};
use integration_tests::{Account, End, Event, Gateway, nano, say, units};
use serde_json::{Value, json};

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;

fn paced(tokens: u64, pace_ms: u64) -> Value {
    let mut body = say(tokens);
    body["x_simulator"]["pace_ms"] = pace_ms.into();
    body
}

#[tokio::test]
async fn a_price_that_changes_while_a_stream_runs_is_for_the_next_request() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "early", 1).await;
    let mut body = say(3);
    body["x_simulator"]["step"] = "slow".into();
    let (client, key, simulator) = (gateway.client(), account.org.key.clone(), gateway.simulator());
    let streaming = tokio::spawn(async move { client.stream(&key, body).await.unwrap() });
    simulator.step("slow").await;
    let mut stream = streaming.await.unwrap();
    assert!(stream.next().await.unwrap().words().is_some());
    let id = stream.request_id().to_owned();

    let rule = "kind: MarkupRule\nname: dearer\nspec: {priority: 1000, percent: '300'}\n";
    gateway.admin().apply(rule).await;
    let listening = tokio::spawn(stream.rest());
    while simulator.step("slow").await.json()["last"] != true {}
    let (events, end) = listening.await.unwrap();
    assert!(end == End::Whole && events.last().unwrap().is_done(), "{events:?}");

    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 3 * OUTPUT_NANO, "{}", bill.0);
    let reply = gateway.chat(&account.org.key, say(3)).await;
    let next = account.charged(&gateway, reply.request_id()).await;
    // Four times the cost, where it was 1.2 times.
    assert_eq!(next.charge() * 12, bill.charge() * 40, "{}", next.0);
    assert!(nano(&next.0["price_revision"]) > nano(&bill.0["price_revision"]));
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_stream_whose_key_is_disabled_ends_within_what_it_holds() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "withdrawn", 1).await;
    let mut stream = gateway.stream(&account.org.key, paced(100_000, 1)).await;
    assert!(stream.next().await.unwrap().words().is_some());
    let id = stream.request_id().to_owned();
    let keys = gateway.admin().json(&["get", "key", "-o", "json"]).await.to_string();
    let name = keys.split('"').find(|word| word.starts_with("withdrawn/")).unwrap().to_owned();
    let disabled = format!("kind: Key\nname: {name}\nspec: {{org: withdrawn, disabled: true}}\n");
    gateway.admin().apply(&disabled).await;

    let (events, _) = stream.rest().await;
    let error = events.last().unwrap().error().unwrap();
    assert_eq!(error["code"], 401, "{error}");
    let words = 1 + i64::try_from(events.iter().filter_map(Event::words).count()).unwrap();
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + words * OUTPUT_NANO, "{}", bill.0);
    assert_eq!(bill.uncollected(), 0);
    assert_eq!(gateway.chat(&account.org.key, say(1)).await.status, 401);
    gateway.admin().reconciled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_ups_that_race_with_requests_are_posted_once_each_and_nothing_is_lost() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__MONEY__WAIT_MAX", "30 s").start().await;
    let account = Account::open(&gateway, "busy", 10).await;
    let crediting: Vec<_> = (0..8)
        .map(|number| {
            let admin = gateway.admin();
            // Each amount is posted by two callers at once, under one idempotency key.
            let (amount, once) =
                (format!("0.{:09} USD", 1 + number / 2), format!("k-{}", number / 2));
            tokio::spawn(async move {
                let arguments = ["org", "credit", "busy", &amount, "--idempotency-key", &once];
                admin.run(&arguments).await
            })
        })
        .collect();
    let asking: Vec<_> = (0..60)
        .map(|number| {
            let (client, key) = (gateway.client(), account.org.key.clone());
            tokio::spawn(async move { client.chat(&key, say(number % 7 + 1)).await.unwrap() })
        })
        .collect();
    let mut charges = 0;
    for asked in asking {
        let reply = asked.await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        charges += nano(&gateway.admin().bill(reply.request_id()).await["charge_nano"]);
    }
    for credited in crediting {
        let credited = credited.await.unwrap();
        assert_eq!(credited.status, 0, "{}", credited.stderr);
    }
    let words: i64 = (0..60).map(|number| number % 7 + 1).sum();
    assert_eq!(charges, 60 * PROMPT * INPUT_NANO + words * OUTPUT_NANO);
    let posted = gateway.admin().balance("busy").await.posted;
    assert_eq!(posted, units(10) + 1 + 2 + 3 + 4 - charges);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_request_that_no_wallet_can_hold_is_refused_and_costs_nothing() {
    let gateway = Gateway::demo().start().await;
    let account = Account::open(&gateway, "dear", 1).await;
    let classes = [
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "image_in",
        "audio_in",
        "output",
        "reasoning",
        "audio_out",
        "image_out",
        "request",
        "web_search",
    ];
    let prices: Value =
        classes.iter().map(|class| ((*class).to_owned(), json!("3000000000"))).collect();
    let entry = json!({"model": "demo/dear", "prices": prices});
    let route = json!({"upstream": "demo-a", "model": "sim-chat", "priority": 1});
    let model = json!({
        "origin": "us", "context_length": 128_000, "max_output_tokens": 16_384,
        "input_modalities": ["text"], "routes": [route],
    });
    let book = json!({"currency": "USD", "upstreams": ["demo-a"], "entries": [entry]});
    // JSON is YAML.
    let documents = format!(
        "kind: Model\nname: demo/dear\nspec: {model}\n---\nkind: PriceBook\nname: dear\nspec: {book}\n"
    );
    gateway.admin().apply(&documents).await;
    let mut body = say(1);
    body["model"] = "demo/dear".into();
    let refused = gateway.chat(&account.org.key, body.clone()).await;
    check(&refused, &Row { status: 402, error_type: "payment_required", names: "top it up" });
    body["n"] = 128.into();
    let impossible = gateway.chat(&account.org.key, body).await;
    check(
        &impossible,
        &Row { status: 400, error_type: "invalid_request", names: "lower max_tokens" },
    );
    let balance = gateway.admin().balance("dear").await;
    assert_eq!((balance.posted, balance.free + balance.held), (units(1), units(1)));
    assert_eq!(gateway.admin().reconciled().await, 0);
}
