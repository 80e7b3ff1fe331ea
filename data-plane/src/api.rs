//! What clients can call, under both prefixes. Everything else is answered in JSON, too.

mod answer;
mod amount;
mod models;
mod catalog;
mod account;
mod generation;

use crate::error::{ApiError, ErrorType};
use crate::metric;
use crate::pipeline;
use crate::plane::Core;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::operation::Operation;
use domain::time::Timestamp;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::sync::Arc;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The routes of one core.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let operations = Operation::ALL.into_iter().fold(Router::new(), |router, operation| {
        router.route(operation.path(), post(move |core, request| serve(operation, core, request)))
    });
    let paths = operations
        .route("/models", get(models::list))
        .route("/models/{id}", get(models::one))
        .route("/models/{author}/{slug}", get(models::one_by_parts))
        .route("/models/{author}/{slug}/endpoints", get(models::endpoints))
        .route("/providers", get(models::providers))
        .route("/key", get(account::key))
        .route("/auth/key", get(account::key))
        .route("/credits", get(account::credits))
        .route("/generation", get(account::generation))
        .method_not_allowed_fallback(wrong_method);
    let router = Router::new()
        .nest("/v1", paths.clone())
        .nest("/api/v1", paths)
        .fallback(unknown_path)
        .with_state(core.clone());
    match cross_origin(&core.plane.parts.settings.cors_origins) {
        Some(layer) => router.layer(layer),
        None => router,
    }
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

async fn serve(operation: Operation, State(core): State<Arc<Core>>, request: Request) -> Response {
    pipeline::serve(core, operation, request).await
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
