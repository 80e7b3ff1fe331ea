//! A client's request body: read within limits, looked into without copying, and changed only by splicing.
//!
//! Everything that is not named here passes as the bytes it came in.

pub(crate) mod request;
mod encoding;
pub(crate) mod rest;
pub(crate) mod envelope;
pub(crate) mod skim;
pub(crate) mod fields;
mod chat;
mod completions;
mod embeddings;
mod inputs;
mod size;
pub(crate) mod preferences;
pub(crate) mod splice;
pub(crate) mod text;

use crate::error::{ApiError, ErrorType};
use crate::joined::Joined;
use crate::settings::{Limits, Pace};
use axum::body::Body;
use bytes::Bytes;
use encoding::Encoding;
use futures::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

/// Reads a whole body.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &Limits,
    pace: &Pace,
) -> Result<Bytes, ApiError> {
    let encoding = Encoding::of(headers)?;
    let announced = announced(headers);
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(too_large(limits));
    }
    let mut collected = Joined::default();
    let deadline = Instant::now() + pace.body_whole;
    while let Some(data) = next(body, pace, deadline).await? {
        if collected.len().saturating_add(data.len()) > limits.body_bytes {
            return Err(too_large(limits));
        }
        collected.push(data, announced.unwrap_or_default());
    }
    encoding::unpack(encoding, settled(collected.take()), limits).await
}

/// Bodies up to this size get bytes of their own.
const OWN_BYTES_MAX: usize = 16 << 10;

/// A body is kept as long as its request runs. A small one would keep the whole buffer that its connection was read into,
/// which is needed for the next request.
fn settled(body: Bytes) -> Bytes {
    if body.len() > OWN_BYTES_MAX { body } else { Bytes::copy_from_slice(&body) }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn next(body: &mut Body, pace: &Pace, end: Instant) -> Result<Option<Bytes>, ApiError> {
    // What has come already needs no alarm.
    let frame = match body.frame().now_or_never() {
        Some(frame) => frame,
        None => {
            let deadline = end.min(Instant::now() + pace.body);
            let frame = timeout_at(deadline, body.frame()).await;
            frame.map_err(|_| too_slow(pace, deadline == end))?
        }
    };
    let Some(frame) = frame else {
        return Ok(None);
    };
    let frame =
        frame.map_err(|_| ApiError::invalid("body", "the body broke off: send it whole"))?;
    Ok(Some(frame.into_data().unwrap_or_default()))
}

fn too_large(limits: &Limits) -> ApiError {
    let message = format!("the body is larger than {} bytes: send less", limits.body_bytes);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::PayloadTooLarge, message)
}

fn too_slow(pace: &Pace, is_whole: bool) -> ApiError {
    let message = if is_whole {
        format!("the body took longer than {} s: send it faster", pace.body_whole.as_secs())
    } else {
        format!("no part of the body came for {} s: send it without pauses", pace.body.as_secs())
    };
    ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorType::Timeout, message)
}
