//! A client's request body: read within limits, looked into without copying, and changed only by splicing.
//!
//! Everything that is not named here passes as the bytes it came in.

pub(crate) mod chat;
pub(crate) mod envelope;
pub(crate) mod size;
pub(crate) mod splice;
pub(crate) mod text;

use crate::error::{ApiError, ErrorType};
use crate::settings::{Limits, Pace};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

/// Reads a whole body.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
    pace: &Pace,
) -> Result<Bytes, ApiError> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::InvalidRequest,
            "compressed bodies are not supported: send the JSON as it is, without content-encoding",
        ));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limits.body_bytes) {
        return Err(too_large(limits));
    }
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(pace.body, body.frame()).await.map_err(|_| too_slow(pace))?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|_| ApiError::invalid("body", "the body broke off: send it whole"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if joined.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limits.body_bytes {
            return Err(too_large(limits));
        }
        match (first.take(), joined.is_empty()) {
            (None, true) => first = Some(data),
            (Some(head), _) => {
                joined.reserve(announced.unwrap_or(head.len() + data.len()));
                joined.extend_from_slice(&head);
                joined.extend_from_slice(&data);
            }
            (None, false) => joined.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

fn too_large(limits: &Limits) -> ApiError {
    let message = format!("the body is larger than {} bytes: send less", limits.body_bytes);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::PayloadTooLarge, message)
}

fn too_slow(pace: &Pace) -> ApiError {
    let message = format!("no part of the body came for {} s: send it without pauses", pace.body.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorType::Timeout, message)
}
