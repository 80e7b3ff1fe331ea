//! What clients can call, under both prefixes. Everything else is answered in JSON, too.

mod models;

use crate::error::{ApiError, ErrorType};
use crate::metric;
use crate::pipeline;
use crate::plane::Core;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use std::sync::Arc;

/// The routes of one core.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let paths = Router::new()
        .route("/chat/completions", post(chat_completions))
        .route("/models", get(models::list))
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/v1", paths.clone())
        .nest("/api/v1", paths)
        .fallback(unknown_path)
        .with_state(core)
}

async fn chat_completions(State(core): State<Arc<Core>>, request: Request) -> Response {
    pipeline::serve(core, request).await
}

async fn unknown_path() -> Response {
    let message = "there is nothing at this path: use one such as /v1/chat/completions";
    refuse(ApiError::new(StatusCode::NOT_FOUND, ErrorType::NotFound, message))
}

async fn wrong_method() -> Response {
    let message = "this path does not answer to this method: completions are POST, lists are GET";
    refuse(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::InvalidRequest, message))
}

fn refuse(error: ApiError) -> Response<Body> {
    metric::answered(error.status().as_u16());
    error.response(&pipeline::mint_request_id())
}
