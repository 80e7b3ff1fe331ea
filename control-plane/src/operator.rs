//! Who may call: one bearer token for all of the admin API. Roles come later; what is open is what is not behind this.

use crate::settings::Secret;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

const SCHEME: &str = "bearer";

/// Lets calls through that carry the operator token.
#[derive(Clone)]
pub(crate) struct OperatorGate {
    expected: blake3::Hash,
}

impl OperatorGate {
    pub(crate) fn new(token: &Secret) -> Self {
        Self { expected: blake3::hash(token.expose().as_bytes()) }
    }

    /// Comparing hashes takes the same time whatever was presented.
    fn admits(&self, presented: &str) -> bool {
        blake3::hash(presented.as_bytes()) == self.expected
    }
}

impl Interceptor for OperatorGate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match bearer(request.metadata()) {
            Some(presented) if self.admits(presented) => Ok(request),
            Some(_) => Err(refusal(
                "OPERATOR_TOKEN_WRONG",
                "the operator token is not the one this control plane was started with",
            )),
            None => Err(refusal(
                "OPERATOR_TOKEN_MISSING",
                "an operator token is needed: send \"authorization: Bearer <token>\"; the command line takes it from TURNPIKE_ADMIN_TOKEN",
            )),
        }
    }
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token.trim())
}

fn refusal(reason: &str, message: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, crate::errors::DOMAIN, []);
    Status::with_error_details(tonic::Code::Unauthenticated, message, details)
}
