//! The wire between roles: code generated from `turnpike/**.proto`, and its conversions to and from `domain`.
//!
//! Rules do not live here; a conversion fails only when a message cannot be read as what it claims to be.

pub mod convert;
mod secrets;

/// Operators' API.
pub mod admin {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        clippy::too_many_lines,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.admin.v1");
    }
}

/// Configuration pushed to data planes.
pub mod feed {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.feed.v1");
    }
}

/// Slices of wallets and budgets.
pub mod escrow {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.escrow.v1");
    }
}

/// What requests used.
pub mod usage {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.usage.v1");
    }
}

/// Prompts and completions of orgs that want them kept.
pub mod content {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.content.v1");
    }
}

/// What customers ask about their own account.
pub mod account {
    /// Version 1.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        clippy::too_many_lines,
        reason = "generated; documented in the .proto files"
    )]
    pub mod v1 {
        tonic::include_proto!("turnpike.account.v1");
    }
}

/// The compiled `FileDescriptorSet` of all files above, for reflection and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
