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
mod audit;
mod state;
mod authority;

mod content;

mod admin;
mod bulk;
mod rotation;
mod services;
mod errors;
mod fleet;

pub use content::ContentSettings;
pub use descriptors::NoDescriptor;
pub use errors::{AdminError, Failure, OperatorRefusal, Refusal, TokenFault};
pub use metric::describe as describe_metrics;
pub use services::AccountDesk;
pub use settings::{AdminLimits, ControlPlaneSettings, Secret};

use admin::{Admin, made};
use audit::Auditor;
use authority::{Authority, Call};
use content::ContentStore;
use descriptors::Descriptors;
use domain::time::Timestamp;
use links::content::{ContentKey, ContentListener};
use links::feed::FeedPublisher;
use mask::Masks;
use operator::{Caller, Gate};
use prost::Message;
use proto::account::v1::account_service_server::AccountServiceServer;
use proto::admin::v1;
use services::Health;
use std::sync::Arc;
use storage::{Database, StorageError};
use thiserror::Error;
use tokio::task::JoinHandle;
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
        let descriptors = Descriptors::new().map_err(|wrong| unreadable(&wrong))?;
        let masks = Masks::new(descriptors.clone());
        let denied_max = settings.limits.denied_records_per_minute;
        let auditor = Auditor::new(db.clone(), &settings.pepper, denied_max);
        let (root, pepper) = (&settings.operator_token, &settings.pepper);
        let gate = Gate::new(root, pepper, db.clone(), auditor.clone());
        let authority = Arc::new(Authority::start(db, settings, masks, auditor, token).await?);
        tokio::spawn(Arc::clone(&authority).sweep_answers());
        tokio::spawn(Arc::clone(&authority).follow());
        tokio::spawn(Arc::clone(&authority).mind_losses());
        let contents = Arc::default();
        let admin = Admin { authority, descriptors, contents };
        let (routes, health) =
            services::routes(&admin, gate).await.map_err(|wrong| unreadable(&wrong))?;
        Ok(Self { admin, routes, health })
    }

    /// Where data planes are told.
    #[must_use]
    pub fn publisher(&self) -> FeedPublisher {
        self.admin.authority.publisher().clone()
    }

    /// Keeps prompts and completions of orgs that want it in a database of their own, until the token is cancelled.
    #[must_use]
    pub fn keep_contents(
        &self,
        settings: ContentSettings,
        (database, key): (Database, ContentKey),
        listener: ContentListener,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let store = ContentStore::new(database, key, settings);
        let store = self.admin.contents.get_or_init(|| store).clone();
        tokio::spawn(store.run(self.admin.authority.clone(), listener, token))
    }

    /// Brings the gauges that are only looked at now and then up to date.
    pub fn observe(&self) {
        metric::observe(self.admin.authority.publisher());
        metric::observe_coordination(self.admin.authority.coordination());
    }

    /// Answers what customers ask about their own account, for data planes.
    #[must_use]
    pub fn account_service(&self) -> AccountServiceServer<AccountDesk> {
        let database = self.admin.authority.database().clone();
        AccountServiceServer::new(AccountDesk { database })
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
        let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
        let call = self.call("ApplyService/Apply", &request)?;
        self.admin.apply(call, request.objects).await
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
        let key = Some(v1::Key { name, spec: Some(spec), ..v1::Key::default() });
        let request = v1::CreateKeyRequest { key, ..v1::CreateKeyRequest::default() };
        let call = self.call("KeyService/CreateKey", &request)?;
        let answer = |changed| Ok(services::with_secret(made(changed)?));
        self.admin.create(call, request.key, answer).await
    }

    /// Posts a top-up; the same idempotency key posts once.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn credit(
        &self,
        order: v1::CreditOrgRequest,
    ) -> Result<v1::CreditOrgResponse, AdminError> {
        let call = self.call("MoneyService/CreditOrg", &order)?;
        self.admin.authority.credit(call, order).await
    }

    /// A call of the process itself.
    fn call(&self, method: &'static str, request: &impl Message) -> Result<Call, AdminError> {
        self.admin.authority.call(Caller::process(method), "", false, request)
    }
}

/// Microseconds since the epoch, as the wire has them.
fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    const MICROS_PER_SECOND: u64 = 1_000_000;
    let nanos = at.0.wrapping_rem(MICROS_PER_SECOND).saturating_mul(1_000);
    prost_types::Timestamp {
        seconds: i64::try_from(at.0.wrapping_div(MICROS_PER_SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

/// Microseconds since the epoch, by this machine's clock.
fn now() -> Timestamp {
    let micros = jiff::Timestamp::now().as_microsecond();
    Timestamp(u64::try_from(micros).unwrap_or(0))
}

/// For people. Rows hold moments that were read from a clock; one that no calendar has is shown as it is.
fn rfc3339(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .map_or_else(|| at.to_string(), |moment| moment.to_string())
}
