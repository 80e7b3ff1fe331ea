//! Where a request may go. Fails closed: a set that allows nothing allows nothing.

use std::collections::BTreeSet;
use std::fmt;
use thiserror::Error;

/// An ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction([u8; 2]);

/// Not a jurisdiction code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is not a jurisdiction: two capital letters are needed, for instance SG")]
pub struct BadJurisdiction(pub String);

impl Jurisdiction {
    /// Reads a code such as `SG`.
    ///
    /// # Errors
    /// When it is not two capital letters.
    pub fn parse(text: &str) -> Result<Self, BadJurisdiction> {
        let bytes: [u8; 2] =
            text.as_bytes().try_into().map_err(|_| BadJurisdiction(text.to_owned()))?;
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(bytes))
        } else {
            Err(BadJurisdiction(text.to_owned()))
        }
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one party (entity, org or key) allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// No restriction of its own.
    #[default]
    Any,
    /// Only these.
    Only(BTreeSet<Jurisdiction>),
}

impl Allowed {
    /// Reads a list as configured: an empty one restricts nothing.
    ///
    /// # Errors
    /// When an item is not a code.
    pub fn parse(list: &[String]) -> Result<Self, BadJurisdiction> {
        if list.is_empty() {
            return Ok(Self::Any);
        }
        list.iter().map(|text| Jurisdiction::parse(text)).collect::<Result<_, _>>().map(Self::Only)
    }

    /// Whether data may go there.
    #[must_use]
    pub fn permits(&self, place: Jurisdiction) -> bool {
        match self {
            Self::Any => true,
            Self::Only(places) => places.contains(&place),
        }
    }

    /// The places that this names and `outer` does not permit: what a narrower party may not add.
    #[must_use]
    pub fn beyond(&self, outer: &Self) -> Vec<Jurisdiction> {
        match self {
            Self::Any => Vec::new(),
            Self::Only(places) => {
                places.iter().copied().filter(|place| !outer.permits(*place)).collect()
            }
        }
    }

    /// Whether it permits no place at all. No list that people write reads as this.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Self::Only(places) if places.is_empty())
    }

    /// The list as configured; empty when nothing is restricted.
    #[must_use]
    pub fn to_list(&self) -> Vec<String> {
        match self {
            Self::Any => Vec::new(),
            Self::Only(places) => places.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether every party allows the place: entity, org and key each can only narrow.
#[must_use]
pub fn all_permit<'a>(parties: impl IntoIterator<Item = &'a Allowed>, place: Jurisdiction) -> bool {
    parties.into_iter().all(|party| party.permits(place))
}
