//! New secrets for keys that are in use: how long the old and the new one may overlap, and the answer that shows the new
//! one. What becomes of the key is `authority`'s business.

use crate::admin::{Admin, made};
use crate::authority::{Call, Changed, Step};
use crate::errors::{AdminError, Refusal};
use proto::admin::v1;
use std::time::Duration;

impl Admin {
    /// Gives a key a new secret.
    pub(crate) async fn rotate(
        &self,
        call: Call,
        request: v1::RotateKeyRequest,
    ) -> Result<v1::RotateKeyResponse, AdminError> {
        let v1::RotateKeyRequest { name, etag, overlap, .. } = request;
        let most = self.authority.limits().key_overlap_max;
        let overlap = read_overlap(overlap, most)
            .map_err(|reason| Refusal::Argument { field: "overlap", reason })?;
        let answer = |changed: Changed| {
            let made = made::<v1::Key>(changed)?;
            let secret = made.secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
            Ok(v1::RotateKeyResponse { key: Some(made.message), secret })
        };
        self.authority.change(call, vec![Step::Rotate { name, etag, overlap }], answer).await
    }
}

fn read_overlap(
    overlap: Option<prost_types::Duration>,
    most: Duration,
) -> Result<Duration, String> {
    let Some(overlap) = overlap else { return Ok(Duration::ZERO) };
    let overlap = Duration::try_from(overlap)
        .map_err(|_| "must not be negative: leave it out to end the old secret now".to_owned())?;
    if overlap > most {
        let most = most.as_secs();
        return Err(format!("must be at most {most} s (control_plane.limits.key_overlap)"));
    }
    Ok(overlap)
}
