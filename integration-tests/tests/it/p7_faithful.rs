//! P7: what a client sends reaches an upstream of its dialect unchanged but for what DESIGN names, and what the upstream
//! answers reaches the client unchanged, at once, chunk by chunk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Gateway, Request, load_factor, say};
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";
const MODEL: &str = r#""demo/vision""#;
const UPSTREAM_MODEL: &str = r#""sim-chat""#;

fn decoded(attempt: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(attempt[field].as_str().unwrap()).unwrap()
}

/// What the simulator was sent and what it sent, for one request.
async fn seen(gateway: &Gateway, request_id: &str) -> (Vec<u8>, Vec<u8>) {
    let attempts = gateway.simulator().attempts_of(request_id, 1).await;
    (decoded(&attempts[0], "request_body"), decoded(&attempts[0], "response_body"))
}

/// Bodies that a parser would be tempted to tidy up.
fn corpus() -> Vec<String> {
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let picture = "A".repeat(1 << 20);
    vec![
        format!(r#"{{"model":{MODEL},{messages}}}"#),
        format!("{{\r\n\t\"model\" :\t{MODEL} ,\r\n {messages}\r\n}}\r\n"),
        format!("  \n{{{messages},\"model\":{MODEL}}}\n\n"),
        format!(
            r#"{{"big":123456789012345678901234567890,"one":1.0,"e":1e2,"neg":-0,"model":{MODEL},{messages}}}"#
        ),
        format!(
            r#"{{"model":{MODEL},{messages},"temperature":0.70000000000000007,"seed":9007199254740993}}"#
        ),
        format!(
            r#"{{"x":1,"x":2,"x":{{"model":"no","stream":true}},"model":{MODEL},{messages},"x":3}}"#
        ),
        format!(
            r#"{{"model":{MODEL},"messages":[{{"role":"user","content":"\u0068\u00e9\ud83d\ude00 \/ \" \\ 日本語"}}]}}"#
        ),
        format!(
            r#"{{"model":{MODEL},{messages},"":null,"nested":[[[[{{"a":[]}}]]]],"unicode\u0020key":"\u0000"}}"#
        ),
        format!(
            r#"{{"model":{MODEL},"messages":[{{"role":"user","content":[{{"type":"text","text":"see"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}}]}}"#
        ),
    ]
}

#[tokio::test]
async fn a_request_reaches_its_upstream_byte_for_byte_but_for_the_model() {
    let gateway = Gateway::demo().start().await;
    for body in corpus() {
        let request = Request::post(CHAT, body.clone()).bearer(gateway.api_key());
        let reply = gateway.send(&request).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(reply.status, 200, "{shown}: {}", reply.text());
        let (sent, answered) = seen(&gateway, reply.request_id()).await;
        let expected = body.replace(MODEL, UPSTREAM_MODEL);
        assert!(sent == expected.as_bytes(), "{shown} became {}", String::from_utf8_lossy(&sent));
        assert_eq!(reply.text().as_bytes(), answered, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_ask_at_once_is_not_mixed_up() {
    let gateway = Gateway::demo().start().await;
    let ask = async |number: usize| {
        let streams = number.is_multiple_of(2);
        let words = number.to_string().repeat(1 + number % 7_000);
        let body = format!(
            r#"{{"model":{MODEL},"stream":{streams},"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":"{words}"}}]}}"#
        );
        let request = Request::post(CHAT, body.clone()).bearer(gateway.api_key());
        let reply = gateway.send(&request).await;
        (body.replace(MODEL, UPSTREAM_MODEL), reply)
    };
    let replies = futures::future::join_all((0..64 * load_factor()).map(ask)).await;
    for (expected, reply) in replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let (sent, answered) = seen(&gateway, reply.request_id()).await;
        assert!(sent == expected.as_bytes(), "{} was changed", reply.request_id());
        assert!(reply.text().as_bytes() == answered, "{} was changed", reply.request_id());
    }
}

#[tokio::test]
async fn a_stream_is_changed_only_by_asking_its_upstream_for_usage() {
    let gateway = Gateway::demo().start().await;
    let rest = r#""n":1,"messages":[{"role":"user","content":"hi"}],"odd":1.0"#;
    let table = [
        (
            format!(r#"{{"model":{MODEL},"stream":true,{rest}}}"#),
            format!(
                r#"{{"stream_options":{{"include_usage":true}},"model":{UPSTREAM_MODEL},"stream":true,{rest}}}"#
            ),
        ),
        (
            format!(
                r#"{{"model":{MODEL},"stream":true,"stream_options":{{"include_usage":false}},{rest}}}"#
            ),
            format!(
                r#"{{"model":{UPSTREAM_MODEL},"stream":true,"stream_options":{{"include_usage":true}},{rest}}}"#
            ),
        ),
        (
            format!(
                r#"{{"model":{MODEL},"stream":true,"stream_options":{{"include_usage":true}},{rest}}}"#
            ),
            format!(
                r#"{{"model":{UPSTREAM_MODEL},"stream":true,"stream_options":{{"include_usage":true}},{rest}}}"#
            ),
        ),
    ];
    for (body, expected) in table {
        let asked = body.contains(r#""include_usage":true"#);
        let request = Request::post(CHAT, body.clone()).bearer(gateway.api_key());
        let reply = gateway.send(&request).await;
        let (sent, answered) = seen(&gateway, reply.request_id()).await;
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        let answered = String::from_utf8(answered).unwrap();
        let wanted = if asked { answered } else { without_usage(&answered) };
        assert_eq!(reply.text(), wanted, "{body}");
    }
}

/// The stream without the event that holds nothing but usage.
fn without_usage(stream: &str) -> String {
    let events = stream.split_inclusive("\n\n");
    let kept = events.filter(|event| {
        !event.contains(r#""choices":[],"usage""#) && !event.contains(r#""usage":{"#)
    });
    let kept: String = kept.collect();
    assert!(kept.len() < stream.len(), "the upstream was asked for usage, and sent none: {stream}");
    kept
}

#[tokio::test]
async fn each_chunk_reaches_the_client_before_the_next_one_exists() {
    let gateway = Gateway::demo().start().await;
    let simulator = gateway.simulator();
    let mut body = say(8);
    body["x_simulator"]["step"] = "lockstep".into();
    let stepping = {
        let simulator = simulator.clone();
        async move { simulator.step("lockstep").await }
    };
    let (stream, _) = tokio::join!(gateway.stream(gateway.api_key(), body), stepping);
    let mut stream = stream;
    let mut words = 0;
    loop {
        // The chunk that was released last must be here now; the next one is only released after it was.
        let event = stream.next().await.unwrap();
        words += usize::from(event.words().is_some());
        if event.is_done() {
            break;
        }
        let released = simulator.step("lockstep").await;
        assert_eq!(released.status, 200, "{}", released.text());
        if words == 8 && event.words().is_none() {
            // Finish, usage and the end are chunks, too; usage is not for this client.
            while simulator.step("lockstep").await.status == 200 {}
        }
    }
    assert_eq!(words, 8);
}

#[tokio::test]
async fn the_cost_is_added_to_usage_where_it_was_asked_for() {
    let gateway = Gateway::demo().start().await;
    for streams in [false, true] {
        let mut body = say(10);
        body["usage"] = serde_json::json!({"include": true});
        body["stream"] = streams.into();
        let reply = gateway.chat(gateway.api_key(), body).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        let charge = integration_tests::nano(&bill["charge_nano"]);
        let usage = if streams {
            let event =
                reply.text().split("\n\n").find(|event| event.contains("\"cost\"")).unwrap();
            let json: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            json["usage"].clone()
        } else {
            reply.json()["usage"].clone()
        };
        let cost = usage["cost"].to_string();
        let nano = cost.parse::<f64>().unwrap() * 1e9;
        assert!((nano - charge as f64).abs() < 0.5, "{cost} is not {charge} nano-units");
    }
}
