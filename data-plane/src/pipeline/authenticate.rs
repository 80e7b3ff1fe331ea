//! Headers and snapshot → `Caller`: who asks, and under which plan. 401 or 403, and nothing is touched.

use crate::configuration::{Configuration, Edition};
use crate::error::{ApiError, ErrorType};
use crate::keys::KeyEntry;
use crate::plane::DataPlaneParts;
use domain::config::{Entity, Plan};
use domain::key::{KeyDigest, digest, digest_of_sha256, is_importable, is_well_formed, sha256};
use domain::snapshot::Org;
use domain::time::Timestamp;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use std::sync::Arc;
use thiserror::Error;

/// A key that may be used, with all that it stands for.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) key: Arc<KeyEntry>,
    /// Of the secret that was presented, by which the key is asked for again.
    pub(crate) presented: KeyDigest,
    pub(crate) org: Arc<Org>,
    pub(crate) entity: Arc<Entity>,
    pub(crate) plan: Arc<Plan>,
    /// What the configuration was when the caller was found in it.
    as_of: Edition,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum AuthenticateError {
    #[error("no API key: send it as `Authorization: Bearer sk-…`")]
    Missing,
    #[error("the Authorization header is not `Bearer` and one key")]
    Unreadable,
    #[error("the request names more than one key: send one Authorization header")]
    Ambiguous,
    #[error("this is not an API key: check that it was copied whole")]
    Malformed,
    #[error("this API key is not known: it may have been deleted")]
    Unknown,
    #[error("this API key is disabled")]
    Disabled,
    #[error("this secret of the API key was replaced: use the new one")]
    Replaced,
    #[error("this API key has expired")]
    Expired,
    #[error("this organisation is disabled")]
    OrgDisabled,
    #[error("this data plane has no configuration yet: try again")]
    NotReady,
    #[error(
        "this data plane has not heard from its control plane for too long, so its configuration is not served any more: try \
         again later"
    )]
    Stale,
}

impl From<AuthenticateError> for ApiError {
    fn from(error: AuthenticateError) -> Self {
        let message = error.to_string();
        match error {
            AuthenticateError::Ambiguous => Self::invalid("authorization", message),
            AuthenticateError::OrgDisabled => {
                Self::new(StatusCode::FORBIDDEN, ErrorType::PermissionDenied, message)
            }
            AuthenticateError::NotReady => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
                    .after(std::time::Duration::from_secs(1))
            }
            AuthenticateError::Stale => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderUnavailable, message)
                    .with("reason", "configuration_too_old")
                    .after(std::time::Duration::from_secs(5))
            }
            AuthenticateError::Missing
            | AuthenticateError::Unreadable
            | AuthenticateError::Malformed
            | AuthenticateError::Unknown
            | AuthenticateError::Disabled
            | AuthenticateError::Replaced
            | AuthenticateError::Expired => {
                Self::new(StatusCode::UNAUTHORIZED, ErrorType::Authentication, message)
            }
        }
    }
}

/// Finds the caller.
pub(crate) fn authenticate(
    parts: &DataPlaneParts,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Caller, AuthenticateError> {
    let configuration = &parts.configuration;
    if !configuration.is_loaded() {
        return Err(AuthenticateError::NotReady);
    }
    if !configuration.is_current() {
        return Err(AuthenticateError::Stale);
    }
    let secret = bearer(headers)?;
    if !is_importable(secret) {
        return Err(AuthenticateError::Malformed);
    }
    match caller(configuration, &digest(&parts.pepper, secret), now) {
        Err(AuthenticateError::Unknown) => {
            // Keys of another system may be known by a plain hash alone; only what is not ours is asked for twice.
            let digest = digest_of_sha256(&parts.pepper, &sha256(secret));
            caller(configuration, &digest, now).map_err(|error| match error {
                // They have no checksum; of what is not known, one that lacks it was not copied whole.
                AuthenticateError::Unknown if !is_well_formed(secret) => {
                    AuthenticateError::Malformed
                }
                other => other,
            })
        }
        found => found,
    }
}

/// Whoever a digest stands for, by the configuration of this moment.
pub(crate) fn caller(
    configuration: &Configuration,
    digest: &KeyDigest,
    now: Timestamp,
) -> Result<Caller, AuthenticateError> {
    let as_of = configuration.edition();
    let entry = configuration.key(digest).ok_or(AuthenticateError::Unknown)?;
    refuse_unusable(&entry, digest, now)?;
    let snapshot = configuration.snapshot();
    let org = snapshot.orgs.get(&entry.key.org).ok_or(AuthenticateError::Unknown)?;
    if org.disabled {
        return Err(AuthenticateError::OrgDisabled);
    }
    let entity = snapshot.entities.get(&org.entity).ok_or(AuthenticateError::NotReady)?;
    let plan = snapshot.plans.get(&org.plan).ok_or(AuthenticateError::NotReady)?;
    Ok(Caller {
        key: entry,
        presented: *digest,
        org: org.clone(),
        entity: entity.clone(),
        plan: plan.clone(),
        as_of,
    })
}

impl Caller {
    /// Whether nothing at all was changed since the caller was found, so that only time can have taken the key away.
    pub(crate) fn is_current(&self, configuration: &Configuration) -> bool {
        self.as_of == configuration.edition()
    }

    /// The same caller by the configuration of this moment.
    pub(crate) fn renewed(
        self,
        configuration: &Configuration,
        now: Timestamp,
    ) -> Result<Self, AuthenticateError> {
        if !self.is_current(configuration) {
            return caller(configuration, &self.presented, now);
        }
        refuse_unusable(&self.key, &self.presented, now).map(|()| self)
    }

    /// Whether the caller is let in by the configuration of this moment.
    pub(crate) fn is_welcome(&self, configuration: &Configuration, now: Timestamp) -> bool {
        if self.is_current(configuration) {
            refuse_unusable(&self.key, &self.presented, now).is_ok()
        } else {
            caller(configuration, &self.presented, now).is_ok()
        }
    }
}

fn refuse_unusable(
    entry: &KeyEntry,
    digest: &KeyDigest,
    now: Timestamp,
) -> Result<(), AuthenticateError> {
    if entry.key.digest != *digest && !is_good_still(entry, digest, now) {
        return Err(AuthenticateError::Replaced);
    }
    if entry.key.disabled {
        return Err(AuthenticateError::Disabled);
    }
    if entry.key.expires.is_some_and(|expires| expires <= now) {
        return Err(AuthenticateError::Expired);
    }
    Ok(())
}

/// Whether a secret of before is within its overlap with the one that replaced it.
fn is_good_still(entry: &KeyEntry, digest: &KeyDigest, now: Timestamp) -> bool {
    let previous = entry.key.previous.as_deref();
    previous.is_some_and(|previous| previous.digest == *digest && now < previous.until)
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The one bearer of the request. Where there are two, whoever stands before or behind us might read the other.
fn bearer(headers: &HeaderMap) -> Result<&str, AuthenticateError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthenticateError::Missing)?;
    if values.next().is_some() {
        return Err(AuthenticateError::Ambiguous);
    }
    let text = value.to_str().map_err(|_| AuthenticateError::Unreadable)?;
    let (scheme, secret) = text.split_once(' ').ok_or(AuthenticateError::Unreadable)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthenticateError::Unreadable);
    }
    let secret = secret.trim();
    if headers.get_all(X_API_KEY).iter().any(|other| other.as_bytes() != secret.as_bytes()) {
        return Err(AuthenticateError::Ambiguous);
    }
    Ok(secret)
}
