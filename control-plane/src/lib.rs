//! The control plane: what operators configure, kept in rows and a log, compiled, and told to data planes.
//!
//! A change goes `services → admin → authority → rows`, and back through `state` to the feed. In reading order: how it
//! is started and who may call; what the wire calls the nine kinds and how they are read; the one way to change them; and
//! the services. Client traffic and rules are elsewhere.

mod settings;
mod metric;
mod operator;

mod resource;
mod read;
mod descriptors;
mod mask;
mod listing;

mod key_secret;
mod rows;
mod state;
mod authority;

mod admin;
mod services;
mod errors;

pub use descriptors::NoDescriptor;
pub use errors::{AdminError, Failure, Refusal};
pub use listing::TokenFault;
pub use metric::describe as describe_metrics;
pub use settings::{AdminLimits, ControlPlaneSettings, Secret};

use admin::Admin;
use authority::Authority;
use descriptors::Descriptors;
use domain::time::Timestamp;
use links::feed::FeedPublisher;
use mask::Masks;
use operator::OperatorGate;
use proto::admin::v1;
use services::Health;
use std::sync::Arc;
use storage::{Database, StorageError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// A running control plane. Clones are the same one.
#[derive(Clone)]
pub struct ControlPlane {
    admin: Admin,
    routes: Routes,
    health: Health,
}

/// Why a control plane cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A token that can be guessed.
    #[error(
        "the operator token is too short: use at least 16 characters, for instance from `openssl rand -hex 24`"
    )]
    WeakToken,
    /// What is stored cannot be used.
    #[error(transparent)]
    Stored(#[from] Failure),
    /// The compiled descriptors cannot be read.
    #[error("the descriptors of the API cannot be read: {0}")]
    Descriptors(String),
}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> Self {
        Self::Stored(error.into())
    }
}

impl ControlPlane {
    /// Loads the configuration and is ready to serve it. Once `token` is cancelled, changes are refused; those that run
    /// are finished.
    ///
    /// # Errors
    /// When settings or rows cannot be used.
    pub async fn start(
        settings: ControlPlaneSettings,
        db: Database,
        token: CancellationToken,
    ) -> Result<Self, StartError> {
        if !settings.operator_token.is_long_enough() {
            return Err(StartError::WeakToken);
        }
        let unreadable = |wrong: &dyn std::fmt::Display| StartError::Descriptors(wrong.to_string());
        let gate = OperatorGate::new(&settings.operator_token);
        let descriptors = Descriptors::new().map_err(|wrong| unreadable(&wrong))?;
        let masks = Masks::new(descriptors.clone());
        let authority = Authority::start(db, settings, masks, token).await?;
        let admin = Admin { authority: Arc::new(authority), descriptors };
        let (routes, health) =
            services::routes(&admin, gate).await.map_err(|wrong| unreadable(&wrong))?;
        Ok(Self { admin, routes, health })
    }

    /// Where data planes are told.
    #[must_use]
    pub fn publisher(&self) -> FeedPublisher {
        self.admin.authority.publisher().clone()
    }

    /// Brings the gauges that are only looked at now and then up to date.
    pub fn observe(&self) {
        metric::observe(self.admin.authority.publisher());
    }

    /// All admin services, with health and reflection. Everything but these two asks for the operator token.
    #[must_use]
    pub fn admin_router(&self) -> Routes {
        self.routes.clone()
    }

    /// Tells whoever asks for health that nothing is served from now on; calls that run are finished.
    pub async fn stop_serving(&self) {
        self.health.stop_serving().await;
    }

    /// Creates what is new and updates what differs, all or nothing, as one revision.
    ///
    /// # Errors
    /// When anything in them is refused; then nothing was changed.
    pub async fn apply(&self, objects: Vec<v1::Object>) -> Result<v1::ApplyResponse, AdminError> {
        self.admin.apply(v1::ApplyRequest { objects, validate_only: false }).await
    }

    /// Makes the key `org/name` and its secret, which is never told again.
    ///
    /// # Errors
    /// When the key is refused.
    pub async fn create_key(
        &self,
        org: &str,
        name: &str,
        spec: v1::KeySpec,
    ) -> Result<v1::CreateKeyResponse, AdminError> {
        let spec = v1::KeySpec { org: org.to_owned(), ..spec };
        let name = format!("{org}/{name}");
        let key = v1::Key { name, spec: Some(spec), ..v1::Key::default() };
        Ok(services::with_secret(self.admin.create(Some(key), false).await?))
    }

    /// Posts a top-up; the same idempotency key posts once.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn credit(
        &self,
        order: v1::CreditOrgRequest,
    ) -> Result<v1::CreditOrgResponse, AdminError> {
        services::credit(&self.admin, order).await
    }
}

/// Microseconds since the epoch, by this machine's clock.
fn now() -> Timestamp {
    let micros = jiff::Timestamp::now().as_microsecond();
    Timestamp(u64::try_from(micros).unwrap_or(0))
}
