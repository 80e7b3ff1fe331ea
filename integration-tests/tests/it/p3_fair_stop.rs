//! P3: a stream whose money runs out ends after the last event that is wholly covered, with a 402 event; the input and
//! what was delivered are charged, nothing else.

use integration_tests::{Chance, Event, Gateway, nano, say};
use serde_json::Value;

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;

struct Bill {
    input: i64,
    output: i64,
    charge: i64,
}

fn read(bill: &Value) -> Bill {
    let quantity = |class: &str| {
        let lines = bill["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["class"] == class);
        line.map_or(0, |line| nano(&line["quantity"]))
    };
    Bill {
        input: quantity("input"),
        output: quantity("output"),
        charge: nano(&bill["charge_nano"]),
    }
}

#[tokio::test]
async fn a_stream_stops_after_the_last_event_that_its_balance_covers() {
    let gateway = Gateway::demo().start().await;
    let mut chance = Chance::new("p3");
    for round in 0..20 {
        // At least what the hold asks: the body's bytes as input, and one token.
        let balance = i64::try_from(chance.within(200_000..2_200_000)).unwrap();
        let org = gateway.new_org(&format!("p3-{round}"), &format!("0.{balance:09} USD")).await;
        let stream = gateway.stream(&org.key, say(5_000)).await;
        assert_eq!(stream.status(), 200, "balance {balance}");
        let id = stream.request_id().to_owned();
        let (events, _) = stream.rest().await;
        let delivered = i64::try_from(events.iter().filter_map(Event::words).count()).unwrap();
        let error = events.last().unwrap().error().expect("the last event is the error");
        assert_eq!(error["code"], 402, "{error}");
        assert_eq!(error["metadata"]["reason"], "insufficient_balance", "{error}");
        assert!(!events.iter().any(Event::is_done));

        let bill = gateway.admin().bill(&id).await;
        assert_eq!(bill["outcome"], "out_of_money");
        let Bill { input, output, charge } = read(&bill);
        assert_eq!(output, delivered, "balance {balance}");
        assert_eq!(charge, input * INPUT_NANO + output * OUTPUT_NANO, "balance {balance}");
        assert!(charge <= balance, "{charge} of {balance}");
        assert!(
            charge + OUTPUT_NANO > balance,
            "{charge} of {balance}: one more token was covered"
        );
        assert_eq!(gateway.admin().balance(&org.name).await.posted, balance - charge);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_stream_that_is_just_covered_ends_as_its_upstream_ended_it() {
    let gateway = Gateway::demo().start().await;
    let org = gateway.new_org("covered", "0.01 USD").await;
    for tokens in [1, 100, 255, 256, 257, 1_000] {
        let stream = gateway.stream(&org.key, say(tokens)).await;
        let id = stream.request_id().to_owned();
        let (events, _) = stream.rest().await;
        assert!(events.last().unwrap().is_done(), "{tokens}: {:?}", events.last());
        let bill = gateway.admin().bill(&id).await;
        let Bill { input, output, charge } = read(&bill);
        assert_eq!(output, i64::try_from(tokens).unwrap());
        assert_eq!(charge, input * INPUT_NANO + output * OUTPUT_NANO);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_stopped_is_bounded_by_what_the_wallet_affords() {
    let gateway = Gateway::demo().start().await;
    let org = gateway.new_org("bounded", "0.001 USD").await;
    let reply = gateway.chat(&org.key, say(5_000)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-turnpike-limited-by"), Some("balance"));
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    let bill = gateway.admin().bill(reply.request_id()).await;
    let charge = nano(&bill["charge_nano"]);
    assert!(charge <= 1_000_000, "{charge}");
    assert_eq!(gateway.admin().balance("bounded").await.posted, 1_000_000 - charge);
}
