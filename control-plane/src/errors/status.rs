//! How errors look on the wire: a code, one `ErrorInfo` with a reason that programs can rely on, and the fields or
//! objects that are meant. Everything is cut to what fits into HTTP headers, where gRPC puts it.

use super::{AdminError, Failure, OperatorRefusal, Refusal, TokenFault};
use domain::catalog::Violation;
use domain::config::Kind;
use std::collections::HashMap;
use std::error::Error;
use storage::StorageError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Whose reasons they are.
pub(crate) const DOMAIN: &str = "turnpike";

/// Characters of one text.
const TEXT_LENGTH_MAX: usize = 400;
/// Violations that are told; the rest are counted. Clients accept 16 KiB of headers, and details are in base64.
const VIOLATIONS_TOLD: usize = 8;

impl From<AdminError> for Status {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Refused(refusal) => refusal.into(),
            AdminError::Failed(failure) => failure.into(),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = classify(&refusal);
        // Only what programs may rely on: the text may repeat what the operator wrote.
        tracing::debug!(reason, "admin call refused");
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, metadata(&refusal));
        match &refusal {
            Refusal::Invalid(violations) => {
                for violation in violations.iter().take(VIOLATIONS_TOLD) {
                    details.add_bad_request_violation(path(violation), cut(&violation.reason));
                }
            }
            Refusal::Argument { field, reason } => {
                details.add_bad_request_violation(*field, cut(reason));
            }
            Refusal::PageToken(fault) => {
                details.add_bad_request_violation("page_token", fault.to_string());
            }
            Refusal::RequestIdReused { .. } => {
                details.add_bad_request_violation("request_id", message(&refusal));
            }
            Refusal::InUse { kind, name, needed_by } => {
                let subject = cut(&format!("{kind} {name:?}"));
                for needed in needed_by.iter().take(VIOLATIONS_TOLD) {
                    let description = cut(&format!("cannot be deleted: {needed}"));
                    details.add_precondition_failure_violation(reason, &subject, description);
                }
            }
            Refusal::Money { kind, name, reason: why } => {
                let subject = cut(&format!("{kind} {name:?}"));
                details.add_precondition_failure_violation(reason, subject, cut(why));
            }
            Refusal::DataPlane { name, reason: why } => {
                details.add_precondition_failure_violation(reason, cut(name), cut(why));
            }
            Refusal::UsageGap { gap, reason: why } => {
                details.add_precondition_failure_violation(reason, cut(gap), cut(why));
            }
            Refusal::StillRotating { name, .. } => {
                let subject = cut(&format!("{} {name:?}", Kind::Key));
                details.add_precondition_failure_violation(reason, subject, message(&refusal));
            }
            Refusal::NotFound { kind, name }
            | Refusal::AlreadyExists { kind, name }
            | Refusal::Stale { kind, name, .. } => {
                let kind = format!("turnpike.admin.v1.{kind}");
                details.set_resource_info(kind, cut(name), "", cut(&refusal.to_string()));
            }
            Refusal::UnknownRequest { .. }
            | Refusal::RolledUp { .. }
            | Refusal::NoContent { .. }
            | Refusal::Denied { .. }
            | Refusal::Operator(_) => {}
        }
        Self::with_error_details(code, message(&refusal), details)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let (code, reason) = match &failure {
            Failure::Storage(StorageError::OutcomeUnknown(_)) => (Code::Unknown, "OUTCOME_UNKNOWN"),
            // What is wrong was said by the caller: a text that passed all that is looked at before.
            Failure::Storage(StorageError::Unstorable(_)) => {
                (Code::InvalidArgument, "TEXT_UNSTORABLE")
            }
            Failure::Storage(error) if error.is_transient() => {
                (Code::Unavailable, "STORAGE_UNAVAILABLE")
            }
            Failure::Storage(_) => (Code::Internal, "STORAGE_FAILED"),
            Failure::Unreadable { .. } => (Code::Internal, "ROW_UNREADABLE"),
            Failure::OutcomeUnknown(_) | Failure::Died => (Code::Unknown, "OUTCOME_UNKNOWN"),
            Failure::CommitsLost { .. } => (Code::Unavailable, "COMMITS_LOST"),
            Failure::Generation { .. } | Failure::OutOfStep { .. } => {
                (Code::Internal, "OUT_OF_STEP")
            }
            Failure::NoDescriptor(_) => (Code::Internal, "NO_DESCRIPTOR"),
            Failure::NoRandomness => (Code::Internal, "NO_RANDOMNESS"),
            Failure::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
        };
        let cause = failure.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(reason, error = %failure, cause, "admin call failed");
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, []);
        Self::with_error_details(code, cut(&failure.to_string()), details)
    }
}

const fn classify(refusal: &Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::Invalid(_) => (Code::InvalidArgument, "INVALID_OBJECT"),
        Refusal::Argument { .. } => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        Refusal::PageToken(TokenFault::Garbled) => (Code::InvalidArgument, "PAGE_TOKEN_GARBLED"),
        Refusal::PageToken(TokenFault::Foreign) => (Code::InvalidArgument, "PAGE_TOKEN_FOREIGN"),
        Refusal::PageToken(TokenFault::Stale { .. }) => (Code::InvalidArgument, "PAGE_TOKEN_STALE"),
        Refusal::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        Refusal::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        Refusal::Stale { .. } => (Code::Aborted, "ETAG_MISMATCH"),
        Refusal::InUse { .. } => (Code::FailedPrecondition, "IN_USE"),
        Refusal::Money { .. } => (Code::FailedPrecondition, "MONEY_IN_THE_WAY"),
        Refusal::DataPlane { .. } => (Code::FailedPrecondition, "DATA_PLANE"),
        Refusal::UsageGap { .. } => (Code::FailedPrecondition, "USAGE_GAP"),
        Refusal::StillRotating { .. } => (Code::FailedPrecondition, "STILL_ROTATING"),
        Refusal::UnknownRequest { .. } => (Code::NotFound, "REQUEST_NOT_FOUND"),
        Refusal::Denied { .. } => (Code::PermissionDenied, "PERMISSION_DENIED"),
        Refusal::RequestIdReused { .. } => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        Refusal::Operator(refusal) => match refusal {
            OperatorRefusal::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            OperatorRefusal::Exists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
            OperatorRefusal::Stale { .. } => (Code::Aborted, "ETAG_MISMATCH"),
            OperatorRefusal::Root => (Code::FailedPrecondition, "ROOT_OPERATOR"),
            OperatorRefusal::CallerChanged => (Code::Unauthenticated, "OPERATOR_CHANGED"),
        },
        Refusal::RolledUp { .. } => (Code::NotFound, "REQUEST_ROLLED_UP"),
        Refusal::NoContent { .. } => (Code::NotFound, "NO_CONTENT"),
    }
}

fn metadata(refusal: &Refusal) -> HashMap<String, String> {
    let object = |kind: Kind, name: &str| {
        HashMap::from([("kind".to_owned(), kind.to_string()), ("name".to_owned(), cut(name))])
    };
    match refusal {
        Refusal::Invalid(violations) => {
            HashMap::from([("violations".to_owned(), violations.len().to_string())])
        }
        Refusal::Argument { field, .. } => {
            HashMap::from([("field".to_owned(), (*field).to_owned())])
        }
        Refusal::PageToken(TokenFault::Garbled | TokenFault::Foreign) => HashMap::new(),
        Refusal::PageToken(TokenFault::Stale { token, current }) => HashMap::from([
            ("generation".to_owned(), token.to_string()),
            ("currentGeneration".to_owned(), current.to_string()),
        ]),
        Refusal::Stale { kind, name, given, current } => {
            let etags = [("etag", given), ("currentEtag", current)];
            let etags = etags.map(|(key, value)| (key.to_owned(), cut(value)));
            object(*kind, name).into_iter().chain(etags).collect()
        }
        Refusal::NotFound { kind, name }
        | Refusal::AlreadyExists { kind, name }
        | Refusal::InUse { kind, name, .. }
        | Refusal::Money { kind, name, .. } => object(*kind, name),
        Refusal::StillRotating { name, .. } => object(Kind::Key, name),
        Refusal::UnknownRequest { id }
        | Refusal::RolledUp { id }
        | Refusal::NoContent { id }
        | Refusal::RequestIdReused { id } => HashMap::from([("requestId".to_owned(), cut(id))]),
        Refusal::DataPlane { name, .. } => HashMap::from([("dataPlane".to_owned(), cut(name))]),
        Refusal::UsageGap { gap, .. } => HashMap::from([("gap".to_owned(), cut(gap))]),
        Refusal::Denied { .. } => HashMap::new(),
        Refusal::Operator(refusal) => match refusal {
            OperatorRefusal::NotFound { name }
            | OperatorRefusal::Exists { name }
            | OperatorRefusal::Stale { name, .. } => HashMap::from([
                ("kind".to_owned(), "Operator".to_owned()),
                ("name".to_owned(), cut(name)),
            ]),
            OperatorRefusal::Root | OperatorRefusal::CallerChanged => HashMap::new(),
        },
    }
}

/// The first of a list is told here, all of them in the details.
fn message(refusal: &Refusal) -> String {
    let text = cut(&refusal.to_string());
    let all = match refusal {
        Refusal::Invalid(violations) => violations.len(),
        Refusal::InUse { needed_by, .. } => needed_by.len(),
        _ => 1,
    };
    match all.saturating_sub(1) {
        0 => text,
        more => format!("{text} (and {more} more)"),
    }
}

fn path(violation: &Violation) -> String {
    cut(&format!("{} {:?}: {}", violation.kind, violation.name, violation.field))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TEXT_LENGTH_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_LENGTH_MAX).chain(['…']).collect()
}
