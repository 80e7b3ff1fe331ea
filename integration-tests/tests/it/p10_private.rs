//! P10: what is planted in a prompt, a tool, an image, a credential, a key and a header is where it belongs, and nowhere
//! else: not in logs at the finest level, metrics, spans, answers of the command line, errors, files or the process.

mod needle;
mod stored;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{
    Client, Collector, Gateway, OrgHandle, Request, SimulatorProcess, eventually,
};
use needle::Needle;
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// What only the upstream may see.
const SAID: [&str; 4] =
    ["plantedprompt4711", "plantedtool4711", "plantedargument4711", "plantedimage4711"];
const CREDENTIAL: &str = "sk-plantedcredential4711";
/// What an upstream says of itself and of others in an error.
const TOLD: [&str; 3] = ["org-plantedaccount4711", "plantedother4711", "198.18.47.11"];
/// What only we may see, for as long as the request runs.
const SENT: [&str; 5] = [
    "plantedheader4711",
    "plantedcookie4711",
    "plantedreferer4711",
    "plantedquery4711",
    "sk-plantedwrongkey4711",
];
/// Where clients come from: a proxy that is trusted names one, the other one connects itself.
const NAMED: &str = "203.0.113.47";
const CONNECTED: Ipv4Addr = Ipv4Addr::new(127, 45, 67, 89);

const CHAT: &str = "/v1/chat/completions";

fn planted(stream: bool) -> Value {
    let image = format!("data:image/png;base64,{}", STANDARD.encode(SAID[3]));
    json!({
        "model": "demo/vision",
        "stream": stream,
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": SAID[0]},
                {"type": "image_url", "image_url": {"url": image}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {
                    "name": "look", "arguments": json!({"at": SAID[2]}).to_string(),
                }},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": SAID[1]},
        ],
        "tools": [{"type": "function", "function": {"name": SAID[1], "parameters": {}}}],
        "x_simulator": {"tokens": 5},
    })
}

/// A refusal that quotes all that an upstream should not tell.
fn refused() -> Value {
    let said = format!(
        "Invalid value: the key {CREDENTIAL} of {} at {} did send {} before.",
        TOLD[0], TOLD[2], TOLD[1]
    );
    let error =
        json!({"error": {"message": said, "code": "invalid_value", "param": "temperature"}});
    let mut body = planted(false);
    body["x_simulator"] = json!({"raw": {
        "status": 400,
        "headers": {"content-type": "application/json"},
        "body": [{"base64": STANDARD.encode(error.to_string())}],
    }});
    body
}

/// An answer whose id and ending quote the prompt.
fn echoing() -> Value {
    let answer = json!({
        "id": format!("the prompt was {}", SAID[0]),
        "object": "chat.completion",
        "model": "sim",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": SAID[0]},
            "finish_reason": format!("because of {}", SAID[1]),
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    });
    let mut body = planted(false);
    body["x_simulator"] = json!({"raw": {
        "status": 200,
        "headers": {"content-type": "application/json"},
        "body": [answer.to_string()],
    }});
    body
}

fn ask(key: &str, body: &Value) -> Request {
    Request::post(CHAT, body.to_string())
        .bearer(key)
        .header("x-planted", SENT[0])
        .header("cookie", SENT[1])
        .header("http-referer", &format!("https://app.example/page?q={}", SENT[2]))
        .header("x-forwarded-for", NAMED)
}

async fn start(simulator: &SimulatorProcess, collector: &Collector) -> Gateway {
    let gateway = Gateway::demo()
        .external_simulator(simulator.url())
        .env("TURNPIKE__LOG__FILTER", "trace")
        .env("TURNPIKE__LOG__ACCESS", "on")
        .env("TURNPIKE__TRACES__ENDPOINT", collector.url())
        .env("TURNPIKE__TRACES__SAMPLE_RATIO", 1)
        .env("TURNPIKE__TRACES__EXPORT_INTERVAL", "20ms")
        .env("TURNPIKE__DATA_PLANE__TRUSTED_PROXIES", "[127.0.0.1]")
        .start()
        .await;
    for name in ["demo-a", "demo-b"] {
        let url = simulator.url();
        let spec = format!(
            "{{vendor: simulator, dialect: openai, base_url: \"{url}/v1\", credential: {CREDENTIAL}, \
             jurisdiction: SG, stops_on_abort: true}}"
        );
        gateway.admin().apply(&format!("kind: Upstream\nname: {name}\nspec: {spec}\n")).await;
    }
    gateway
}

/// All kinds of requests; returns the ids of those that were admitted.
async fn talk(gateway: &Gateway, key: &str) -> Vec<String> {
    let mut admitted = Vec::new();
    for (body, status) in
        [(planted(false), 200), (planted(true), 200), (echoing(), 200), (refused(), 400)]
    {
        let reply = gateway.send(&ask(key, &body)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        admitted.push(reply.request_id().to_owned());
        if status == 400 {
            refusal_tells_no_more_than_it_may(&reply.json());
        }
    }
    let strangers = [
        ask(SENT[4], &planted(false)),
        Request::get(&format!("/v1/{}?q={}", SENT[3], SENT[3])).bearer(key),
    ];
    for stranger in strangers {
        assert!(gateway.send(&stranger).await.status >= 400);
    }
    admitted
}

fn refusal_tells_no_more_than_it_may(error: &Value) {
    let text = error.to_string();
    for hidden in TOLD.iter().chain([&CREDENTIAL]) {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!(error["error"]["metadata"]["upstream_code"], "invalid_value", "{text}");
    assert_eq!(error["error"]["metadata"]["field"], "temperature", "{text}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("Invalid value: the key …"), "{text}");
}

/// The same from an address of its own. Returns the request's id.
async fn talk_from(gateway: &Gateway, address: Ipv4Addr, key: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let host = gateway.base_url().trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = socket.connect(host.parse().unwrap()).await.unwrap();
    let body = planted(false).to_string();
    // It is no trusted proxy, so what it says of others is not believed.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         x-forwarded-for: {NAMED}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// All that the command line answers in its machine form.
async fn told_by_the_command_line(gateway: &Gateway, requests: &[String]) -> String {
    let admin = gateway.admin();
    let mut told = String::new();
    let kinds = ["Entity", "Plan", "Upstream", "Model", "PriceBook", "Org", "Key"];
    let lists = kinds.map(|kind| vec!["get", kind, "-o", "json"]);
    let rest = [vec!["usage", "-o", "json"], vec!["balance", "quiet", "-o", "json"]];
    let more = [vec!["reconcile", "-o", "json"], vec!["describe", "Upstream", "demo-a"]];
    for command in lists.iter().chain(&rest).chain(&more) {
        let output = admin.run(command).await;
        assert_eq!(output.status, 0, "{command:?}: {}", output.stderr);
        told.push_str(&output.stdout);
        told.push_str(&output.stderr);
    }
    for request in requests {
        told.push_str(&admin.bill(request).await.to_string());
    }
    told
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// The secrets that an operator must be able to read are files of their own.
fn is_meant_for_operators(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    ["operator.token", "demo.env", "demo.json"].contains(&name)
}

fn assert_files_are_clean(gateway: &Gateway, needles: &[Needle]) {
    let all = files(gateway.data_dir());
    let names: Vec<String> = all.iter().map(|path| path.display().to_string()).collect();
    for expected in ["turnpike.db", "turnpike.db-wal", "spool"] {
        assert!(names.iter().any(|name| name.contains(expected)), "{expected} in {names:?}");
    }
    for path in all.iter().filter(|path| !is_meant_for_operators(path)) {
        // One that is gone by now was deleted; what it held is in another.
        let bytes = fs::read(path).unwrap_or_default();
        for needle in needles {
            needle.assert_absent(&path.display().to_string(), &bytes);
        }
    }
}

fn assert_process_is_clean(gateway: &Gateway, needles: &[Needle]) {
    for file in ["environ", "cmdline"] {
        let path = format!("/proc/{}/{file}", gateway.process_id());
        // Who is not root cannot even read them: the process may not be looked into.
        let bytes = fs::read(&path).unwrap_or_default();
        needles.iter().for_each(|needle| needle.assert_absent(&path, &bytes));
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.process_id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

/// The positive control: the upstream got what was said, and told what it should not.
fn assert_the_upstream_saw_it(simulator: &SimulatorProcess, key: &str) {
    let mut seen = String::new();
    for line in simulator.log_lines() {
        for body in ["request_body", "response_body"] {
            let bytes = STANDARD.decode(line[body].as_str().unwrap_or_default()).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        seen.push_str(&line["request_headers"].to_string());
    }
    let image = STANDARD.encode(SAID[3]);
    for planted in [SAID[0], SAID[1], SAID[2], &image, CREDENTIAL, TOLD[0], TOLD[1], TOLD[2]] {
        assert!(seen.contains(planted), "{planted} reached the upstream");
    }
    let ours = [SENT[0], SENT[1], SENT[2], NAMED, key];
    for ours in ours.iter().chain([&CONNECTED.to_string().as_str()]) {
        assert!(!seen.contains(ours), "{ours} is none of the upstream's business");
    }
}

fn all_needles(gateway: &Gateway, org: &OrgHandle) -> Vec<Needle> {
    let connected = CONNECTED.to_string();
    let secrets = [
        CREDENTIAL,
        NAMED,
        connected.as_str(),
        org.key.as_str(),
        gateway.demo_env().get("TURNPIKE_ADMIN_TOKEN"),
    ];
    SAID.iter().chain(&TOLD).chain(&SENT).chain(&secrets).map(|text| Needle::new(text)).collect()
}

#[tokio::test]
async fn what_is_planted_is_found_where_it_belongs_and_nowhere_else() {
    let (simulator, collector) = (SimulatorProcess::start().await, Collector::start().await);
    let mut gateway = start(&simulator, &collector).await;
    let org = gateway.new_org("quiet", "1.00 USD").await;
    let mut requests = talk(&gateway, &org.key).await;
    requests.push(talk_from(&gateway, CONNECTED, &org.key).await);
    let told = told_by_the_command_line(&gateway, &requests).await;
    let metrics = Client::new(gateway.ops_url())
        .try_send(&Request::get("/metrics"))
        .await
        .unwrap()
        .text()
        .to_owned();
    let needles = all_needles(&gateway, &org);
    eventually("the spans of all requests are sent", async || {
        let spans = format!("{:?}", collector.spans());
        requests.iter().all(|request| spans.contains(request)).then_some(())
    })
    .await;
    assert_the_upstream_saw_it(&simulator, &org.key);
    let places = [
        ("the command line", told),
        ("metrics", metrics),
        ("spans", format!("{:?}", collector.spans())),
        ("stdout", gateway.stdout()),
        ("stderr", gateway.stderr()),
    ];
    for (place, text) in &places {
        assert!(text.len() > 100 || *place == "stdout", "{place} says something: {text}");
        needles.iter().for_each(|needle| needle.assert_absent(place, text.as_bytes()));
    }
    assert_process_is_clean(&gateway, &needles);
    assert_files_are_clean(&gateway, &needles);
    gateway.kill9().await;
    gateway.restart().await;
    gateway.admin().reconciled().await;
    gateway.stop().await;
    let all = files(gateway.data_dir());
    assert!(all.len() > 4, "{all:?}");
    for path in all.iter().filter(|path| !is_meant_for_operators(path)) {
        let bytes = fs::read(path).unwrap();
        needles.iter().for_each(|needle| needle.assert_absent(&path.display().to_string(), &bytes));
    }
}

#[tokio::test]
async fn of_an_address_a_hash_is_kept_that_tells_clients_apart() {
    let (simulator, collector) = (SimulatorProcess::start().await, Collector::start().await);
    let gateway = start(&simulator, &collector).await;
    let org = gateway.new_org("quiet", "1.00 USD").await;
    let mut digests = Vec::new();
    for address in [CONNECTED, CONNECTED, Ipv4Addr::new(127, 45, 67, 90)] {
        let id = talk_from(&gateway, address, &org.key).await;
        digests.push(gateway.admin().bill(&id).await["client_digest"].as_str().unwrap().to_owned());
    }
    // Through the proxy, two clients.
    for named in [NAMED, NAMED, "203.0.113.48"] {
        let request = Request::post(CHAT, planted(false).to_string()).bearer(&org.key);
        let reply = gateway.send(&request.header("x-forwarded-for", named)).await;
        let bill = gateway.admin().bill(reply.request_id()).await;
        digests.push(bill["client_digest"].as_str().unwrap().to_owned());
    }
    assert!(digests.iter().all(|digest| digest.len() == 32), "{digests:?}");
    let same = |one: usize, other: usize| digests[one] == digests[other];
    assert!(same(0, 1) && same(3, 4), "one client is one: {digests:?}");
    assert!(!same(0, 2) && !same(3, 5) && !same(0, 3), "two are two: {digests:?}");
}
