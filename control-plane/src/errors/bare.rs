//! Errors that no code of ours made: unknown methods, messages that are too large or cannot be read. They get the
//! `ErrorInfo` that every error has.

use super::DOMAIN;
use tonic::codegen::http::Response;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Adds what an error without details lacks.
pub(crate) fn explain_bare<Body>(mut response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(reason(status.code()), DOMAIN, []);
    let explained = Status::with_error_details(status.code(), status.message(), details);
    if let Err(refused) = explained.add_header(response.headers_mut()) {
        tracing::warn!(error = %refused, "an error could not be explained");
    }
    response
}

const fn reason(code: Code) -> &'static str {
    match code {
        Code::Unimplemented => "UNKNOWN_METHOD",
        Code::OutOfRange | Code::ResourceExhausted => "MESSAGE_TOO_LARGE",
        Code::DeadlineExceeded | Code::Cancelled => "TIMED_OUT",
        Code::NotFound => "NOT_FOUND",
        Code::Unavailable => "UNAVAILABLE",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => "UNREADABLE_MESSAGE",
    }
}
