//! The public error table: what a client is told, in which status, and whether its SDK should try again.
//!
//! Each stage has its own error; here each becomes one row. Texts name the field or the remedy and never hold anything an
//! upstream said about itself.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// OpenRouter's vocabulary of error types, as far as we answer with them
/// (<https://openrouter.ai/docs/api-reference/errors>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorType {
    InvalidRequest,
    ContextLengthExceeded,
    ContentPolicyViolation,
    Authentication,
    PaymentRequired,
    PermissionDenied,
    NotFound,
    PayloadTooLarge,
    Unprocessable,
    RateLimitExceeded,
    Server,
    ProviderUnavailable,
    ProviderOverloaded,
    Timeout,
}

impl ErrorType {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::ContentPolicyViolation => "content_policy_violation",
            Self::Authentication => "authentication",
            Self::PaymentRequired => "payment_required",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Unprocessable => "unprocessable",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::Server => "server",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderOverloaded => "provider_overloaded",
            Self::Timeout => "timeout",
        }
    }
}

/// One row of the table, filled in. Boxed, because it travels in many results and is seldom there.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Row>);

#[derive(Clone, Debug)]
struct Row {
    status: StatusCode,
    error_type: ErrorType,
    message: String,
    metadata: Map<String, Value>,
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    headers: HeaderMap,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        error_type: ErrorType,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Row {
            status,
            error_type,
            message: message.into(),
            metadata: Map::new(),
            retry_after: None,
            should_retry: None,
            headers: HeaderMap::new(),
        }))
    }

    /// 400, with the request's field at fault.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorType::InvalidRequest, message).with("field", field)
    }

    /// 500 for what should not happen.
    pub(crate) fn ours() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorType::Server,
            "something went wrong on our side; report it with metadata.request_id",
        )
    }

    /// Adds to `metadata`.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// Tells when to come back.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Steers the retries that SDKs do by themselves.
    pub(crate) fn retry(mut self, should: bool) -> Self {
        self.0.should_retry = Some(should);
        self
    }

    /// Adds response headers.
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers = headers;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What kind it is, in one word of a closed set.
    pub(crate) fn kind(&self) -> &'static str {
        self.0.error_type.name()
    }

    /// `{"error":{"code","message","metadata"}}`, in a stream after the first byte the last event's data.
    pub(crate) fn body(&self, request_id: &str) -> Bytes {
        let mut metadata = self.0.metadata.clone();
        metadata.insert("error_type".into(), self.0.error_type.name().into());
        metadata.insert("request_id".into(), request_id.into());
        let error = json!({"error": {
            "code": self.0.status.as_u16(),
            "message": self.0.message,
            "type": self.0.error_type.name(),
            "metadata": metadata,
        }});
        Bytes::from(error.to_string())
    }

    /// As the last event of a stream that has begun: an error alone, which every SDK raises.
    pub(crate) fn event(&self, request_id: &str) -> Bytes {
        let body = self.body(request_id);
        Bytes::from([b"data: ".as_slice(), &body, b"\n\n"].concat())
    }

    /// As a whole response.
    pub(crate) fn response(self, request_id: &str) -> Response<Body> {
        let body = self.body(request_id);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.extend(self.0.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", id);
        }
        if let Some(wait) = self.0.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000).max(1)));
            headers.insert("retry-after-ms", HeaderValue::from(millis.max(1)));
        }
        if let Some(should) = self.0.should_retry {
            let text = if should { "true" } else { "false" };
            headers.insert("x-should-retry", HeaderValue::from_static(text));
        }
        response
    }
}
