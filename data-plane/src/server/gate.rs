//! What holds for every exchange, whatever it asks for: a request that two readers could read in two ways goes no
//! further, and no answer may be kept by a cache or another customer. Where paths lead is `api`'s business.

use crate::api::{self, Api};
use crate::client_address::Peer;
use crate::error::ApiError;
use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONNECTION, HOST, TRANSFER_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;

/// One exchange.
pub(super) async fn serve(
    api: &Api,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let refusal = refusal(&request);
    let is_last = refusal.is_some() || is_last(&request);
    let mut response = match refusal {
        Some(refusal) => api::refuse(refusal),
        None => api.answer(peer, request.map(Body::new)).await?,
    };
    keep_private(response.headers_mut());
    // Looked at when all is done: it may have begun meanwhile.
    if is_last || api.is_leaving() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Who stands between us and the client may frame such requests in another way, so nothing after one is read. HTTP/1.0
/// has no chunks, so that closing is what ends its answers.
fn is_last(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_10 || request.headers().contains_key(TRANSFER_ENCODING)
}

/// Framing proper (lengths, folded lines, bytes that no header has) is refused by the HTTP library before this.
fn refusal(request: &Request<Incoming>) -> Option<ApiError> {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter().count();
    let is_needed = request.version() == Version::HTTP_11;
    if hosts > 1 || (hosts == 0 && is_needed) {
        return Some(ApiError::invalid("host", "the request must have one Host header"));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    let is_plain = codings.next().is_none_or(is_chunked) && codings.next().is_none();
    if !is_plain {
        let message = "the only transfer-encoding is chunked: use content-encoding to compress";
        return Some(ApiError::invalid("transfer-encoding", message));
    }
    None
}

/// Answers depend on the key.
fn keep_private(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(VARY, HeaderValue::from_static("authorization"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
