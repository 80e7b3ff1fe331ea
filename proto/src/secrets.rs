//! How messages with a secret print themselves: without it. What is generated for the others would print all fields.

use crate::admin::v1;
use std::fmt;

/// Stands where a secret is.
const HIDDEN: &str = "…";

fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { HIDDEN }
}

impl fmt::Debug for v1::UpstreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamSpec")
            .field("vendor", &self.vendor)
            .field("dialect", &self.dialect)
            .field("jurisdiction", &self.jurisdiction)
            .field("credential", &hidden(&self.credential))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::CreateKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateKeyResponse")
            .field("key", &self.key)
            .field("secret", &hidden(&self.secret))
            .finish()
    }
}

impl fmt::Debug for v1::RotateKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateKeyResponse")
            .field("key", &self.key)
            .field("secret", &hidden(&self.secret))
            .finish()
    }
}

impl fmt::Debug for v1::KeyImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyImport")
            .field("key", &self.key)
            .field("secret", &hidden(&self.secret))
            .field("sha256", &hidden(&self.sha256))
            .finish()
    }
}

impl fmt::Debug for v1::ImportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedKey")
            .field("name", &self.name)
            .field("action", &self.action)
            .field("secret", &hidden(&self.secret))
            .finish()
    }
}

impl fmt::Debug for v1::CreateOperatorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateOperatorResponse")
            .field("operator", &self.operator)
            .field("token", &hidden(&self.token))
            .finish()
    }
}
