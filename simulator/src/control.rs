//! The simulator's own endpoints, `/_health`, `/_log` and `/_step/{name}`; they are not logged.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::json;

use crate::{
    log::Log,
    player::Body,
    reply,
    step::{StepError, Steps},
};

/// Answers a path that begins with `/_`.
pub(crate) async fn answer(method: &Method, uri: &Uri, log: &Log, steps: &Steps) -> Response<Body> {
    match (method, uri.path()) {
        (&Method::GET, "/_health") => json_response(StatusCode::OK, "{\"status\":\"ok\"}"),
        (&Method::GET, "/_log") => {
            let after = parameter(uri, "after").unwrap_or(0);
            let patience = Duration::from_millis(parameter(uri, "wait_ms").unwrap_or(0));
            json_response(StatusCode::OK, reply::bytes(&log.after(after, patience).await))
        }
        (&Method::POST, path) => match path.strip_prefix("/_step/") {
            Some(name) => step(name, steps).await,
            None => not_found(),
        },
        _ => not_found(),
    }
}

async fn step(name: &str, steps: &Steps) -> Response<Body> {
    match steps.release(name).await {
        Ok(step) => json_response(StatusCode::OK, reply::bytes(&step)),
        Err(StepError::Ended) => json_response(
            StatusCode::GONE,
            json!({"error": format!("the stream '{name}' has ended")}).to_string(),
        ),
        Err(StepError::NoStream) => json_response(
            StatusCode::REQUEST_TIMEOUT,
            json!({"error": format!("no stream '{name}' took the step")}).to_string(),
        ),
    }
}

fn parameter(uri: &Uri, name: &str) -> Option<u64> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

fn not_found() -> Response<Body> {
    json_response(StatusCode::NOT_FOUND, "{\"error\":\"no such control endpoint\"}")
}

fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).map_err(Into::into).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
