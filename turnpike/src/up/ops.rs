//! The ops listener: `/healthz` (the process answers), `/readyz` (it serves clients; if not, why), `/metrics`.

mod registry;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use parking_lot::Mutex;
use registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The listener and what it tells.
pub(super) struct Ops {
    pub(super) address: SocketAddr,
    told: Told,
}

/// What keeps a role from serving, in words.
type Complaint = Box<dyn Fn() -> Option<String> + Send + Sync>;

#[derive(Clone)]
struct Told {
    /// What the whole process waits for; `None` once it serves.
    waiting_for: Arc<Mutex<Option<&'static str>>>,
    complaints: Arc<Mutex<Vec<Complaint>>>,
    registry: Registry,
}

impl Ops {
    /// Listens; not ready yet.
    pub(super) async fn start(listen: SocketAddr, stop: CancellationToken) -> anyhow::Result<Self> {
        let registry = Registry::install(&stop)?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen} for health and metrics: choose another ops.listen")
        })?;
        let address = listener.local_addr()?;
        let told = Told {
            waiting_for: Arc::new(Mutex::new(Some("starting: the roles are being put together"))),
            complaints: Arc::default(),
            registry,
        };
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_text))
            .with_state(told.clone());
        tokio::spawn(async move {
            let served =
                axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "the ops listener stopped");
            }
        });
        Ok(Self { address, told })
    }

    /// Looks at something each time that metrics are asked for.
    pub(super) fn observe(&self, look: impl Fn() + Send + Sync + 'static) {
        self.told.registry.observe(Box::new(look));
    }

    /// Is not ready while there is something to complain about.
    pub(super) fn heed(&self, complaint: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.told.complaints.lock().push(Box::new(complaint));
    }

    /// Not ready until something has happened.
    pub(super) fn waiting_for(&self, what: &'static str) {
        *self.told.waiting_for.lock() = Some(what);
    }

    /// Clients are served from now on.
    pub(super) fn ready(&self) {
        *self.told.waiting_for.lock() = None;
    }

    /// Clients are refused from now on.
    pub(super) fn stopping(&self) {
        self.waiting_for("stopping: running requests may end, new ones are refused");
    }
}

impl Told {
    fn wrong(&self) -> Vec<String> {
        let waiting = (*self.waiting_for.lock()).map(str::to_owned);
        let complaints = self.complaints.lock();
        waiting.into_iter().chain(complaints.iter().filter_map(|complaint| complaint())).collect()
    }
}

async fn readyz(State(told): State<Told>) -> (StatusCode, String) {
    let wrong = told.wrong();
    if wrong.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", wrong.join("\n")))
}

async fn metrics_text(State(told): State<Told>) -> String {
    told.registry.text(told.wrong().is_empty())
}
