//! Spans, as a collector gets them: one for the request, one for each attempt, and never at a request's cost.

use integration_tests::{Collector, Gateway, GatewayBuilder, Request, Span, eventually, say};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traced(collector: &Collector) -> GatewayBuilder {
    Gateway::demo()
        .env("TURNPIKE__TRACES__ENDPOINT", collector.url())
        .env("TURNPIKE__TRACES__SAMPLE_RATIO", 1)
        .env("TURNPIKE__TRACES__EXPORT_INTERVAL", "20ms")
        .env("TURNPIKE__LOG__ACCESS", "on")
        .env("TURNPIKE__LOG__FORMAT", "json")
}

fn first_attempt(fault: &str) -> Value {
    let mut body = say(5);
    body["x_simulator"]["fault"] = fault.into();
    body["x_simulator"]["attempt"] = 1.into();
    body
}

fn from_caller(gateway: &Gateway, flags: &str) -> Request {
    Request::post("/v1/chat/completions", say(2).to_string())
        .bearer(gateway.api_key())
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-{flags}"))
        .header("tracestate", "vendor=PLANTEDSTATE")
}

async fn told_upstream(gateway: &Gateway, request_id: &str) -> Option<String> {
    let attempts = gateway.simulator().attempts_of(request_id, 1).await;
    let headers = attempts[0]["request_headers"].as_array().unwrap().clone();
    let pair = headers.iter().find(|pair| pair[0] == "traceparent")?;
    Some(pair[1].as_str().unwrap().to_owned())
}

fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(span.attribute(name), *value, "{name} of {span:?}");
    }
}

#[tokio::test]
async fn a_failover_is_one_request_span_with_one_span_for_each_attempt() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).start().await;
    let stream = gateway.stream(gateway.api_key(), first_attempt("server_error")).await;
    let id = stream.request_id().to_owned();
    stream.rest().await;
    let (request, attempts) = collector.request(&id).await;
    assert_eq!((request.kind, request.name.as_str()), (SERVER, "POST /v1/chat/completions"));
    assert_eq!(request.parent_id, "");
    assert_eq!(request.resource.get("service.name").unwrap(), "turnpike");
    assert!(!request.is_error);
    let of_request = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("gen_ai.request.model", "demo/chat"),
        ("turnpike.outcome", "completed"),
        ("turnpike.attempts", "2"),
        ("error.type", ""),
    ];
    assert_attributes(&request, &of_request);
    let [failed, served] = attempts.as_slice() else { panic!("{attempts:?}") };
    for attempt in [failed, served] {
        assert_eq!((attempt.kind, &attempt.trace_id), (CLIENT, &request.trace_id));
        assert!(attempt.name.starts_with("chat "), "{}", attempt.name);
        let of_any = [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "simulator"),
            ("gen_ai.original.model", "demo/chat"),
            ("gen_ai.request.stream", "true"),
            ("server.address", "127.0.0.1"),
        ];
        assert_attributes(attempt, &of_any);
    }
    assert_ne!(failed.attribute("turnpike.upstream"), served.attribute("turnpike.upstream"));
    assert!(failed.is_error);
    assert_attributes(failed, &[("error.type", "failed"), ("http.response.status_code", "500")]);
    assert!(!served.is_error);
    let of_served = [
        ("error.type", ""),
        ("gen_ai.usage.output_tokens", "5"),
        ("gen_ai.response.finish_reasons", "stop"),
    ];
    assert_attributes(served, &of_served);
    let wait: f64 = served.attribute("gen_ai.response.time_to_first_chunk").parse().unwrap();
    assert!(wait > 0.0 && wait < 60.0, "{wait}");
    assert!(request.duration_ns >= served.duration_ns);
    let said = gateway.stderr();
    let line = said.lines().find(|line| line.contains("request settled") && line.contains(&id));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["trace_id"], request.trace_id, "the usage event has the trace's id");
    assert_eq!(line["span_id"], request.span_id, "a log line of the request says where it belongs");
}

#[tokio::test]
async fn every_way_in_which_a_request_ends_is_told_by_its_spans() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).start().await;

    let answer = gateway.chat(gateway.api_key(), say(4)).await;
    let (request, attempts) = collector.request(answer.request_id()).await;
    assert_attributes(&request, &[("turnpike.outcome", "completed")]);
    assert_attributes(
        &attempts[0],
        &[("gen_ai.usage.output_tokens", "4"), ("gen_ai.request.stream", "false")],
    );

    let mut endless = say(10_000);
    endless["x_simulator"]["pace_ms"] = 20.into();
    let mut stream = gateway.stream(gateway.api_key(), endless).await;
    let id = stream.request_id().to_owned();
    stream.next().await.unwrap();
    stream.drop_connection();
    let (request, attempts) = collector.request(&id).await;
    assert_attributes(
        &request,
        &[("turnpike.outcome", "client_gone"), ("error.type", "client_gone")],
    );
    assert_attributes(&attempts[0], &[("error.type", "client_gone")]);
    assert!(!attempts[0].is_error, "the upstream did nothing wrong");

    let poor = gateway.new_org("poor", "").await;
    let refused = gateway.chat(&poor.key, say(1)).await;
    assert_eq!(refused.status, 402);
    let (request, attempts) = collector.request(refused.request_id()).await;
    assert_attributes(
        &request,
        &[("http.response.status_code", "402"), ("error.type", "payment_required")],
    );
    assert!(attempts.is_empty(), "{attempts:?}");

    let short = gateway.new_org("short", "0.001 USD").await;
    let stream = gateway.stream(&short.key, say(5_000)).await;
    let id = stream.request_id().to_owned();
    stream.rest().await;
    let (request, attempts) = collector.request(&id).await;
    assert_attributes(
        &request,
        &[("turnpike.outcome", "out_of_money"), ("http.response.status_code", "402")],
    );
    assert_attributes(&attempts[0], &[("error.type", "out_of_money")]);

    let mut hopeless = first_attempt("server_error");
    hopeless["x_simulator"]["attempt"] = 9.into();
    let failed = gateway.chat(gateway.api_key(), hopeless).await;
    assert_eq!(failed.status, 502);
    let (request, attempts) = collector.request(failed.request_id()).await;
    assert!(request.is_error);
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert!(attempts.iter().all(|attempt| attempt.is_error));
}

#[tokio::test]
async fn a_caller_that_is_not_trusted_decides_nothing_and_is_linked_to() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).start().await;
    let reply = gateway.send(&from_caller(&gateway, "00")).await;
    let (request, _) = collector.request(reply.request_id()).await;
    assert_ne!(request.trace_id, TRACE);
    assert_eq!(request.parent_id, "");
    assert_eq!(request.links, [TRACE]);
    assert_eq!(told_upstream(&gateway, reply.request_id()).await, None, "nobody else is told");

    let never = traced(&collector).env("TURNPIKE__TRACES__SAMPLE_RATIO", 0).start().await;
    for _ in 0..20 {
        let reply = never.send(&from_caller(&never, "01")).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(never.stderr().matches(TRACE).count(), 0);
    let ops = integration_tests::Client::new(never.ops_url());
    let text = ops.try_send(&Request::get("/metrics")).await.unwrap();
    let metrics = integration_tests::Metrics::read(text.text());
    assert_eq!(metrics.sum("turnpike_traces_sampled_total", &[]).to_bits(), 0.0_f64.to_bits());
}

#[tokio::test]
async fn a_caller_that_is_trusted_is_followed_and_an_upstream_that_may_know_is_told() {
    let collector = Collector::start().await;
    let gateway = traced(&collector)
        .env("TURNPIKE__TRACES__TRUST_CALLERS", true)
        .env("TURNPIKE__TRACES__SEND_TO_UPSTREAMS", "[demo-a, demo-b]")
        .env("TURNPIKE__TRACES__SAMPLE_RATIO", 0)
        .start()
        .await;
    let reply = gateway.send(&from_caller(&gateway, "01")).await;
    let (request, attempts) = collector.request(reply.request_id()).await;
    assert_eq!((request.trace_id.as_str(), request.parent_id.as_str()), (TRACE, PARENT));
    let told = told_upstream(&gateway, reply.request_id()).await.unwrap();
    assert_eq!(told, format!("00-{TRACE}-{}-01", attempts[0].span_id));
    let reply = gateway.send(&from_caller(&gateway, "00")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(told_upstream(&gateway, reply.request_id()).await, None, "it is not sampled");
    for broken in
        ["00-zz-00f067aa0ba902b7-01", "", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"]
    {
        let request = Request::post("/v1/chat/completions", say(2).to_string());
        let request = request.bearer(gateway.api_key()).header("traceparent", broken);
        assert_eq!(gateway.send(&request).await.status, 200, "{broken:?}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_or_is_away_costs_no_request_and_no_stop() {
    let hanging = Collector::hanging().await;
    for endpoint in [hanging.url(), "http://127.0.0.1:1"] {
        let mut gateway = traced(&hanging)
            .env("TURNPIKE__TRACES__ENDPOINT", endpoint)
            .env("TURNPIKE__TRACES__QUEUE_SPANS", 8)
            .env("TURNPIKE__TRACES__EXPORT_TIMEOUT", "60s")
            .start()
            .await;
        let begun = Instant::now();
        for _ in 0..200 {
            assert_eq!(gateway.chat(gateway.api_key(), say(1)).await.status, 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
        gateway.stop().await;
        gateway.restart().await;
        gateway.admin().reconciled().await;
    }
    assert!(hanging.exports() > 0, "the positive control: it was tried");
    assert!(hanging.spans().len() < 400, "spans that found the queue full were dropped");
}

#[tokio::test]
async fn what_waits_is_sent_before_the_process_ends_with_the_headers_that_were_set() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "authorization: Bearer collector-secret\n").unwrap();
    let mut gateway = traced(&collector)
        .env("TURNPIKE__TRACES__EXPORT_INTERVAL", "1h")
        .env("TURNPIKE__TRACES__HEADERS_FILE", headers.display())
        .start()
        .await;
    let reply = gateway.chat(gateway.api_key(), say(1)).await;
    assert!(collector.spans().is_empty());
    gateway.stop().await;
    let (_, attempts) = collector.request(reply.request_id()).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(collector.authorizations()[0], "Bearer collector-secret");
    assert!(!gateway.stderr().contains("collector-secret"));
}

#[tokio::test]
async fn a_change_and_a_batch_of_billing_have_spans_of_their_own() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).start().await;
    gateway.chat(gateway.api_key(), say(1)).await;
    let find = async |name: &str| {
        eventually(name, async || collector.spans().into_iter().find(|span| span.name == name))
            .await
    };
    let change = find("configuration change").await;
    assert_eq!(change.kind, SERVER);
    assert!(!change.attribute("turnpike.revision").is_empty(), "{change:?}");
    let batch = find("billing batch").await;
    assert_eq!((batch.kind, batch.attribute("messaging.batch.message_count")), (CONSUMER, "1"));
}

#[tokio::test]
async fn no_span_holds_what_was_said_or_who_said_it() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).start().await;
    let mut body = say(3);
    body["messages"][0]["content"] = "PLANTEDPROMPT".into();
    body["tools"] = json!([{"type": "function", "function": {"name": "PLANTEDTOOL"}}]);
    let request = Request::post("/v1/chat/completions?key=PLANTEDQUERY", body.to_string())
        .bearer(gateway.api_key())
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=PLANTEDSTATE")
        .header("x-title", "PLANTEDTITLE");
    let reply = gateway.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    collector.request(reply.request_id()).await;
    let spans = format!("{:?}", collector.spans());
    assert!(spans.contains(TRACE), "the positive control: its link is there");
    let key = gateway.api_key();
    for secret in ["PLANTED", key, "demo-credential"] {
        assert!(!spans.contains(secret), "{secret} is in a span");
    }
}
