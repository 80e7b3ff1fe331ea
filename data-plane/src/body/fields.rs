//! Typed reading of single fields: what is there, and what is wrong with it by its name.

use crate::body::envelope::{Field, Members};
use crate::error::ApiError;

/// A body with its fields found.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) text: &'a str,
    pub(crate) members: &'a Members,
}

impl<'a> Fields<'a> {
    /// The text of a value that is there and not null.
    pub(crate) fn value(&self, field: Field) -> Option<&'a str> {
        let at = self.members.at(field)?;
        self.text.get(at.clone()).filter(|value| *value != "null")
    }

    /// The text of a value that must be there; `remedy` says what to send.
    pub(crate) fn needed(&self, field: Field, remedy: &str) -> Result<&'a str, ApiError> {
        self.value(field).ok_or_else(|| {
            let name = field.name();
            ApiError::invalid(name, format!("`{name}` is missing: {remedy}"))
        })
    }

    /// True or false; false where it is not there.
    pub(crate) fn flag(&self, field: Field) -> Result<bool, ApiError> {
        let name = field.name();
        match self.value(field) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be true or false"))),
        }
    }

    /// A count of at least `least`, written as a whole number.
    pub(crate) fn count(&self, field: Field, least: u32) -> Result<Option<u64>, ApiError> {
        let Some(raw) = self.value(field) else {
            return Ok(None);
        };
        let name = field.name();
        let refuse = || {
            let message = format!("`{name}` must be a whole number from {least} to {}", u32::MAX);
            ApiError::invalid(name, message)
        };
        let number: u32 = raw.parse().map_err(|_| refuse())?;
        if number < least || raw.starts_with('+') { Err(refuse()) } else { Ok(Some(number.into())) }
    }

    /// A string; `None` where it is not there.
    pub(crate) fn string(&self, field: Field, example: &str) -> Result<Option<String>, ApiError> {
        let name = field.name();
        let refuse = |_| {
            let message = format!("`{name}` must be a string, for instance \"{example}\"");
            ApiError::invalid(name, message)
        };
        self.value(field).map(serde_json::from_str).transpose().map_err(refuse)
    }
}
