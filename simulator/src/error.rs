//! Error answers in OpenAI's shape, for scripted faults and for requests the simulator cannot read.

use hyper::{
    StatusCode,
    header::{HeaderValue, RETRY_AFTER},
};
use serde_json::{Value, json};

use crate::reply::Reply;

/// An error as OpenAI words it: `{"error":{"message","type","param","code"}}` and a status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, message, param: None, code: None, retry_after: None }
    }

    /// The caller's mistake: 400 unless [`Self::status`] says otherwise.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// The provider's own failure: 500 unless [`Self::status`] says otherwise.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The failure that turns up inside an answer which began with 200.
    pub(crate) fn in_stream() -> Self {
        Self::broken("The server had an error while processing your request (simulated).")
            .code("server_error")
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Seconds for the `Retry-After` header.
    pub(crate) fn retry_after(self, retry_after: Option<u64>) -> Self {
        Self { retry_after, ..self }
    }

    /// The body, which is also the payload of an in-stream error event.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }

    pub(crate) fn reply(&self) -> Reply {
        let mut reply = Reply::json(self.status, self.body().to_string());
        if let Some(seconds) = self.retry_after {
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }
}
