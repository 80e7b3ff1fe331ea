//! The compiled descriptors of specs: what fields they have. Filters and field masks go by them, so that a new field needs
//! no code there.

use crate::resource::Spec;
use domain::config::Kind;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor};
use thiserror::Error;

/// The descriptors of all specs. Clones share them.
#[derive(Clone)]
pub(crate) struct Descriptors(DescriptorPool);

/// The compiled descriptors do not fit the generated code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the spec of {0} has no usable descriptor")]
pub struct NoDescriptor(pub Kind);

impl Descriptors {
    /// Those of this build.
    pub(crate) fn new() -> Result<Self, DescriptorError> {
        DescriptorPool::decode(proto::DESCRIPTORS).map(Self)
    }

    /// Of the kind's spec.
    pub(crate) fn of(&self, kind: Kind) -> Result<MessageDescriptor, NoDescriptor> {
        let name = format!("turnpike.admin.v1.{kind}Spec");
        self.0.get_message_by_name(&name).ok_or(NoDescriptor(kind))
    }

    /// A spec, to be looked at field by field.
    pub(crate) fn open(&self, spec: &Spec) -> Result<DynamicMessage, NoDescriptor> {
        let kind = spec.kind();
        DynamicMessage::decode(self.of(kind)?, spec.encode().as_slice())
            .map_err(|_| NoDescriptor(kind))
    }
}
