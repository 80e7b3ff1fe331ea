//! How a command fails: an exit code, and one line that says what is wrong and how to mend it.

use crate::config::ConfigError;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Where the operator's token comes from.
pub(crate) const TOKEN_VARIABLE: &str = "TURNPIKE_ADMIN_TOKEN";

/// What a command's exit code says. Zero, "done", is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed, or what was compared differs.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The server is not reachable.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unreachable => Self::from(3),
        }
    }
}

/// Why a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// For stderr; empty when all has been said already.
    pub(crate) message: String,
}

impl Failure {
    /// It failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// Something was written wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// The control plane does not answer at that address.
    pub(crate) fn unreachable(address: &str, cause: &dyn Error) -> Self {
        Self {
            exit: Exit::Unreachable,
            message: format!(
                "the control plane at {address} is not reachable ({}); start it with `turnpike up`, or set \
                 TURNPIKE_ADMIN_ADDR to where it listens",
                innermost(cause)
            ),
        }
    }

    /// What a call's status means to the one who typed the command.
    pub(crate) fn from_status(address: &str, status: &Status) -> Self {
        match status.code() {
            Code::Unavailable => Self::unreachable(address, status),
            Code::DeadlineExceeded | Code::Cancelled => Self {
                exit: Exit::Unreachable,
                message: format!(
                    "the control plane at {address} did not answer in time ({}); it may still do what was asked; \
                     allow it more time with --timeout",
                    innermost(status)
                ),
            },
            Code::Unknown if status.source().is_some() => Self::unreachable(address, status),
            Code::Unauthenticated if status.message().contains(TOKEN_VARIABLE) => {
                Self::failed(reason(status))
            }
            Code::Unauthenticated => Self::failed(format!(
                "{}; set {TOKEN_VARIABLE}, or name a file that holds it with --admin-token-file",
                reason(status)
            )),
            Code::Unimplemented => Self::failed(format!(
                "the control plane at {address} does not know this call ({}); it may be older than this command",
                status.message()
            )),
            _ => Self::failed(reason(status)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// The message with every violation that came along: on one line when there is one, else a line for each.
fn reason(status: &Status) -> String {
    let message = match status.message() {
        "" => status.code().description(),
        text => text,
    };
    let violations = violations(&status.get_error_details());
    match violations.as_slice() {
        [] => message.to_owned(),
        [only] if message.contains(only.as_str()) => message.to_owned(),
        [only] => format!("{message}: {only}"),
        // A message that only sums up what follows would say it twice.
        [first, ..] if message.contains(first.as_str()) => {
            format!("{} things are wrong:\n  {}", violations.len(), violations.join("\n  "))
        }
        several => format!("{message}:\n  {}", several.join("\n  ")),
    }
}

fn violations(details: &ErrorDetails) -> Vec<String> {
    let fields = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
    let fields = fields.map(|violation| join(&violation.field, &violation.description));
    let conditions =
        details.precondition_failure().into_iter().flat_map(|failed| &failed.violations);
    let conditions = conditions.map(|violation| join(&violation.subject, &violation.description));
    fields.chain(conditions).collect()
}

fn join(what: &str, description: &str) -> String {
    if what.is_empty() { description.to_owned() } else { format!("{what}: {description}") }
}

/// "Connection refused" says more than the three wrappings round it.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "http://127.0.0.1:7070";

    fn with_details(details: ErrorDetails) -> Failure {
        let status =
            Status::with_error_details(Code::InvalidArgument, "2 objects are wrong", details);
        Failure::from_status(ADDRESS, &status)
    }

    #[test]
    fn every_field_violation_is_listed() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("models/a.spec.routes[0].upstream", "no upstream \"x\"");
        details.add_bad_request_violation("orgs/b.spec.plan", "no plan \"y\"");
        let failure = with_details(details);
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.message,
            "2 objects are wrong:\n  models/a.spec.routes[0].upstream: no upstream \"x\"\n  orgs/b.spec.plan: no plan \"y\""
        );
    }

    #[test]
    fn a_message_that_sums_up_is_not_repeated() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("a", "is wrong");
        details.add_bad_request_violation("b", "is wrong too");
        let status =
            Status::with_error_details(Code::InvalidArgument, "a: is wrong (and 1 more)", details);
        let failure = Failure::from_status(ADDRESS, &status);
        assert_eq!(failure.message, "2 things are wrong:\n  a: is wrong\n  b: is wrong too");
    }

    #[test]
    fn a_single_violation_stays_on_the_line() {
        let details = ErrorDetails::with_bad_request_violation("spec.plan", "no plan \"y\"");
        assert_eq!(with_details(details).message, "2 objects are wrong: spec.plan: no plan \"y\"");
    }

    #[test]
    fn the_code_decides_the_exit() {
        let table = [
            (Code::Unavailable, Exit::Unreachable),
            (Code::DeadlineExceeded, Exit::Unreachable),
            (Code::NotFound, Exit::Failed),
            (Code::InvalidArgument, Exit::Failed),
            (Code::Unauthenticated, Exit::Failed),
            (Code::FailedPrecondition, Exit::Failed),
        ];
        for (code, exit) in table {
            let failure = Failure::from_status(ADDRESS, &Status::new(code, "why"));
            assert_eq!(failure.exit, exit, "{code:?}");
            assert!(failure.message.contains("why"), "{code:?}: {failure}");
        }
    }

    #[test]
    fn a_refused_token_says_where_tokens_come_from() {
        let failure =
            Failure::from_status(ADDRESS, &Status::unauthenticated("unknown operator token"));
        assert!(failure.message.contains("TURNPIKE_ADMIN_TOKEN"), "{failure}");
    }
}
