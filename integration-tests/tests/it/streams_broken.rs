//! Upstreams that break the rules of event streams (`docs/faults.md`, 29 to 37): the client has either the whole answer or
//! an error, and each request is settled once, for what it got.

use crate::errors::{Row, check};
use integration_tests::{Account, End, Event, EventStream, Gateway, Request, say};
use serde_json::{Value, json};
use std::net::TcpListener;

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;

/// A chat whose upstream answers with just this; see the simulator's README.
fn answered(raw: Value) -> Value {
    let mut body = say(1);
    body["x_simulator"] = json!({"raw": raw});
    body
}

/// A stream's id and all its events.
async fn whole(stream: EventStream) -> (String, Vec<Event>) {
    assert_eq!(stream.status(), 200);
    let id = stream.request_id().to_owned();
    let (events, end) = stream.rest().await;
    assert_eq!(end, End::Whole);
    (id, events)
}

fn chunk(words: &str) -> String {
    let choice = json!({"index": 0, "delta": {"content": words}, "finish_reason": null});
    json!({"id": "chatcmpl-raw", "choices": [choice]}).to_string()
}

fn finish() -> String {
    json!({"id": "chatcmpl-raw", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        .to_string()
}

fn usage(prompt: i64, completion: i64) -> String {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    json!({"id": "chatcmpl-raw", "choices": [], "usage": usage}).to_string()
}

/// A whole stream in plain writing.
fn plain(words: &[&str]) -> String {
    let words = words.iter().map(|words| chunk(words));
    let events = words.chain([finish(), usage(PROMPT, 3), "[DONE]".to_owned()]);
    events.map(|event| format!("data: {event}\n\n")).collect()
}

/// The same stream in all the ways that the rules allow.
fn writings(plain: &str) -> Vec<(&'static str, String)> {
    vec![
        ("plain", plain.to_owned()),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("CR", plain.replace('\n', "\r")),
        ("no space", plain.replace("data: ", "data:")),
        ("comments", plain.replace("data: ", ": OPENROUTER PROCESSING\n\n:\ndata: ")),
        ("BOM", format!("\u{feff}{plain}")),
        ("names and ids", plain.replace("data: ", "event: message\nid: 7\nretry: 10\ndata: ")),
        ("several lines", plain.replace(",\"choices\"", ",\ndata: \"choices\"")),
        ("no data", plain.replace("data: ", "data:\n\ndata: \n\ndata: ")),
        ("spaces at the end", plain.replace("[DONE]", "[DONE]  ")),
    ]
}

#[tokio::test]
async fn a_stream_is_the_same_answer_for_the_same_charge_however_it_is_written_and_cut() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "writings", 1).await;
    let plain = plain(&["日本語", " and ", "😀é"]);
    for (name, text) in writings(&plain) {
        for split in [json!(null), json!(1), json!(7)] {
            let mut body = answered(json!({"body": [text], "split": split}));
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
            let reply = gateway.chat(&account.org.key, body).await;
            assert_eq!(reply.status, 200, "{name} by {split}: {}", reply.text());
            // The `\r` before it has ended the last event, and nobody waits for more.
            let all_but_the_last_feed = |text: &str| text.trim_end_matches('\n').to_owned();
            let (seen, sent) = (all_but_the_last_feed(reply.text()), all_but_the_last_feed(&text));
            assert_eq!(seen, sent, "{name} by {split}");
            let bill = account.charged(&gateway, reply.request_id()).await;
            assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 3 * OUTPUT_NANO, "{name}: {}", bill.0);
            assert_eq!((bill.outcome(), bill.is_anomalous()), ("completed", false), "{name}");
        }
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn usage_that_nobody_asked_for_is_taken_out_and_the_word_usage_is_not() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "word", 1).await;
    let null = chunk("usage").replacen('{', "{\"usage\":null,", 1);
    let stream = plain(&["usage"]).replacen(&chunk("usage"), &null, 1);
    let expected = plain(&["usage"]).replace(&format!("data: {}\n\n", usage(PROMPT, 3)), "");
    for text in [stream, plain(&["usage"])] {
        let mut body = answered(json!({"body": [text]}));
        body["stream"] = true.into();
        let reply = gateway.chat(&account.org.key, body).await;
        assert_eq!(reply.text(), expected);
        account.charged(&gateway, reply.request_id()).await;
    }
}

/// How a stream that began well goes on, and what its client must see of its end.
struct Ending {
    name: &'static str,
    rest: Value,
    end: &'static str,
    /// The code of the error event; none for an answer that is whole.
    error: Option<u16>,
}

#[tokio::test]
async fn a_stream_ends_once_whole_or_with_an_error_event_and_is_charged_what_was_delivered() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "endings", 1).await;
    let event = |data: &str| format!("data: {data}\n\n");
    let finish = event(&finish());
    let ending = |name, rest, end, error| Ending { name, rest, end, error };
    let table = [
        ending("EOF after a word", json!([]), "whole", Some(502)),
        ending("EOF inside an event", json!(["data: {\"id\":\"x\",\"choi"]), "whole", Some(502)),
        ending("cut inside an event", json!(["data: {\"id\":\"x\",\"choi"]), "cut", Some(502)),
        ending("reset inside an event", json!(["data: {\"id\":\"x\","]), "reset", Some(502)),
        ending("[DONE] before the finish", json!([event("[DONE]")]), "whole", Some(502)),
        ending("HTML", json!([event("<html></html>")]), "whole", Some(502)),
        ending("no UTF-8", json!(["data: ", {"base64": "//4="}, "\n\n"]), "whole", Some(502)),
        ending(
            "an error in plain text",
            json!([event("{\"error\":\"overloaded\"}")]),
            "whole",
            Some(502),
        ),
        ending("no [DONE]", json!([finish]), "whole", None),
        ending("[DONE] that is not closed", json!([finish, "data: [DONE]"]), "whole", None),
        ending("two [DONE]", json!([finish, event("[DONE]"), event("[DONE]")]), "whole", None),
        ending(
            "more after [DONE]",
            json!([finish, event("[DONE]"), event(&chunk("more"))]),
            "whole",
            None,
        ),
        ending("reset after [DONE]", json!([finish, event("[DONE]")]), "reset", None),
    ];
    for Ending { name, rest, end, error } in table {
        let mut parts = vec![Value::from(event(&chunk("hello")))];
        parts.extend(rest.as_array().unwrap().clone());
        let body = answered(json!({"body": parts, "end": end}));
        let (id, events) = whole(gateway.stream(&account.org.key, body).await).await;
        ends_as_it_should(name, &events, error);
        let bill = account.charged(&gateway, &id).await;
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + OUTPUT_NANO, "{name}: {}", bill.0);
        assert_eq!(bill.provenance("output"), "counted", "{name}");
        let outcome = if error.is_some() { "upstream_failed" } else { "completed" };
        assert_eq!((bill.outcome(), bill.attempts()), (outcome, vec![""]), "{name}");
    }
    gateway.admin().reconciled_with(13).await;
}

fn ends_as_it_should(name: &str, events: &[Event], error: Option<u16>) {
    assert_eq!(events.iter().filter_map(Event::words).count(), 1, "{name}: {events:?}");
    let last = events.last().unwrap();
    let dones = events.iter().filter(|event| event.is_done()).count();
    match error {
        Some(code) => {
            let told = last.error().unwrap_or_else(|| panic!("{name} ended with {last:?}"));
            assert_eq!(told["code"], code, "{name}");
            assert_eq!(dones, 0, "{name} was presented as whole");
        }
        None => {
            assert!(events.iter().all(|event| event.error().is_none()), "{name}: {events:?}");
            assert!(dones <= 1, "{name}: {events:?}");
        }
    }
}

/// What cannot be an answer, and whether to a request for a stream.
fn no_answers() -> Vec<(&'static str, bool, Value)> {
    let json = |body: Value| json!({"headers": {"content-type": "application/json"}, "body": body});
    let events = |body: Value| json!({"body": body});
    let sse = plain(&["hello"]);
    let typed = |kind: &str, text: &str| json!({"headers": {"content-type": kind}, "body": [text]});
    vec![
        ("nothing", false, json(json!([]))),
        ("nothing", true, events(json!([]))),
        ("204", false, json!({"status": 204})),
        ("a stream that nobody asked for", false, events(json!([sse]))),
        ("a stream under another name", true, typed("text/plain", &sse)),
        (
            "a page under the name of a stream",
            true,
            events(json!(["<html><body>502</body></html>"])),
        ),
        ("a page", false, typed("text/html", "<html></html>")),
        ("a list", false, json(json!(["[1,2]"]))),
        ("null", false, json(json!(["null"]))),
        ("half an object", false, json(json!(["{\"id\":\"x\",\"choices\":["]))),
        (
            "gzip",
            false,
            json(json!([{"base64": "H4sIAAAAAAAAA6tWKkktLlGyUlAqS8wpTVWqBQAWEQJ2FAAAAA=="}])),
        ),
        ("[DONE] alone", true, events(json!(["data: [DONE]\n\n"]))),
        ("an error alone", true, events(json!(["data: {\"error\":{\"message\":\"x\"}}\n\n"]))),
        ("comments for ever", true, events(json!([{"repeat": ": ping\n\n", "times": 20_000}]))),
        ("one event for ever", true, events(json!(["data: ", {"repeat": "x", "times": 120_000}]))),
    ]
}

#[tokio::test]
async fn what_is_no_answer_is_tried_elsewhere_then_502_and_costs_nothing() {
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__EVENT_BYTES", "100000")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN", "1ms")
        .env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN_MAX", "1ms")
        .start()
        .await;
    let mut account = Account::open(&gateway, "no-answers", 1).await;
    for (name, streams, raw) in no_answers() {
        let mut body = answered(raw.clone());
        body["stream"] = streams.into();
        let reply = gateway.chat(&account.org.key, body.clone()).await;
        let row = Row { status: 502, error_type: "provider_unavailable", names: "upstream" };
        check(&reply, &row);
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}");
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!((bill.charge(), bill.attempts().len()), (0, 2), "{name}: {}", bill.0);
        assert!(bill.attempts().iter().all(|error| !error.is_empty()), "{name}: {}", bill.0);

        body["x_simulator"] = json!({"raw": raw, "attempt": 1, "tokens": 2});
        let reply = gateway.chat(&account.org.key, body).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.attempts().len(), 2, "{name}: {}", bill.0);
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 2 * OUTPUT_NANO, "{name}: {}", bill.0);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_whole_answer_to_a_request_for_a_stream_passes_and_is_charged() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "whole", 1).await;
    let message = json!({"role": "assistant", "content": "hello"});
    let answer =
        json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let kind = json!({"content-type": "application/json"});
    let mut body = answered(json!({"headers": kind, "body": [answer.to_string()]}));
    body["stream"] = true.into();
    let reply = gateway.chat(&account.org.key, body).await;
    assert_eq!((reply.status, reply.text()), (200, answer.to_string().as_str()));
    let bill = account.charged(&gateway, reply.request_id()).await;
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + OUTPUT_NANO, "{}", bill.0);
}

#[tokio::test]
async fn an_event_of_fifty_megabytes_ends_its_stream_and_not_the_others() {
    let gateway = Gateway::demo().env("TURNPIKE__DATA_PLANE__CORES", "1").start().await;
    let mut account = Account::open(&gateway, "huge", 1).await;
    let first = format!("data: {}\n\n", chunk("hello"));
    let huge = json!({"body": [first, "data: ", {"repeat": "x", "times": 50 << 20}]});
    let client = gateway.client();
    let key = account.org.key.clone();
    let listening =
        tokio::spawn(
            async move { whole(client.stream(&key, answered(huge)).await.unwrap()).await },
        );
    // The one core of this gateway reads the event, and others are served all the same.
    let mut served = 0;
    while !listening.is_finished() {
        let reply = gateway.send(&Request::get("/v1/models").bearer(gateway.api_key())).await;
        assert_eq!(reply.status, 200);
        served += 1;
    }
    assert!(served > 0);
    let (id, events) = listening.await.unwrap();
    let error = events.last().unwrap().error().unwrap();
    assert_eq!(error["code"], 502);
    assert!(error["message"].as_str().unwrap().contains("too large"), "{error}");
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + OUTPUT_NANO, "{}", bill.0);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn junk_in_retry_after_is_no_reason_to_wait_for_ever() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__COOLDOWN", "1ms").start().await;
    let table = [
        ("7", "7"),
        ("1000000000", "300"),
        ("99999999999999999999", "1"),
        ("-5", "1"),
        ("1.5", "1"),
        ("junk", "1"),
        ("0", "1"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "1"),
    ];
    for status in [429, 503] {
        for (asked, told) in table {
            let headers = json!({"retry-after": asked, "content-type": "application/json"});
            let body = answered(json!({"status": status, "headers": headers, "body": ["{}"]}));
            let reply = gateway.chat(gateway.api_key(), body).await;
            let row = Row { status: 503, error_type: "provider_overloaded", names: "overloaded" };
            check(&reply, &row);
            assert_eq!(reply.header("retry-after"), Some(told), "{asked}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_credential_goes_there() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "redirected", 1).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("http://{}/v1/chat/completions", elsewhere.local_addr().unwrap());
    for status in [301, 302, 303, 307, 308] {
        let body =
            answered(json!({"status": status, "headers": {"location": location}, "body": ["x"]}));
        let reply = gateway.chat(&account.org.key, body).await;
        let row = Row {
            status: 502,
            error_type: "provider_unavailable",
            names: "answered with an error",
        };
        check(&reply, &row);
        assert!(!reply.text().contains(&location), "{}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!((bill.charge(), bill.attempts()), (0, vec!["failed"; 2]), "{}", bill.0);
    }
    assert!(elsewhere.accept().is_err(), "somebody followed the redirect");
    // It would have been noticed.
    std::net::TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap();
    while elsewhere.accept().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_drips_for_ever_ends_at_the_longest_a_stream_may_take() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__STREAM_TIMEOUT", "1s").start().await;
    let mut account = Account::open(&gateway, "dripping", 1).await;
    let mut body = say(1_000_000);
    body["x_simulator"]["pace_ms"] = 100.into();
    let (id, events) = whole(gateway.stream(&account.org.key, body).await).await;
    assert_eq!(events.last().unwrap().error().unwrap()["code"], 504, "{:?}", events.last());
    let words = i64::try_from(events.iter().filter_map(Event::words).count()).unwrap();
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + words * OUTPUT_NANO, "{}", bill.0);
}
