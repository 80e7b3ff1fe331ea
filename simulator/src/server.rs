//! The accept loop and the way of a request from its head to the endpoint that answers it. HTTP/1.1
//! only: that is what providers are reached with behind a plain `http://` address.

use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue,
    http::request::Parts, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    attempts::Attempts,
    call::{Act, Call, Plan},
    chat, completions,
    config::SimulatorConfig,
    control, embeddings,
    error::ApiError,
    log::{Attempt, Ended, Log, now_us},
    models,
    player::{Body, Severed, perform},
    reply::Reply,
    script::Script,
    step::Steps,
    wire::{Tap, Wire},
};

/// Twice what the gateway lets through by default.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// From here on counting the prompt would hold up the other connections.
const LARGE_REQUEST_BYTES: usize = 256 << 10;

/// A pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A bound listener and all that its connections share.
pub(crate) struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<Log>,
    steps: Arc<Steps>,
    attempts: Attempts,
    /// Tells the ids of this run from those of others.
    run: String,
}

/// What a path and method stand for.
/// What real providers tell of themselves and their customer with every answer.
const TALKATIVE: [(&str, &str); 5] = [
    ("openai-organization", "org-simulated"),
    ("openai-processing-ms", "7"),
    ("set-cookie", "__cf_bm=simulated; path=/; HttpOnly; Secure"),
    ("cf-ray", "simulated-SIN"),
    ("x-ratelimit-remaining-requests", "simulated"),
];

enum Endpoint<'a> {
    Chat,
    Completions,
    Embeddings,
    Models,
    Model(&'a str),
}

impl Server {
    pub(crate) async fn bind(config: &SimulatorConfig) -> io::Result<Self> {
        let shared = Shared {
            log: Arc::new(Log::open(config.log.as_deref())?),
            steps: Arc::default(),
            attempts: Attempts::default(),
            run: format!("{:x}", now_us()),
        };
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` fires or its sender is dropped, then cuts what is open.
    pub(crate) async fn serve(self, mut stop: oneshot::Receiver<()>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(converse(stream, Arc::clone(&self.shared)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the simulator could not accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                _ = &mut stop => break,
            }
        }
        self.shared.log.close();
        connections.shutdown().await;
    }
}

/// Serves one connection until either side closes it.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let wire = Arc::new(Wire::default());
    let tap = Tap::new(stream, Arc::clone(&wire));
    let service = service_fn(move |request| serve(request, Arc::clone(&shared), Arc::clone(&wire)));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(tap), service).await {
        // Faults and clients that leave end here too, and they are in the log.
        tracing::debug!(%error, "a connection of the simulator broke");
    }
}

async fn serve(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    wire: Arc<Wire>,
) -> Result<Response<Body>, Severed> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_") {
        let Shared { log, steps, .. } = &*shared;
        return Ok(control::answer(&parts.method, &parts.uri, log, steps).await);
    }
    let mut attempt = shared.log.begin(&parts);
    let plan = match read(body).await? {
        Some(body) => {
            attempt.received(body.clone());
            plan(&shared, attempt.number(), parts, body).await
        }
        None => ApiError::invalid("The request is too large.")
            .status(StatusCode::PAYLOAD_TOO_LARGE)
            .into(),
    };
    attempt.plays(plan.script.fault);
    act(plan, attempt, &shared, wire).await
}

/// The whole body; `None` where it is too large. A client that leaves meanwhile severs.
async fn read(body: Incoming) -> Result<Option<Bytes>, Severed> {
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(_) => Err(Severed),
    }
}

async fn act(
    plan: Plan,
    attempt: Attempt,
    shared: &Shared,
    wire: Arc<Wire>,
) -> Result<Response<Body>, Severed> {
    let Plan { script, act } = plan;
    match act {
        Act::Silence => {
            // Owned by this future, the attempt ends when hyper drops it with the connection.
            let _unanswered = attempt;
            pending().await
        }
        Act::Reset => {
            wire.reset_on_close();
            attempt.end(Ended::Fault);
            Err(Severed)
        }
        Act::Answer(mut reply) => {
            let id = format!("req_{}-{}", shared.run, attempt.number());
            if let Ok(id) = HeaderValue::try_from(id) {
                reply.headers.insert("x-request-id", id);
            }
            for (name, value) in TALKATIVE {
                reply.headers.insert(name, HeaderValue::from_static(value));
            }
            let turns = script.step.as_ref().map(|name| shared.steps.join(name));
            Ok(perform(reply, &script, turns, attempt, wire))
        }
    }
}

/// Plans the answer; elsewhere for a large body, whose tokens take long to count.
async fn plan(shared: &Arc<Shared>, number: u64, parts: Parts, body: Bytes) -> Plan {
    if body.len() < LARGE_REQUEST_BYTES {
        return shared.plan(number, &parts, &body);
    }
    let shared = Arc::clone(shared);
    let planned = spawn_blocking(move || shared.plan(number, &parts, &body)).await;
    planned.unwrap_or_else(|_| ApiError::broken("The simulator could not plan an answer.").into())
}

impl Shared {
    fn plan(&self, number: u64, parts: &Parts, body: &[u8]) -> Plan {
        let call = Call {
            headers: &parts.headers,
            body,
            attempts: &self.attempts,
            id: format!("{}-{number}", self.run),
            created: now_us() / 1_000_000,
        };
        let (method, path) = (&parts.method, parts.uri.path());
        let plan = match endpoint(method, path) {
            Some(Endpoint::Chat) => chat::plan(&call),
            Some(Endpoint::Completions) => completions::plan(&call),
            Some(Endpoint::Embeddings) => embeddings::plan(&call),
            Some(Endpoint::Models) => Ok(plain(models::list())),
            Some(Endpoint::Model(name)) => Ok(plain(models::one(name))),
            None => Err(ApiError::invalid(format!("Invalid URL ({method} {path})"))
                .status(StatusCode::NOT_FOUND)),
        };
        plan.unwrap_or_else(Plan::from)
    }
}

fn plain(reply: Reply) -> Plan {
    Plan { script: Script::default(), act: Act::Answer(reply) }
}

/// Any prefix will do, because base URLs have many.
fn endpoint<'a>(method: &Method, path: &'a str) -> Option<Endpoint<'a>> {
    if method == Method::POST {
        let endings = [
            ("/chat/completions", Endpoint::Chat),
            ("/completions", Endpoint::Completions),
            ("/embeddings", Endpoint::Embeddings),
        ];
        return endings
            .into_iter()
            .find_map(|(ending, endpoint)| path.ends_with(ending).then_some(endpoint));
    }
    if method != Method::GET {
        return None;
    }
    if path.ends_with("/models") {
        return Some(Endpoint::Models);
    }
    path.split_once("/models/").map(|(_, name)| Endpoint::Model(name))
}
