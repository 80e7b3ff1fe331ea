//! Heads: what is read from a client's, and what stands in ours.

use crate::error::{ApiError, ErrorType};
use crate::limits::{RateStanding, WindowStanding};
use crate::respond::Client;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, REFERER};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;

// To look for a name that is not made once is dearer than what it finds.
const HTTP_REFERER: HeaderName = HeaderName::from_static("http-referer");
const X_TITLE: HeaderName = HeaderName::from_static("x-title");
const X_SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// The application that asks, as it names itself: its title, else its address without what may tell of a person.
pub(crate) fn app(headers: &HeaderMap, bytes_max: usize) -> String {
    let address = || text(headers, HTTP_REFERER).or_else(|| text(headers, REFERER));
    let named = text(headers, X_TITLE).or_else(|| address().map(without_query));
    shortened(named, bytes_max)
}

/// The session that a request belongs to, where its body does not say.
pub(crate) fn session(headers: &HeaderMap, bytes_max: usize) -> String {
    shortened(text(headers, X_SESSION_ID), bytes_max)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn shortened(said: Option<&str>, bytes_max: usize) -> String {
    said.unwrap_or_default().chars().take(bytes_max).filter(|c| !c.is_control()).collect()
}

/// A query or a fragment is what one visitor asked for, not who the application is.
fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// How soon another data plane may be expected to be asked.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What is asked of a data plane that is stopping.
pub(crate) fn stopping() -> ApiError {
    let message = "this data plane is stopping: try again, another one will answer";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
        .after(ELSEWHERE)
        .retry(true)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header lines of an answer, about.
const HEADERS: usize = 12;

/// The head of an answer.
pub(crate) fn head(
    status: StatusCode,
    content_type: HeaderValue,
    request_id: &str,
    standing: &RateStanding,
) -> Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers.reserve(HEADERS);
    parts.headers.insert(CONTENT_TYPE, content_type);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        parts.headers.insert(REQUEST_ID, id);
    }
    rate_headers(&mut parts.headers, standing);
    parts
}

/// The names of one window's headers. Made once: to make one of text is most of what a header costs.
struct WindowHeaders {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: WindowHeaders = WindowHeaders {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: WindowHeaders = WindowHeaders {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// `x-ratelimit-*` as OpenAI writes them.
pub(crate) fn rate_headers(headers: &mut HeaderMap, standing: &RateStanding) {
    let mut put = |window: &Option<WindowStanding>, names: WindowHeaders| {
        let Some(window) = window else {
            return;
        };
        headers.insert(names.limit, HeaderValue::from(window.limit));
        headers.insert(names.remaining, HeaderValue::from(window.remaining));
        let mut millis = (window.reset_us / 1000).to_string();
        millis.push_str("ms");
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(millis)) {
            headers.insert(names.reset, value);
        }
    };
    put(&standing.requests, REQUESTS);
    put(&standing.tokens, TOKENS);
}

/// Says what is wrong: as a response if none has begun, else as the stream's last event.
pub(crate) async fn refuse(client: &Client, refusal: ApiError, request_id: &str) {
    let said = if client.has_begun() {
        client.send(refusal.event(request_id)).await
    } else {
        let (mut head, body) = refusal.response(request_id).into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        client.begin(head);
        client.send(body).await
    };
    if said.is_err() {
        tracing::debug!(request_id, "the client was gone before it could be told");
    }
}

/// Sends and does not mind if nobody listens.
pub(crate) async fn offer(client: &Client, bytes: Bytes) -> bool {
    client.send(bytes).await.is_ok()
}
