//! `hyper-proxy`: what ours is compared with on the same libraries: the smallest reverse proxy that hyper gives, and the
//! same with the least work of a gateway.
//!
//! Not for real use: no limits, no time-outs, no pipelining.

mod body;
mod upstream;

use anyhow::Context;
use bench::listen::listen;
use bench::work::{ASK_FOR_USAGE, CREDENTIAL, Wallets, Wanted};
use body::{Forwarded, Meter};
use bytes::{Bytes, BytesMut};
use clap::{Parser, ValueEnum};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    TRANSFER_ENCODING,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use upstream::{RequestBody, Upstream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A reference proxy on hyper.
#[derive(Parser)]
#[command(max_term_width = 110)]
struct Options {
    /// Where it listens
    listen: SocketAddr,
    /// Where it forwards to
    upstream: SocketAddr,
    #[arg(long, value_enum, default_value = "gw")]
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Forwards, and nothing else
    Pass,
    /// The same, its upstream polled in the request's own task and ready frames joined: ours without all that governs
    Relay,
    /// With a gateway's least work
    Gw,
    /// As gw, the upstream polled in the request's own task and ready frames joined
    Inline,
}

impl Mode {
    fn governs(self) -> bool {
        matches!(self, Self::Gw | Self::Inline)
    }

    fn polls_itself(self) -> bool {
        matches!(self, Self::Relay | Self::Inline)
    }
}

/// What requests share.
struct Proxy {
    mode: Mode,
    upstream: Upstream,
    host: HeaderValue,
    wallets: Wallets,
    events: mpsc::UnboundedSender<UsageEvent>,
}

/// What is told of a request.
struct UsageEvent {
    tokens: u64,
    model: Box<str>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listener = listen(options.listen).context("cannot listen")?;
    let (events, inbox) = mpsc::unbounded_channel();
    spawn_local(count(inbox));
    let proxy = Rc::new(Proxy {
        mode: options.mode,
        upstream: Upstream::new(options.upstream, options.mode.polls_itself()),
        host: HeaderValue::from_str(&options.upstream.to_string())?,
        wallets: Wallets::default(),
        events,
    });
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        tcp.set_nodelay(true)?;
        let proxy = proxy.clone();
        spawn_local(async move {
            let service = service_fn(move |request| answer(proxy.clone(), request));
            drop(http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await);
        });
    }
}

/// Stands for whoever takes usage events.
async fn count(mut inbox: mpsc::UnboundedReceiver<UsageEvent>) {
    let (mut events, mut tokens) = (0_u64, 0_u64);
    while let Some(event) = inbox.recv().await {
        events += 1;
        tokens += event.tokens;
        std::hint::black_box((events, tokens, event.model));
    }
}

async fn answer(
    proxy: Rc<Proxy>,
    request: Request<Incoming>,
) -> Result<Response<Forwarded>, Infallible> {
    let forwarded = forward(&proxy, request).await;
    Ok(forwarded.unwrap_or_else(refuse))
}

async fn forward(
    proxy: &Rc<Proxy>,
    request: Request<Incoming>,
) -> Result<Response<Forwarded>, StatusCode> {
    let (mut head, body) = request.into_parts();
    let (body, meter) = if proxy.mode.governs() {
        let (body, meter) = govern(proxy, &mut head.headers, body).await?;
        (body, Some(meter))
    } else {
        (body.boxed_unsync(), None)
    };
    head.headers.insert(HOST, proxy.host.clone());
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    let mut sender = proxy.upstream.take().await.ok_or(StatusCode::BAD_GATEWAY)?;
    let answer = sender.send(Request::from_parts(head, body)).await;
    let (mut head, body) = answer.map_err(|_| StatusCode::BAD_GATEWAY)?.into_parts();
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Forwarded::new(body, proxy.clone(), sender, meter)))
}

/// Key, partial parse, hold, credential, usage asked for.
async fn govern(
    proxy: &Proxy,
    headers: &mut HeaderMap,
    body: Incoming,
) -> Result<(RequestBody, Meter), StatusCode> {
    let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let key = authorization.and_then(|value| proxy.wallets.key(value));
    let key = key.ok_or(StatusCode::UNAUTHORIZED)?;
    let body = body.collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut body = body.to_bytes();
    let wanted: Wanted<'_> = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let held = wanted.hold(body.len());
    if !proxy.wallets.hold(key, held) {
        return Err(StatusCode::PAYMENT_REQUIRED);
    }
    let meter = Meter::new(key, held, &wanted.model);
    if wanted.lacks_usage() {
        let mut longer = BytesMut::with_capacity(body.len() + ASK_FOR_USAGE.len());
        longer.extend_from_slice(ASK_FOR_USAGE);
        longer.extend_from_slice(body.get(1..).unwrap_or_default());
        body = longer.freeze();
    }
    headers.insert(AUTHORIZATION, HeaderValue::from_static(CREDENTIAL));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok((Full::new(body).map_err(|never| match never {}).boxed_unsync(), meter))
}

fn refuse(status: StatusCode) -> Response<Forwarded> {
    let text = format!("{{\"error\":{{\"code\":{},\"metadata\":{{}}}}}}", status.as_u16());
    let mut response = Response::new(Forwarded::Whole(Some(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
