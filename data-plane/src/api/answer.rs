//! How endpoints that only tell something answer: JSON, or a row of the error table.

use crate::error::ApiError;
use crate::metric;
use crate::pipeline::mint_request_id;
use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

/// The answer to one question.
pub(super) fn answer<A: Serialize>(result: Result<A, ApiError>) -> Response {
    let request_id = mint_request_id();
    let told = result.and_then(|told| serde_json::to_vec(&told).map_err(|_| ApiError::ours()));
    let response = match told {
        Ok(json) => told_json(json, &request_id),
        Err(error) => error.response(&request_id),
    };
    metric::answered(response.status().as_u16());
    response
}

fn told_json(json: Vec<u8>, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// OpenRouter's envelope.
#[derive(Serialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}
