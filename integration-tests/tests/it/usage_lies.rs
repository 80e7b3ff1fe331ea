//! What upstreams report that is not so (`docs/faults.md`, 43 to 48): what can be believed is charged once, the rest is
//! counted by us, the bill says so, and no report makes a customer pay more than was held and is there.

use integration_tests::{Account, Bill, Gateway, NewOrg, say};
use serde_json::{Value, json};

/// What `demo/chat` costs the demo's customers: nano-units per token, and per search.
const INPUT_NANO: i64 = 600;
const CACHED_NANO: i64 = 60;
const OUTPUT_NANO: i64 = 1_800;
const SEARCH_NANO: i64 = 12_000_000;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;
/// Tokens of the answers of this file.
const SAID: i64 = 20;

/// A report, and what becomes of it.
struct Lie {
    report: Value,
    /// Quantity and provenance of each side.
    input: (i64, &'static str),
    output: (i64, &'static str),
    is_noticed: bool,
}

fn lies() -> Vec<Lie> {
    let counted_input = (PROMPT, "counted");
    let counted_output = (SAID, "counted");
    let reported = |count| (count, "reported");
    let lie = |report, input, output, is_noticed| Lie { report, input, output, is_noticed };
    let both = |prompt: Value, completion: Value| json!({"prompt_tokens": prompt, "completion_tokens": completion});
    vec![
        lie(json!({}), counted_input, counted_output, false),
        lie(both(json!(0), json!(0)), counted_input, counted_output, false),
        lie(both(json!(null), json!(null)), counted_input, counted_output, false),
        lie(both(json!(-8), json!(-20)), counted_input, counted_output, true),
        lie(both(json!(8.5), json!(20.5)), counted_input, counted_output, true),
        lie(both(json!("8"), json!("20")), counted_input, counted_output, true),
        lie(both(json!([8]), json!({"tokens": 20})), counted_input, counted_output, true),
        lie(both(json!(1_u64 << 63), json!(u64::MAX)), counted_input, counted_output, true),
        lie(
            both(json!(4_000_000_000_u64), json!(4_000_000_000_u64)),
            counted_input,
            counted_output,
            true,
        ),
        lie(both(json!(8), json!(100_000)), reported(8), counted_output, true),
        lie(both(json!(100_000), json!(20)), counted_input, reported(20), true),
        lie(both(json!(8), json!(0)), reported(8), counted_output, false),
        lie(both(json!(0), json!(20)), counted_input, reported(20), false),
        // Too little is the upstream's own loss.
        lie(both(json!(8), json!(1)), reported(8), reported(1), false),
        lie(
            json!({"prompt_tokens": 8, "completion_tokens": 20, "total_tokens": 5}),
            reported(8),
            reported(20),
            true,
        ),
    ]
}

#[tokio::test]
async fn a_report_that_cannot_be_is_counted_and_noticed_and_the_rest_is_believed() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "lies", 1).await;
    for Lie { report, input, output, is_noticed } in lies() {
        for streams in [false, true] {
            let mut body = say(20);
            body["stream"] = streams.into();
            body["x_simulator"]["usage"] = report.clone();
            let reply = gateway.chat(&account.org.key, body).await;
            assert_eq!(reply.status, 200, "{report}: {}", reply.text());
            let bill = account.charged(&gateway, reply.request_id()).await;
            let side = |class| (bill.quantity(class), bill.provenance(class).to_owned());
            assert_eq!(side("input"), (input.0, input.1.to_owned()), "{report}: {}", bill.0);
            assert_eq!(side("output"), (output.0, output.1.to_owned()), "{report}: {}", bill.0);
            assert_eq!(bill.charge(), input.0 * INPUT_NANO + output.0 * OUTPUT_NANO, "{report}");
            assert_eq!((bill.is_anomalous(), bill.uncollected()), (is_noticed, 0), "{report}");
        }
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn parts_that_are_larger_than_their_whole_or_told_twice_stay_within_it() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "parts", 1).await;
    let usage = |more: Value| {
        let mut usage = json!({"prompt_tokens": 8, "completion_tokens": 20, "total_tokens": 28});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        usage
    };
    let cached = |count: u64| json!({"prompt_tokens_details": {"cached_tokens": count}});
    let thought = json!({"completion_tokens_details": {"reasoning_tokens": 99}});
    let dialects = json!({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 5, "cached_tokens": 2});
    // Cached, other input, reasoning, other output.
    let table = [
        (usage(cached(5)), [5, 3, 0, 20], false),
        (usage(cached(99)), [8, 0, 0, 20], true),
        (usage(thought), [0, 8, 20, 0], true),
        (usage(dialects), [5, 3, 0, 20], false),
    ];
    for (report, expected, is_noticed) in table {
        let mut body = say(20);
        body["x_simulator"]["usage"] = report.clone();
        let reply = gateway.chat(&account.org.key, body).await;
        let bill = account.charged(&gateway, reply.request_id()).await;
        let classes =
            ["cache_read", "input", "reasoning", "output"].map(|class| bill.quantity(class));
        assert_eq!(classes, expected, "{report}: {}", bill.0);
        let [cached, input, reasoning, output] = expected;
        let charge = cached * CACHED_NANO + input * INPUT_NANO + (reasoning + output) * OUTPUT_NANO;
        assert_eq!((bill.charge(), bill.is_anomalous()), (charge, is_noticed), "{report}");
    }
    gateway.admin().reconciled().await;
}

/// A stream of three words whose chunks report these; one more report than words stands before `[DONE]`, or after it.
fn reporting(reports: &[Value], is_late: bool) -> Value {
    let mut events = Vec::new();
    for word in ["one", " two", " three"] {
        let choice = json!({"index": 0, "delta": {"content": word}, "finish_reason": null});
        let mut event = json!({"id": "c", "model": "gpt-dear", "choices": [choice]});
        if let Some(report) = reports.get(events.len()) {
            event["usage"] = report.clone();
        }
        events.push(event.to_string());
    }
    events
        .push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string());
    let done = "[DONE]".to_owned();
    let last = reports.get(3).map(|report| json!({"choices": [], "usage": report}).to_string());
    events.extend(
        if is_late { [Some(done), last] } else { [last, Some(done)] }.into_iter().flatten(),
    );
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let mut body = say(1);
    body["stream"] = true.into();
    body["x_simulator"] = json!({"raw": {"body": [text]}});
    body
}

#[tokio::test]
async fn of_many_reports_in_one_stream_the_largest_totals_count_once() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "reports", 1).await;
    let usage = |prompt: u64, completion: u64| json!({"prompt_tokens": prompt, "completion_tokens": completion});
    let growing = vec![usage(8, 1), usage(8, 2), usage(8, 3)];
    let nothing = || vec![Value::Null; 3];
    let with = |mut reports: Vec<Value>, last: Value| {
        reports.push(last);
        reports
    };
    let table = [
        ("growing", growing.clone(), false, false),
        ("growing, and the end again", with(growing, usage(8, 3)), false, false),
        ("shrinking", vec![usage(8, 3), usage(8, 2), usage(4, 1)], false, true),
        ("input first, output last", vec![usage(8, 0), Value::Null, usage(0, 3)], false, false),
        ("null, then the truth", with(nothing(), usage(8, 3)), false, false),
        ("the truth, then zeros", with(vec![usage(8, 3)], usage(0, 0)), false, false),
        ("after [DONE]", with(nothing(), usage(4, 1)), true, false),
    ];
    for (name, reports, is_late, is_noticed) in table {
        let reply = gateway.chat(&account.org.key, reporting(&reports, is_late)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert!(!reply.text().contains("usage"), "{name}: nobody asked for it: {}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 3 * OUTPUT_NANO, "{name}: {}", bill.0);
        let provenance = if is_late { "counted" } else { "reported" };
        assert_eq!(
            (bill.provenance("output"), bill.is_anomalous()),
            (provenance, is_noticed),
            "{name}"
        );
        assert_eq!(
            bill.0["model"], "demo/chat",
            "priced as what was asked for, not as what answered"
        );
    }
    gateway.admin().reconciled().await;
}

/// An answer of 500 words that claims so many tokens.
fn wordy(completion: u64) -> Value {
    let before = r#"{"id":"c","choices":[{"index":0,"finish_reason":"stop","message":{"content":""#;
    let after =
        format!(r#""}}}}],"usage":{{"prompt_tokens":8,"completion_tokens":{completion}}}}}"#);
    let headers = json!({"content-type": "application/json"});
    let words = json!({"repeat": "word ", "times": 500});
    let mut body = say(1);
    body["x_simulator"] = json!({"raw": {"headers": headers, "body": [before, words, after]}});
    body["max_tokens"] = 5.into();
    body
}

#[tokio::test]
async fn what_an_upstream_says_beyond_its_bound_is_charged_only_as_far_as_money_was_at_hand() {
    let gateway = Gateway::demo().start().await;
    let cost = PROMPT * INPUT_NANO + 2_000 * OUTPUT_NANO;
    for (name, credit, posted) in
        [("rich", "1.00 USD", 1_000_000_000), ("poor", "0.001 USD", 1_000_000)]
    {
        let org = gateway.create_org(NewOrg { credit, ..NewOrg::named(name) }).await;
        let mut account = Account { org, posted };
        let reply = gateway.chat(&account.org.key, wordy(2_000)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.charge() + bill.uncollected(), cost, "{}", bill.0);
        assert!(bill.charge() > 0 && account.posted >= 0, "{}", bill.0);
        assert!(bill.uncollected() > 0, "five tokens were held for, not 2 000: {}", bill.0);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn thinking_that_nobody_heard_is_believed_only_as_far_as_the_model_can_think() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "thoughts", 5).await;
    // The demo's model answers with 32 768 tokens at most.
    for (claimed, is_believed) in [(30_000, true), (40_000, false), (4_000_000_000_u64, false)] {
        let mut body = say(20);
        body["model"] = "demo/reasoning".into();
        let details = json!({"reasoning_tokens": claimed - 20});
        body["x_simulator"]["usage"] = json!({"prompt_tokens": 8, "completion_tokens": claimed, "completion_tokens_details": details});
        let reply = gateway.chat(&account.org.key, body).await;
        let bill = account.charged(&gateway, reply.request_id()).await;
        let output = bill.quantity("output") + bill.quantity("reasoning");
        let expected = if is_believed { i64::try_from(claimed).unwrap() } else { SAID + 4 };
        assert_eq!((output, bill.is_anomalous()), (expected, !is_believed), "{}", bill.0);
    }
    gateway.admin().reconciled().await;
}

async fn searched(gateway: &Gateway, account: &mut Account, asks: bool, made: u64) -> Bill {
    let mut body = say(20);
    if asks {
        body["web_search_options"] = json!({});
    }
    let tools = json!({"web_search_requests": made});
    body["x_simulator"]["usage"] =
        json!({"prompt_tokens": 8, "completion_tokens": 20, "server_tool_use": tools});
    let reply = gateway.chat(&account.org.key, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    account.charged(gateway, reply.request_id()).await
}

#[tokio::test]
async fn searches_are_held_for_and_charged_only_where_they_were_asked_for() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "searcher", 5).await;
    let without = PROMPT * INPUT_NANO + SAID * OUTPUT_NANO;
    for (asks, made, charged) in [(true, 3, 3), (true, 50, 10), (false, 3, 0), (true, 0, 0)] {
        let bill = searched(&gateway, &mut account, asks, made).await;
        assert_eq!(bill.quantity("web_search"), charged, "{}", bill.0);
        assert_eq!(bill.charge(), without + charged * SEARCH_NANO, "{}", bill.0);
        let is_more = i64::try_from(made).unwrap() > charged;
        assert_eq!(bill.is_anomalous(), is_more, "{}", bill.0);
    }
    // The context of the model, which tools may fill, is held at 0.3072 USD; ten searches are 0.12 USD more.
    let modest = NewOrg { credit: "0.40 USD", ..NewOrg::named("modest") };
    let modest = gateway.create_org(modest).await;
    let mut body = say(20);
    body["tools"] = json!([{"type": "web_search"}]);
    let refused = gateway.chat(&modest.key, body.clone()).await;
    assert_eq!((refused.status, &*refused.reason()), (402, "insufficient_balance"));
    body["tools"] = json!([{"type": "code_interpreter"}]);
    assert_eq!(gateway.chat(&modest.key, body).await.status, 200);
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_prompt_too_long_to_count_is_estimated_and_says_so() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__COUNTED_BYTES", "1000").start().await;
    let mut account = Account::open(&gateway, "long", 1).await;
    for (words, provenance) in [(100, "counted"), (1_000, "estimated")] {
        let mut body = say(20);
        body["messages"][0]["content"] = "word ".repeat(words).into();
        body["x_simulator"]["fault"] = "no_usage".into();
        let bytes = i64::try_from(body.to_string().len()).unwrap();
        let reply = gateway.chat(&account.org.key, body).await;
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.provenance("input"), provenance, "{}", bill.0);
        let input = bill.quantity("input");
        if provenance == "estimated" {
            assert_eq!(input, (bytes + 3) / 4, "{}", bill.0);
        }
        assert_eq!(bill.charge(), input * INPUT_NANO + SAID * OUTPUT_NANO);
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn an_answer_too_long_to_count_is_estimated_and_says_so() {
    let gateway =
        Gateway::demo().env("TURNPIKE__DATA_PLANE__LIMITS__COUNTED_BYTES", "1000").start().await;
    let mut account = Account::open(&gateway, "talker", 1).await;
    let mut body = say(1_000);
    body["x_simulator"]["fault"] = "no_usage".into();
    let reply = gateway.chat(&account.org.key, body).await;
    let answer = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().len();
    let bill = account.charged(&gateway, reply.request_id()).await;
    assert_eq!((bill.provenance("input"), bill.provenance("output")), ("counted", "estimated"));
    let output = i64::try_from(answer.div_ceil(4)).unwrap();
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + output * OUTPUT_NANO, "{}", bill.0);
}

#[tokio::test]
async fn answers_that_are_empty_or_ended_by_a_filter_cost_what_was_processed() {
    let gateway = Gateway::demo().start().await;
    let mut account = Account::open(&gateway, "filtered", 1).await;
    for (fault, at, said) in [("empty", 0, 0), ("content_filter", 3, 3)] {
        let mut body = say(20);
        body["stream"] = true.into();
        body["x_simulator"] = json!({"tokens": 20, "fault": fault, "at": at});
        let reply = gateway.chat(&account.org.key, body).await;
        let bill = account.charged(&gateway, reply.request_id()).await;
        assert_eq!(bill.outcome(), "completed", "{}", bill.0);
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + said * OUTPUT_NANO, "{fault}: {}", bill.0);
    }
    gateway.admin().reconciled().await;
}
