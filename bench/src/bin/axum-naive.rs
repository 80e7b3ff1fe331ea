//! `axum-naive`: the gateway that one writes first. `axum::serve` and a pooled client as they come, the body read into a JSON
//! value and written again.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bench::work::{CREDENTIAL, KEYS, secret};
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// A gateway as one writes it first.
#[derive(Parser)]
struct Options {
    /// Where it listens
    listen: SocketAddr,
    /// Where it forwards to
    upstream: SocketAddr,
}

struct Gateway {
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: Uri,
    keys: HashMap<String, usize>,
    balances: Mutex<Vec<i64>>,
}

impl Gateway {
    fn add(&self, key: usize, amount: i64) {
        let mut balances = self.balances.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(balance) = balances.get_mut(key) {
            *balance += amount;
        }
    }

    fn settle(&self, key: usize, held: i64, usage: &Value) {
        let tokens = |name: &str| usage.get(name).and_then(Value::as_i64).unwrap_or(0);
        self.add(key, held - tokens("prompt_tokens") * 15 - tokens("completion_tokens") * 60);
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway {
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream: format!("http://{}/v1/chat/completions", options.upstream).parse()?,
            keys: (0..KEYS).map(|number| (secret(number), number)).collect(),
            balances: Mutex::new(vec![i64::MAX / 4; KEYS]),
        };
        let router = Router::new().route("/v1/chat/completions", post(chat));
        let listener = TcpListener::bind(options.listen).await?;
        Ok(axum::serve(listener, router.with_state(Arc::new(gateway))).await?)
    })
}

async fn chat(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, StatusCode> {
    let secret = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = secret.and_then(|value| value.strip_prefix("Bearer "));
    let key = secret.and_then(|secret| gateway.keys.get(secret)).copied();
    let key = key.ok_or(StatusCode::UNAUTHORIZED)?;
    let mut body: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let output = body.get("max_tokens").and_then(Value::as_i64).unwrap_or(1024);
    let held = output * 60;
    gateway.add(key, -held);
    let streams = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    if let (true, Some(body)) = (streams, body.as_object_mut()) {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    let request = Request::post(gateway.upstream.clone())
        .header(AUTHORIZATION, CREDENTIAL)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    let answer = gateway.client.request(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    if streams {
        let metered = answer.into_body().map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                events(data).for_each(|event| gateway.settle(key, held, &event));
            }
            frame
        });
        return Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(metered)).into_response());
    }
    let answer = answer.into_body().collect().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let answer: Value =
        serde_json::from_slice(&answer.to_bytes()).map_err(|_| StatusCode::BAD_GATEWAY)?;
    if let Some(usage) = answer.get("usage") {
        gateway.settle(key, held, usage);
    }
    Ok(axum::Json(answer).into_response())
}

/// What events with usage say was used.
fn events(data: &[u8]) -> impl Iterator<Item = Value> {
    data.split(|byte| *byte == b'\n').filter_map(|line| {
        let event: Value = serde_json::from_slice(line.strip_prefix(b"data: ")?).ok()?;
        event.get("usage").filter(|usage| usage.is_object()).cloned()
    })
}
