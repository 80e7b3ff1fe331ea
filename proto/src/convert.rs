//! Conversions between messages and `domain`. Reading is strict: what cannot be understood is refused with the field
//! that was wrong, never guessed.

pub mod feed;
pub mod usage;

use std::fmt::Display;
use thiserror::Error;

/// A message that cannot be read as what it claims to be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct Unreadable {
    /// Which field, as a path from the message that was read.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Unreadable {
    fn new(field: &str, reason: impl Display) -> Self {
        Self { field: field.to_owned(), reason: reason.to_string() }
    }

    fn missing(field: &str) -> Self {
        Self::new(field, "missing")
    }

    fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}
