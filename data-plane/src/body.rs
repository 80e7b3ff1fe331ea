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
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(too_large(limits));
    }
    let mut collected = Collected::default();
    while let Some(data) = next(&mut body, pace).await? {
        if collected.length().saturating_add(data.len()) > limits.body_bytes {
            return Err(too_large(limits));
        }
        collected.add(data, announced);
    }
    Ok(collected.finish())
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn next(body: &mut Body, pace: &Pace) -> Result<Option<Bytes>, ApiError> {
    let frame = tokio::time::timeout(pace.body, body.frame()).await.map_err(|_| too_slow(pace))?;
    let Some(frame) = frame else {
        return Ok(None);
    };
    let frame =
        frame.map_err(|_| ApiError::invalid("body", "the body broke off: send it whole"))?;
    Ok(Some(frame.into_data().unwrap_or_default()))
}

/// A body so far. One that comes in a single frame is never copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    joined: BytesMut,
}

impl Collected {
    fn length(&self) -> usize {
        self.first.len().saturating_add(self.joined.len())
    }

    fn add(&mut self, data: Bytes, announced: Option<usize>) {
        if self.length() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(announced.unwrap_or_default().max(self.first.len() + data.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

fn too_large(limits: &Limits) -> ApiError {
    let message = format!("the body is larger than {} bytes: send less", limits.body_bytes);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::PayloadTooLarge, message)
}

fn too_slow(pace: &Pace) -> ApiError {
    let message =
        format!("no part of the body came for {} s: send it without pauses", pace.body.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorType::Timeout, message)
}
