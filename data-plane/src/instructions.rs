//! What a request and a streamed chunk cost, in instructions: whole exchanges through the pipeline, from a client's request to a
//! settled event, with an upstream in memory instead of sockets. `integration-tests` counts them (`instructions.rs` there).

use crate::client_address::Peer;
use crate::configuration::Configuration;
use crate::pipeline;
use crate::plane::{Core, DataPlane, DataPlaneParts};
use crate::purse::{Purse, PurseSettings};
use crate::record::ContentSink;
use crate::settings::{DataPlaneSettings, Limits, Pace};
use crate::upstream::client::Upstreams;
use axum::body::Body;
use domain::config::{Dialect, Entity, Modality, Plan, Upstream};
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::{Pepper, digest};
use domain::money::{Currency, Nano};
use domain::network::Networks;
use domain::operation::Operation;
use domain::price::{DatedCard, RateCard, Rates, Schedule};
use domain::snapshot::{Change, Key, Model, Org, Route, SellPrice};
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use links::account::AccountLink;
use links::content::{ContentKey, ContentLink};
use links::spool::{Spool, SpoolSettings};
use proto::usage::v1::SliceMark;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const PEPPER: Pepper = Pepper([3; 32]);
const SECRET: &str = "sk-test-0123456789012345678901234567890123456789";
const CHUNKS: usize = 100;

/// What is exchanged, and how often: from the environment, so that two runs differ in nothing else.
#[tokio::test]
async fn exchanges() {
    let setting = |name: &str| std::env::var(name).ok();
    let kind = setting("TURNPIKE_EXCHANGE").unwrap_or_else(|| "request".to_owned());
    let rounds = setting("TURNPIKE_ROUNDS").and_then(|rounds| rounds.parse().ok()).unwrap_or(2);
    let mut world = World::new();
    let answer = match kind.as_str() {
        "request" => whole(),
        "stream" => stream(&(0..CHUNKS).map(|_| chunk("word", "")).collect::<Vec<_>>()),
        // No two in a row are alike.
        _ => {
            stream(&(0..CHUNKS).map(|n| chunk("word", &format!(r#","n":{n}"#))).collect::<Vec<_>>())
        }
    };
    for _ in 0..rounds {
        world.exchange(kind != "request", &answer).await;
    }
}

/// One core with one upstream, and money enough.
struct World {
    core: Arc<Core>,
    upstream: DuplexStream,
    _home: TempDir,
}

impl World {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        // Nothing is synced meanwhile: what the other thread does is not counted here.
        let sync_interval = Duration::from_secs(3_600);
        let spool = SpoolSettings { sync_interval, ..SpoolSettings::new(home.path()) };
        let (spool, _) = Spool::open(spool, "dp").unwrap();
        let money = SliceMark { org_uid: 1, granted_nano: 1 << 60, ..SliceMark::default() };
        let (_, connector) = links::pipe::pipe();
        let channel = connector.channel();
        let content =
            ContentLink::start(channel.clone(), ContentKey::derive(&[5; 32]), Default::default());
        let configuration = Configuration::holding(objects());
        let upstream = configuration.snapshot().upstreams["mock"].clone();
        let settings = settings();
        let plane = DataPlane::new(DataPlaneParts {
            configuration,
            purse: Purse::restore(PurseSettings::new("dp"), spool.clone(), &[money]),
            spool,
            content: ContentSink { link: content, bytes_max: 0 },
            shipment: None,
            account: AccountLink::new(channel, Default::default()),
            pepper: PEPPER,
            seal_key: [7; 32],
            give_back: || (),
            settings: settings.clone(),
        });
        let upstreams = Upstreams::new(&settings, [7; 32]).unwrap();
        let (ours, theirs) = duplex(1 << 20);
        upstreams.lend(&upstream, ours);
        Self { core: Arc::new(Core::new(plane.shared, upstreams)), upstream: theirs, _home: home }
    }

    async fn exchange(&mut self, streams: bool, answer: &[u8]) {
        let body = format!(
            r#"{{"model":"mock/m","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{}"}}],"temperature":0.7,"max_tokens":256,"stream":{streams}}}"#,
            "The quick brown fox jumps over the lazy dog. ".repeat(5)
        );
        let request = Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {SECRET}"))
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Body::from(body))
            .unwrap();
        let peer = Arc::new(Peer::new(Ipv4Addr::LOCALHOST.into()));
        let asked = async {
            let response = pipeline::serve(self.core.clone(), Operation::Chat, peer, request).await;
            let status = response.status();
            (status, response.into_body().collect().await.unwrap().to_bytes())
        };
        let answered = async {
            let mut heard = vec![0; 4_096];
            assert!(self.upstream.read(&mut heard).await.unwrap() > 300);
            self.upstream.write_all(answer).await.unwrap();
        };
        let ((status, body), ()) = futures::join!(asked, answered);
        assert_eq!(status, StatusCode::OK, "{body:?}");
        assert!(!streams || body.ends_with(b"data: [DONE]\n\n"), "{body:?}");
    }
}

fn whole() -> Vec<u8> {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there, how are you today?","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":8,"total_tokens":68}}"#;
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn chunk(words: &str, more: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{words}"}},"logprobs":null,"finish_reason":null}}]{more}}}"#
    )
}

fn stream(chunks: &[String]) -> Vec<u8> {
    let end = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let usage = r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":60,"completion_tokens":100,"total_tokens":160}}"#;
    let all = chunks.iter().map(String::as_str).chain([end, usage, "[DONE]"]);
    let event = |data: &str| format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    [head.to_owned(), all.map(event).collect(), "0\r\n\r\n".to_owned()].concat().into_bytes()
}

fn settings() -> DataPlaneSettings {
    DataPlaneSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        trusted_proxies: Networks::default(),
        cores: 1,
        output_window_tokens: 256,
        access_log: Default::default(),
        traces: None,
        limits: Limits::default(),
        pace: Pace::default(),
        networks: Networks::parse(&["127.0.0.0/8"]).unwrap(),
        cors_origins: Vec::new(),
    }
}

fn objects() -> Vec<Change> {
    vec![entity(), plan(), upstream(), model(), org(), key()]
}

fn place() -> Jurisdiction {
    Jurisdiction::parse("SG").unwrap()
}

fn price() -> SellPrice {
    let rate = Nano::saturating(500_000_000);
    let rates =
        TokenClass::ALL.into_iter().fold(Rates::NONE, |rates, class| rates.with(class, rate));
    let card = RateCard { base: rates, overrides: Vec::new() };
    SellPrice {
        entity: "global".to_owned(),
        audience: "standard".to_owned(),
        org: None,
        revision: 1,
        schedule: Schedule(vec![DatedCard { from: Timestamp(0), card }]),
    }
}

fn entity() -> Change {
    Change::Entity(Entity {
        name: "global".to_owned(),
        display_name: String::new(),
        jurisdiction: place(),
        currency: Currency::parse("USD").unwrap(),
        key_prefix: "sk-".to_owned(),
        allowed: Allowed::Any,
        charge_empty_answers: false,
        charge_cut_answers: false,
    })
}

fn plan() -> Change {
    Change::Plan(Plan {
        name: "all".to_owned(),
        requests_per_minute: Some(1_000_000),
        tokens_per_minute: Some(1_000_000_000),
        concurrency: Some(1_000),
    })
}

fn upstream() -> Change {
    Change::Upstream(Upstream {
        name: "mock".to_owned(),
        vendor: "mock".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: "http://127.0.0.1:1/v1".to_owned(),
        sealed_credential: links::seal::seal(&[7; 32], "mock", b"sk-upstream"),
        jurisdiction: place(),
        stops_on_abort: true,
        collects_no_data: false,
        zero_data_retention: false,
        vendor_pages: Default::default(),
    })
}

fn model() -> Change {
    let route = Route {
        upstream: "mock".to_owned(),
        model: "m".to_owned(),
        priority: 1,
        weight: 1,
        supported_parameters: Vec::new(),
        prices: vec![price().into()],
    };
    Change::Model(Model {
        name: "mock/m".to_owned(),
        display_name: String::new(),
        description: String::new(),
        context_length: 128_000,
        max_output_tokens: 16_384,
        input_modalities: vec![Modality::Text],
        output_modalities: vec![Modality::Text],
        image_tokens_max: 0,
        audio_tokens_max: 0,
        hidden_reasoning: false,
        aliases: Vec::new(),
        operations: Vec::new(),
        supported_parameters: Vec::new(),
        routes: vec![route],
        created: Timestamp(0),
    })
}

fn org() -> Change {
    Change::Org(Org {
        uid: OrgUid(1),
        name: "acme".to_owned(),
        entity: "global".to_owned(),
        plan: "all".to_owned(),
        audience: "standard".to_owned(),
        allowed: Allowed::Any,
        disabled: false,
        store_content: false,
    })
}

fn key() -> Change {
    Change::Key(Key {
        uid: KeyUid(1),
        digest: digest(&PEPPER, SECRET),
        previous: None,
        org: OrgUid(1),
        name: "acme/key".to_owned(),
        models: Vec::new(),
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    })
}
