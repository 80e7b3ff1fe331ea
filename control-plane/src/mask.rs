//! Field masks of updates: which fields of a spec change. What may be named is what the spec's message has.

use crate::descriptors::{Descriptors, NoDescriptor};
use crate::resource::Spec;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::collections::BTreeSet;
use thiserror::Error;

/// Fields beside the spec: who sets them, since nobody can by an update.
const NOT_IN_THE_SPEC: [(&str, &str); 4] = [
    ("name", "a name is for ever; create another object"),
    ("etag", "only the server sets it; send what was read in the object itself"),
    ("create_time", "only the server sets it"),
    ("update_time", "only the server sets it"),
];

/// A mask that cannot be applied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadMask {
    /// Not a field of the spec.
    #[error("\"{path}\" is not a field of the spec: name any of {}, or leave the mask empty", known.join(", "))]
    UnknownPath {
        /// What was named.
        path: String,
        /// What may be.
        known: Vec<String>,
    },
    /// A field that no update changes.
    #[error("\"{path}\" cannot be updated: {why}")]
    NotUpdatable {
        /// What was named.
        path: String,
        /// Who sets it.
        why: &'static str,
    },
    /// Part of a field.
    #[error("\"{path}\" is only a part of \"{whole}\": name that, and send all of it")]
    Part {
        /// What was named.
        path: String,
        /// What may be.
        whole: String,
    },
    /// A field that is named twice.
    #[error("\"{path}\" is named twice: keep one of them")]
    Repeated {
        /// The second one.
        path: String,
    },
    /// All fields, and then some.
    #[error("\"{path}\" means every field: name it alone, or leave it out")]
    AllAndMore {
        /// What stands for all.
        path: String,
    },
    /// The compiled descriptors do not fit the generated code.
    #[error(transparent)]
    NoDescriptor(#[from] NoDescriptor),
}

/// Merges specs field by field, by their descriptors.
pub(crate) struct Masks(Descriptors);

impl Masks {
    /// By these descriptors.
    pub(crate) const fn new(descriptors: Descriptors) -> Self {
        Self(descriptors)
    }

    /// `old` with the fields that the mask names taken from `new`; an empty mask or `*` names all.
    pub(crate) fn merge(&self, old: &Spec, new: &Spec, mask: &[String]) -> Result<Spec, BadMask> {
        let kind = new.kind();
        let fields = fields(&self.0.of(kind)?, mask)?;
        if fields.is_empty() {
            return Ok(new.clone());
        }
        let (mut merged, new) = (self.0.open(old)?, self.0.open(new)?);
        for name in fields {
            copy_field(&mut merged, &new, name);
        }
        let merged = prost::Message::encode_to_vec(&merged);
        Spec::decode(kind, &merged).map_err(|_| NoDescriptor(kind).into())
    }

    /// The names of the fields in which two specs of one kind differ.
    pub(crate) fn changed(&self, before: &Spec, after: &Spec) -> Result<Vec<String>, NoDescriptor> {
        let (old, new) = (self.0.open(before)?, self.0.open(after)?);
        let spec = self.0.of(after.kind())?;
        let changed = spec.fields().filter(|field| old.get_field(field) != new.get_field(field));
        Ok(changed.map(|field| field.name().to_owned()).collect())
    }
}

/// Whether a mask names a field on its own.
pub(crate) fn names(mask: &[String], field: &str) -> bool {
    mask.iter().any(|path| within_spec(path) == field)
}

fn within_spec(path: &str) -> &str {
    path.strip_prefix("spec.").unwrap_or(path)
}

/// The fields that a mask names, each once; none stands for all.
fn fields<'a>(spec: &MessageDescriptor, mask: &'a [String]) -> Result<BTreeSet<&'a str>, BadMask> {
    if let Some(all) = mask.iter().find(|path| matches!(path.as_str(), "*" | "spec")) {
        return match mask {
            [_alone] => Ok(BTreeSet::new()),
            _ => Err(BadMask::AllAndMore { path: all.clone() }),
        };
    }
    let mut fields = BTreeSet::new();
    for path in mask {
        let name = within_spec(path);
        if spec.get_field_by_name(name).is_none() {
            return Err(wrong(spec, path));
        }
        if !fields.insert(name) {
            return Err(BadMask::Repeated { path: path.clone() });
        }
    }
    Ok(fields)
}

fn wrong(spec: &MessageDescriptor, path: &str) -> BadMask {
    let path = path.to_owned();
    if let Some((_, why)) = NOT_IN_THE_SPEC.iter().find(|(name, _)| *name == path) {
        return BadMask::NotUpdatable { path, why };
    }
    let head = within_spec(&path).split('.').next().unwrap_or_default();
    if spec.get_field_by_name(head).is_some() {
        return BadMask::Part { whole: head.to_owned(), path };
    }
    BadMask::UnknownPath {
        path,
        known: spec.fields().map(|field| field.name().to_owned()).collect(),
    }
}

fn copy_field(merged: &mut DynamicMessage, new: &DynamicMessage, name: &str) {
    match new.get_field_by_name(name) {
        Some(value) if new.has_field_by_name(name) => {
            merged.set_field_by_name(name, value.into_owned());
        }
        _ => merged.clear_field_by_name(name),
    }
}
