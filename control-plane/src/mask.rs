//! Field masks of updates: which fields of a spec change. What may be named is what the spec's message has.

use crate::resource::Spec;
use domain::config::Kind;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor};
use thiserror::Error;

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
    /// The compiled descriptors do not fit the generated code.
    #[error("the spec of {0} has no usable descriptor")]
    NoDescriptor(Kind),
}

/// Merges specs field by field, by their descriptors.
pub(crate) struct Masks(DescriptorPool);

impl Masks {
    /// With the descriptors of all specs.
    pub(crate) fn new() -> Result<Self, DescriptorError> {
        DescriptorPool::decode(proto::DESCRIPTORS).map(Self)
    }

    /// `old` with the fields that the mask names taken from `new`; an empty mask or `*` names all.
    pub(crate) fn merge(&self, old: &Spec, new: &Spec, mask: &[String]) -> Result<Spec, BadMask> {
        if mask.is_empty() || mask.iter().any(|path| path == "*" || path == "spec") {
            return Ok(new.clone());
        }
        let kind = new.kind();
        let unusable = || BadMask::NoDescriptor(kind);
        let descriptor = self
            .0
            .get_message_by_name(&format!("turnpike.admin.v1.{kind}Spec"))
            .ok_or_else(unusable)?;
        let dynamic = |spec: &Spec| {
            DynamicMessage::decode(descriptor.clone(), spec.encode().as_slice())
                .map_err(|_| unusable())
        };
        let (mut merged, new) = (dynamic(old)?, dynamic(new)?);
        for path in mask {
            copy_field(&mut merged, &new, &descriptor, path)?;
        }
        Spec::decode(kind, &prost::Message::encode_to_vec(&merged)).map_err(|_| unusable())
    }
}

/// Whether a mask names a field on its own.
pub(crate) fn names(mask: &[String], field: &str) -> bool {
    mask.iter().any(|path| path.strip_prefix("spec.").unwrap_or(path) == field)
}

fn copy_field(
    merged: &mut DynamicMessage,
    new: &DynamicMessage,
    descriptor: &MessageDescriptor,
    path: &str,
) -> Result<(), BadMask> {
    let name = path.strip_prefix("spec.").unwrap_or(path);
    let field = descriptor.get_field_by_name(name).ok_or_else(|| BadMask::UnknownPath {
        path: path.to_owned(),
        known: descriptor.fields().map(|field| field.name().to_owned()).collect(),
    })?;
    if new.has_field(&field) {
        merged.set_field(&field, new.get_field(&field).into_owned());
    } else {
        merged.clear_field(&field);
    }
    Ok(())
}
