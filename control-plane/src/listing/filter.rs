//! `filter`: a small part of AIP-160. `field = value` terms joined by AND; a value that ends in `*` is a prefix.
//!
//! It is read by hand, since it has three kinds of words. Which rows it is asked about is the listing's business.

mod read;
mod values;

use crate::errors::Refusal;
use crate::settings::AdminLimits;
use domain::config::Kind;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::ops::Range;

/// Written, never read back: whoever could ask for it could guess it.
const SECRET_FIELDS: [&str; 1] = ["credential"];

/// Terms that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    terms: Vec<Term>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    /// `name`, or a path in the spec without `spec.`.
    field: String,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Exactly(String),
    Beginning(String),
}

impl Wanted {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => text == wanted,
            Self::Beginning(wanted) => text.starts_with(wanted.as_str()),
        }
    }
}

impl Filter {
    /// Reads what callers write; empty text lets everything through.
    pub(crate) fn parse(text: &str, limits: &AdminLimits) -> Result<Self, Refusal> {
        if text.len() > limits.filter_bytes_max {
            let most = limits.filter_bytes_max;
            return Err(refused(format!("it has {} bytes; at most {most} are read", text.len())));
        }
        read::terms(text).map(|terms| Self { terms }).map_err(refused)
    }

    /// Whether it lets everything through.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Refuses what is neither the name nor a field of the spec, and values that the field cannot have.
    pub(crate) fn check_spec(&self, spec: &MessageDescriptor) -> Result<(), Refusal> {
        for term in self.terms.iter().filter(|term| term.field != "name") {
            values::check(spec, term).map_err(refused)?;
        }
        Ok(())
    }

    /// Refuses all but these fields, for lists of what has no spec.
    pub(crate) fn check_fields(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.terms.iter().find(|term| !known.contains(&term.field.as_str())) {
            None => Ok(()),
            Some(term) => Err(refused(unknown(&term.field, known.iter().copied()))),
        }
    }

    /// Whether the terms about the name hold.
    pub(crate) fn matches_name(&self, name: &str) -> bool {
        self.matches("name", name)
    }

    /// Whether the terms about a field hold, when it has this value.
    pub(crate) fn matches(&self, field: &str, value: &str) -> bool {
        self.terms.iter().filter(|term| term.field == field).all(|term| term.wanted.fits(value))
    }

    /// Whether the terms about the spec hold.
    pub(crate) fn matches_spec(&self, spec: &DynamicMessage) -> bool {
        self.terms
            .iter()
            .filter(|term| term.field != "name")
            .all(|term| values::any(spec, &term.field, &|value| values::fits(value, &term.wanted)))
    }

    /// The one value that a field must have, if there is a term that says so.
    pub(crate) fn exactly(&self, field: &str) -> Option<&str> {
        self.terms.iter().filter(|term| term.field == field).find_map(|term| match &term.wanted {
            Wanted::Exactly(value) => Some(value.as_str()),
            Wanted::Beginning(_) => None,
        })
    }

    /// The names among which everything is that can fit: keys begin with their org.
    pub(crate) fn names(&self, kind: Kind) -> Range<String> {
        let mut names = String::new()..char::MAX.to_string();
        for term in &self.terms {
            let range = match (term.field.as_str(), &term.wanted) {
                // No character of a name comes before `!`, and a NUL could not be asked for.
                ("name", Wanted::Exactly(name)) => name.clone()..format!("{name}!"),
                ("name", Wanted::Beginning(prefix)) => beginning_with(prefix),
                ("org", Wanted::Exactly(org)) if kind == Kind::Key => {
                    beginning_with(&format!("{org}/"))
                }
                _ => continue,
            };
            names = names.start.max(range.start)..names.end.min(range.end);
        }
        names
    }
}

fn beginning_with(prefix: &str) -> Range<String> {
    prefix.to_owned()..format!("{prefix}{}", char::MAX)
}

fn unknown<'a>(field: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    format!("there is no field {field:?} to filter by; there are {}", known.join(", "))
}

fn refused(reason: String) -> Refusal {
    Refusal::Argument { field: "filter", reason }
}

#[cfg(test)]
mod tests;
