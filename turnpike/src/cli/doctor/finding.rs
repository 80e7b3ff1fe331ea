//! What was looked at, and what was found.

use serde_json::{Value as Json, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// It works, but will not for long, or not safely.
    Warning,
    Wrong,
    /// It could not be looked at, because something else is not there.
    Skipped,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do about it; empty when nothing.
    pub(super) mend: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), mend: String::new() }
    }

    pub(super) fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, found: why.into(), mend: String::new() }
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Warning, found: found.into(), mend: mend.into() }
    }

    pub(super) fn wrong(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Wrong, found: found.into(), mend: mend.into() }
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "check": self.check,
            "state": self.state.name(),
            "found": self.found,
            "mend": self.mend,
        })
    }
}
