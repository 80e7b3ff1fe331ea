//! What callers ask to be done to one object, and what becomes of it. How the one follows from the other is `plan`'s
//! business.

use crate::audit::Entry;
use crate::key_secret::Foreign;
use crate::resource::Parts;
use crate::rows::Row;
use crate::settings::Secret;
use domain::config::Kind;
use std::time::Duration;

/// One thing to do to one object.
pub(crate) enum Step {
    /// It must be new.
    Create(Parts),
    /// It must be there; an empty mask replaces the whole spec.
    Update(Parts, Vec<String>),
    /// Whether it is there or not.
    Put(Parts),
    /// A key that is new, or there already just like that; with the secret that it has in another system, if any.
    Import(Parts, Option<Foreign>),
    /// A key that must be there gets a new secret.
    Rotate {
        /// Which.
        name: String,
        /// What the caller believes to be changing; empty: whatever it is.
        etag: String,
        /// How long the secret of before stays good.
        overlap: Duration,
    },
    /// It must be there, and nothing may need it.
    Delete {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
        /// What the caller believes to be deleting; empty: whatever it is.
        etag: String,
    },
}

impl Step {
    /// Of which kind the object is.
    pub(crate) fn kind(&self) -> Kind {
        self.target().0
    }

    pub(super) fn doomed(&self) -> Option<(Kind, String)> {
        match self {
            Self::Delete { kind, name, .. } => Some((*kind, name.clone())),
            Self::Create(_)
            | Self::Update(..)
            | Self::Put(_)
            | Self::Import(..)
            | Self::Rotate { .. } => None,
        }
    }

    pub(crate) fn target(&self) -> (Kind, &str) {
        match self {
            Self::Create(parts)
            | Self::Update(parts, _)
            | Self::Put(parts)
            | Self::Import(parts, _) => (parts.spec.kind(), &parts.name),
            Self::Rotate { name, .. } => (Kind::Key, name),
            Self::Delete { kind, name, .. } => (*kind, name),
        }
    }
}

/// What becomes of one object.
pub(crate) enum Fate {
    /// It is new.
    Created {
        /// What is stored.
        after: Row,
        /// A key's, to be shown once.
        secret: Option<Secret>,
    },
    /// It changes.
    Updated {
        /// What was stored.
        before: Box<Row>,
        /// What is.
        after: Row,
        /// A key's new one, to be shown once.
        secret: Option<Secret>,
    },
    /// It was like that already.
    Unchanged(Row),
    /// It is gone.
    Deleted(Row),
}

impl Fate {
    /// For people, and on the wire.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Updated { .. } => "updated",
            Self::Unchanged(_) => "unchanged",
            Self::Deleted(_) => "deleted",
        }
    }

    /// The object as it is now, or as it last was.
    pub(crate) const fn row(&self) -> &Row {
        match self {
            Self::Created { after, .. } | Self::Updated { after, .. } => after,
            Self::Unchanged(row) | Self::Deleted(row) => row,
        }
    }

    /// The same of something that was only tried: its secret does not exist.
    pub(crate) fn without_secret(self) -> Self {
        match self {
            Self::Created { after, .. } => Self::Created { after, secret: None },
            Self::Updated { before, after, .. } => Self::Updated { before, after, secret: None },
            other => other,
        }
    }

    /// What the audit chain says of it; `fields` are those that differ.
    pub(super) fn entry(&self, mut fields: Vec<String>) -> Option<Entry> {
        let row = self.row();
        let (before, after) = match self {
            Self::Created { after, .. } => (None, Some(after)),
            Self::Updated { before, after, .. } => {
                if before.secret != after.secret {
                    let field = if row.spec.kind() == Kind::Key { "secret" } else { "credential" };
                    fields.push(field.to_owned());
                }
                if before.previous != after.previous {
                    fields.push("previous_secret_expire_time".to_owned());
                }
                (Some(before.as_ref()), Some(after))
            }
            Self::Deleted(row) => (Some(row), None),
            Self::Unchanged(_) => return None,
        };
        let etag = |row: Option<&Row>| row.map(|row| row.rev.to_string()).unwrap_or_default();
        Some(Entry {
            resource: format!("{} {}", row.spec.kind(), row.name),
            etag_before: etag(before),
            etag_after: etag(after),
            detail: fields.join(", "),
        })
    }

    /// The same, kept.
    pub(crate) fn into_row(self) -> Row {
        match self {
            Self::Created { after, .. } | Self::Updated { after, .. } => after,
            Self::Unchanged(row) | Self::Deleted(row) => row,
        }
    }
}
