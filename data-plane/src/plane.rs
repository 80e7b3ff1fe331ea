//! What all cores of a data plane share, and what each has of its own.

use crate::access;
use crate::configuration::Configuration;
use crate::error::ApiError;
use crate::idempotency::UsedKeys;
use crate::metric;
use crate::purse::Purse;
use crate::record::ContentSink;
use crate::settings::DataPlaneSettings;
use crate::stopping::Stopping;
use crate::trace::{RequestTrace, Tracing};
use crate::upstream::client::Upstreams;
use crate::upstream::health::Health;
use crate::upstream::speed::Speeds;
use domain::client::AddressKey;
use domain::key::Pepper;
use http::HeaderMap;
use links::account::AccountLink;
use links::spool::{Spool, UsedKey};
use links::usage::topic::ShipmentStatus;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a data plane is made of. All of it is shared by its cores.
pub struct DataPlaneParts {
    /// What is set.
    pub settings: DataPlaneSettings,
    /// The applied configuration.
    pub configuration: Configuration,
    /// The money it holds.
    pub purse: Purse,
    /// Where it writes down what was used.
    pub spool: Spool,
    /// How far behind the topic is that it is shipped to, if it is.
    pub shipment: Option<watch::Receiver<ShipmentStatus>>,
    /// Where prompts and completions go of orgs that want them kept.
    pub content: ContentSink,
    /// Where customers' questions about their account are asked.
    pub account: AccountLink,
    /// Turns keys into digests.
    pub pepper: Pepper,
    /// Opens upstream credentials.
    pub seal_key: [u8; 32],
    /// Gives memory that the calling thread has no use for back to the system: done by each core when it begins to rest.
    pub give_back: fn(),
}

/// A data plane that can be served. Cloning shares it.
#[derive(Clone)]
pub struct DataPlane {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) parts: DataPlaneParts,
    pub(crate) health: Health,
    pub(crate) speeds: Speeds,
    pub(crate) used_keys: UsedKeys,
    /// What client addresses are hashed with.
    pub(crate) address_key: AddressKey,
    pub(crate) tracing: Option<Arc<Tracing>>,
    pub(crate) stopping: Stopping,
}

impl DataPlane {
    /// Puts it together; nothing runs yet.
    #[must_use]
    pub fn new(parts: DataPlaneParts) -> Self {
        let address_key = AddressKey::derive(&parts.pepper);
        let tracing = parts.settings.traces.clone().map(Tracing::new);
        let (health, speeds) = (Health::default(), Speeds::default());
        let used_keys = UsedKeys::new(&parts.settings.limits, &parts.settings.pace);
        let stopping = Stopping::default();
        let shared = Shared { parts, health, speeds, used_keys, address_key, tracing, stopping };
        Self { shared: Arc::new(shared) }
    }

    /// Brings the gauges that are only looked at now and then up to date.
    pub fn observe(&self) {
        metric::observe(&self.shared);
    }

    /// Takes in the idempotency keys that an earlier process saw used.
    pub fn remember(&self, used: Vec<UsedKey>) {
        self.shared.used_keys.remember(used);
    }

    /// Goes on serving, but makes each answer the last one on its connection: who comes back may find another data plane.
    pub fn leave(&self) {
        self.shared.stopping.leaving.begin();
    }

    /// Takes no new requests from now on: they are told to try elsewhere. Once no request is open in the spool, none will be.
    pub fn refuse(&self) {
        self.leave();
        self.shared.parts.spool.admit_no_more();
        self.shared.stopping.refusing.begin();
    }

    /// Ends running requests: streams with an error event, charged what they delivered.
    pub fn end_requests(&self) {
        self.shared.stopping.ending.begin();
    }

    /// Stops listening, and ends each connection once all is said on it.
    pub fn close(&self) {
        self.refuse();
        self.end_requests();
        self.shared.stopping.closing.begin();
    }

    /// Returns when it has stopped listening and no connection is open.
    pub async fn closed(&self) {
        self.shared.stopping.all_closed().await;
    }
}

impl Shared {
    /// Begins the spans of a request, if it is to have any.
    pub(crate) fn trace(
        &self,
        headers: &HeaderMap,
        request_id: &str,
        route: &'static str,
    ) -> RequestTrace {
        let tracing = self.tracing.as_ref();
        tracing.map(|tracing| tracing.begin(headers, request_id, route)).unwrap_or_default()
    }

    /// Tells operators of a request that is not admitted.
    pub(crate) fn refused(&self, refusal: &ApiError, trace: RequestTrace, request_id: &str) {
        let (status, kind) = (refusal.status().as_u16(), refusal.kind());
        metric::refused(kind);
        access::refused(self, request_id, status, kind);
        trace.refused(status, kind);
    }
}

/// One core: the shared parts and its own connections to upstreams.
pub(crate) struct Core {
    pub(crate) plane: Arc<Shared>,
    pub(crate) upstreams: Upstreams,
    /// The stages of stopping, for this core alone.
    pub(crate) refusing: CancellationToken,
    pub(crate) ending: CancellationToken,
    pub(crate) closing: CancellationToken,
}

impl Core {
    pub(crate) fn new(plane: Arc<Shared>, upstreams: Upstreams) -> Self {
        let refusing = plane.stopping.refusing.of_core();
        let ending = plane.stopping.ending.of_core();
        let closing = plane.stopping.closing.of_core();
        Self { plane, upstreams, refusing, ending, closing }
    }
}
