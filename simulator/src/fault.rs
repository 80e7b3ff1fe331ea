//! The closed list of faults, and the error answer of those that are answers. How the others play
//! on the wire is `reply`'s business (whole answers) and `chat::stream`'s (event streams).

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// A way for the provider to fail, as named in `x_simulator.fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 400.
    BadRequest,
    /// 401 whose message repeats the credential it was sent, as real providers do.
    Unauthorized,
    /// 429, with `Retry-After` when `retry_after` is given.
    RateLimit,
    /// 500.
    ServerError,
    /// 503, with `Retry-After` when `retry_after` is given.
    Unavailable,
    /// The connection is reset (TCP RST) before any header.
    Reset,
    /// The request is read and never answered; the connection stays open.
    Silence,
    /// Headers at once, the first byte of the body after `delay_ms`.
    SlowFirstToken,
    /// The connection closes after `at` chunks, without finish reason or terminator; an answer that
    /// is no stream closes half-way through its declared length.
    Cut,
    /// As [`Fault::Cut`], but the connection stays open and silent.
    Stall,
    /// After `at` good chunks one is `data: {"id": broken`, then the stream goes on; an answer that
    /// is no stream is that text alone.
    MalformedChunk,
    /// A whole stream, but for its `[DONE]`, after which the connection closes properly.
    NoDone,
    /// A whole answer without any usage.
    NoUsage,
    /// A whole answer whose counted usage is multiplied by ten.
    LyingUsage,
    /// 400 when the last message is the assistant's; without effect otherwise.
    PrefillRefused,
    /// 400 `context_length_exceeded`.
    ContextLength,
    /// 400 `content_filter`; in a stream with `at` above 0, an answer of `at` tokens that finishes
    /// with reason `content_filter`.
    ContentFilter,
    /// 200 with an HTML page, as broken proxies send.
    Html,
    /// 307 to another path of the same simulator, where the request would be answered.
    Redirect,
    /// 200 and a stream whose only event is an error.
    ErrorFirst,
    /// An error event after `at` chunks, then the stream ends without `[DONE]`.
    ErrorMid,
    /// 200, no content, finish reason `stop`, 0 completion tokens.
    Empty,
}

/// What the error answers echo of the request.
pub(crate) struct Echo<'a> {
    pub(crate) credential: &'a str,
    pub(crate) retry_after: Option<u64>,
}

impl Fault {
    /// Whether the client still gets a whole answer, by the letter of the protocol.
    pub(crate) fn leaves_answer_whole(self) -> bool {
        matches!(
            self,
            Self::SlowFirstToken | Self::NoDone | Self::NoUsage | Self::LyingUsage | Self::Empty
        )
    }

    /// The error that replaces the answer; `None` for the faults that are not errors over HTTP.
    pub(crate) fn error(self, echo: &Echo<'_>) -> Option<ApiError> {
        let error = match self {
            Self::BadRequest => ApiError::invalid("Your request is invalid (simulated)."),
            Self::Unauthorized => ApiError::invalid(format!(
                "Incorrect API key provided: {}. You can find your API key at your provider.",
                echo.credential
            ))
            .status(StatusCode::UNAUTHORIZED)
            .code("invalid_api_key"),
            Self::RateLimit => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                "Rate limit reached for requests (simulated).",
            )
            .code("rate_limit_exceeded")
            .retry_after(echo.retry_after),
            Self::ServerError => ApiError::broken("The server had an error (simulated)."),
            Self::Unavailable => ApiError::broken("The engine is overloaded (simulated).")
                .status(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(echo.retry_after),
            Self::PrefillRefused => ApiError::invalid(
                "This model does not support assistant message prefill. \
                 The conversation must end with a user message.",
            )
            .param("messages"),
            Self::ContextLength => ApiError::invalid(
                "This model's maximum context length is 128000 tokens (simulated). \
                 Please reduce the length of the messages.",
            )
            .param("messages")
            .code("context_length_exceeded"),
            Self::ContentFilter => ApiError::invalid(
                "The response was filtered due to the prompt triggering content management policy.",
            )
            .param("prompt")
            .code("content_filter"),
            Self::Reset
            | Self::Silence
            | Self::SlowFirstToken
            | Self::Cut
            | Self::Stall
            | Self::MalformedChunk
            | Self::NoDone
            | Self::NoUsage
            | Self::LyingUsage
            | Self::Html
            | Self::Redirect
            | Self::ErrorFirst
            | Self::ErrorMid
            | Self::Empty => return None,
        };
        Some(error)
    }
}
