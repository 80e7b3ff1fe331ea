//! Collects violations, so that checks read as one line per rule.

use crate::catalog::Violation;
use crate::config::Kind;
use std::fmt::Display;

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    /// Goes on about one object.
    pub(super) fn about<'a>(&'a mut self, kind: Kind, name: &'a str) -> Subject<'a> {
        Subject { found: &mut self.0, kind, name }
    }

    /// In order of kind, name and field, each once.
    pub(super) fn into_sorted(self) -> Vec<Violation> {
        let mut violations = self.0;
        violations.sort();
        violations.dedup();
        violations
    }
}

/// The object that is being looked at.
pub(super) struct Subject<'a> {
    found: &'a mut Vec<Violation>,
    kind: Kind,
    name: &'a str,
}

impl Subject<'_> {
    /// Something is wrong with a field.
    pub(super) fn refuse(&mut self, field: impl Display, reason: impl Display) {
        self.found.push(Violation {
            kind: self.kind,
            name: self.name.to_owned(),
            field: field.to_string(),
            reason: reason.to_string(),
        });
    }

    /// The field must be as claimed, else `reason` says why not.
    pub(super) fn require(&mut self, claim: bool, field: impl Display, reason: impl Display) {
        if !claim {
            self.refuse(field, reason);
        }
    }

    /// A check of the field that tells by itself what is wrong.
    pub(super) fn expect<E: Display>(&mut self, field: impl Display, result: Result<(), E>) {
        if let Err(wrong) = result {
            self.refuse(field, wrong);
        }
    }
}
