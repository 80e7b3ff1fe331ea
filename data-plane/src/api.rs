//! What clients can call, under both prefixes. Everything else is answered in JSON, too.

mod answer;
mod amount;
mod models;
mod catalog;
mod account;
mod generation;

use crate::body::rest;
use crate::client_address::Peer;
use crate::error::{ApiError, ErrorType};
use crate::metric;
use crate::pipeline;
use crate::pipeline::head::stopping;
use crate::plane::Core;
use crate::trace::RequestTrace;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use domain::operation::Operation;
use domain::time::Timestamp;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// All of it, for one core.
pub(crate) struct Api {
    core: Arc<Core>,
    router: Router,
    /// What is answered once new requests are refused.
    farewell: Router,
    /// Pages of other origins may call: then all goes through the router, where a layer tells them so.
    is_cross_origin: bool,
}

impl Api {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let router = PREFIXES.into_iter().fold(Router::new(), under);
        let router = router.method_not_allowed_fallback(wrong_method).fallback(unknown_path);
        let router = router.with_state(core.clone());
        let farewell = Router::new().fallback(turn_away).with_state(core.clone());
        let Some(layer) = cross_origin(&core.plane.parts.settings.cors_origins) else {
            return Self { core, router, farewell, is_cross_origin: false };
        };
        let (router, farewell) = (router.layer(layer.clone()), farewell.layer(layer));
        Self { core, router, farewell, is_cross_origin: true }
    }

    /// Whether clients had better go elsewhere with what they ask next.
    pub(crate) fn is_leaving(&self) -> bool {
        self.core.plane.stopping.leaving.has_come()
    }

    /// Answers one request. Operations take no detour through the router, which costs as much as finding their caller.
    pub(crate) async fn answer(
        &self,
        peer: &Arc<Peer>,
        mut request: Request,
    ) -> Result<Response, Infallible> {
        if self.core.plane.stopping.refusing.has_come() {
            return self.farewell.clone().oneshot(request).await;
        }
        if let Some(operation) = operation(&request).filter(|_| !self.is_cross_origin) {
            let served = pipeline::serve(self.core.clone(), operation, peer.clone(), request);
            return Ok(Box::pin(served).await);
        }
        request.extensions_mut().insert(peer.clone());
        self.router.clone().oneshot(request).await
    }
}

/// The operation that a request asks for by its method and path.
fn operation(request: &Request) -> Option<Operation> {
    let path = request.uri().path();
    let path = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    let asked = Operation::ALL.into_iter().find(|operation| operation.path() == path);
    asked.filter(|_| request.method() == Method::POST)
}

/// Where the same routes are.
const PREFIXES: [&str; 2] = ["/v1", "/api/v1"];

/// The routes under one prefix. Written out: a nested router would rewrite the address of every request.
fn under(router: Router<Arc<Core>>, prefix: &str) -> Router<Arc<Core>> {
    let at = |path: &str| format!("{prefix}{path}");
    let operations = Operation::ALL.into_iter().fold(router, |router, operation| {
        let serve = move |core, peer, request| serve(operation, core, peer, request);
        router.route(&at(operation.path()), post(serve))
    });
    operations
        .route(&at("/models"), get(models::list))
        .route(&at("/models/{id}"), get(models::one))
        .route(&at("/models/{author}/{slug}"), get(models::one_by_parts))
        .route(&at("/models/{author}/{slug}/endpoints"), get(models::endpoints))
        .route(&at("/providers"), get(models::providers))
        .route(&at("/key"), get(account::key))
        .route(&at("/auth/key"), get(account::key))
        .route(&at("/credits"), get(account::credits))
        .route(&at("/generation"), get(account::generation))
}

/// Lets pages of some origins call us. Never with cookies or a browser's own credentials: a key is sent by the page.
fn cross_origin(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    let layer = CorsLayer::new().allow_origin(origins);
    let layer = layer.allow_methods([Method::GET, Method::POST]);
    // A page may send any header: what is not on our list goes nowhere.
    Some(layer.allow_headers(AllowHeaders::mirror_request()).expose_headers(SHOWN))
}

/// Headers of answers that a page may read.
const SHOWN: [HeaderName; 4] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("retry-after"),
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
];

async fn serve(
    operation: Operation,
    State(core): State<Arc<Core>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    pipeline::serve(core, operation, peer, request).await
}

/// Whatever it is: before it is read, so that another data plane can be asked at once.
async fn turn_away(State(core): State<Arc<Core>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    rest::discard(&head.headers, body, core.plane.parts.settings.limits.body_bytes);
    let (refusal, request_id) = (stopping(), pipeline::mint_request_id());
    core.plane.refused(&refusal, RequestTrace::default(), &request_id);
    metric::answered(refusal.status().as_u16());
    refusal.response(&request_id)
}

async fn unknown_path() -> Response {
    let message = "there is nothing at this path: use one such as /v1/chat/completions";
    refuse(ApiError::new(StatusCode::NOT_FOUND, ErrorType::NotFound, message))
}

async fn wrong_method() -> Response {
    let message = "this path does not answer to this method: completions are POST, lists are GET";
    refuse(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::InvalidRequest, message))
}

/// An answer to what no endpoint asked for.
pub(crate) fn refuse(error: ApiError) -> Response<Body> {
    metric::answered(error.status().as_u16());
    error.response(&pipeline::mint_request_id())
}

/// A moment as people and other programs read it.
fn rfc3339(at: Timestamp) -> String {
    let moment = i64::try_from(at.0).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}
