//! Clients that leave, and upstreams that do not count or count wrongly: exactly one event, and a charge that can be told.

use integration_tests::{Event, Gateway, eventually, nano, say};
use serde_json::Value;

fn line<'a>(bill: &'a Value, class: &str) -> &'a Value {
    bill["lines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["class"] == class)
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_its_upstream_and_pays_for_what_it_got() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(10_000);
    body["x_simulator"]["pace_ms"] = 20.into();
    let mut stream = gateway.stream(gateway.api_key(), body).await;
    let id = stream.request_id().to_owned();
    for _ in 0..5 {
        stream.next().await.unwrap();
    }
    stream.drop_connection();
    let attempts = gateway.simulator().attempts_of(&id, 1).await;
    assert_eq!(attempts[0]["ended"], "client_gone", "{}", attempts[0]);
    let bill = gateway.admin().bill(&id).await;
    assert_eq!(bill["outcome"], "client_gone");
    let output = nano(&line(&bill, "output")["quantity"]);
    assert!((5..1_000).contains(&output), "{bill}");
    assert_eq!(line(&bill, "output")["provenance"], "counted");
    assert!(nano(&line(&bill, "input")["quantity"]) > 0, "a hang-up is never free");
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_a_whole_answer_pays_for_it_once() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(5);
    body["x_simulator"]["fault"] = "slow_first_token".into();
    body["x_simulator"]["delay_ms"] = 2_000.into();
    let before = gateway.admin().reconciled().await;
    {
        let client = gateway.client();
        let asking = client.chat(gateway.api_key(), body);
        let mut reader = gateway.simulator().reader();
        tokio::select! {
            reply = asking => panic!("answered before it could leave: {reply:?}"),
            () = async {
                while reader.running().next().is_none() {
                    reader.read_on().await;
                }
            } => {}
        }
    }
    let after = eventually("the request is billed", async || {
        let events = gateway.admin().reconciled().await;
        (events > before).then_some(events)
    })
    .await;
    assert_eq!(after, before + 1);
    let usage = gateway.admin().usage("demo").await;
    assert_eq!(usage[0]["outcome"], "client_gone", "{}", usage[0]);
    assert_eq!(nano(&usage[0]["output_tokens"]), 5);
}

#[tokio::test]
async fn an_upstream_that_reports_nothing_is_counted() {
    let gateway = Gateway::demo().start().await;
    for streams in [true, false] {
        let truth = {
            let mut body = say(37);
            body["stream"] = streams.into();
            let reply = gateway.chat(gateway.api_key(), body).await;
            gateway.admin().bill(reply.request_id()).await
        };
        let mut body = say(37);
        body["stream"] = streams.into();
        body["x_simulator"]["fault"] = "no_usage".into();
        let reply = gateway.chat(gateway.api_key(), body).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        for class in ["input", "output"] {
            assert_eq!(line(&truth, class)["provenance"], "reported");
            assert_eq!(line(&bill, class)["provenance"], "counted", "{bill}");
            assert_eq!(line(&bill, class)["quantity"], line(&truth, class)["quantity"], "{class}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_reports_the_impossible_is_not_believed() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(20);
    body["x_simulator"]["usage"] = serde_json::json!({"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, "total_tokens": 2_000_000});
    let reply = gateway.chat(gateway.api_key(), body).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    assert_eq!(bill["usage_anomaly"], true, "{bill}");
    assert_eq!(nano(&line(&bill, "output")["quantity"]), 20);
    assert_eq!(line(&bill, "output")["provenance"], "counted");
    assert_eq!(nano(&bill["uncollected_nano"]), 0);
}

#[tokio::test]
async fn a_stream_without_done_is_whole_when_its_answer_was_finished() {
    let gateway = Gateway::demo().start().await;
    let mut body = say(3);
    body["x_simulator"]["fault"] = "no_done".into();
    let stream = gateway.stream(gateway.api_key(), body).await;
    let id = stream.request_id().to_owned();
    let (events, _) = stream.rest().await;
    assert!(events.iter().all(|event| event.error().is_none()), "{events:?}");
    assert_eq!(events.iter().filter_map(Event::words).count(), 3);
    assert_eq!(gateway.admin().bill(&id).await["outcome"], "completed");
}
