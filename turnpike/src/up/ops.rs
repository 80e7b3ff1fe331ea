//! The ops listener: `/healthz` (the process answers), `/readyz` (it serves clients), `/metrics`.

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The listener and what it tells.
pub(super) struct Ops {
    pub(super) address: SocketAddr,
    is_ready: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Told {
    is_ready: Arc<AtomicBool>,
    metrics: PrometheusHandle,
}

impl Ops {
    /// Listens; not ready yet.
    pub(super) async fn start(listen: SocketAddr, stop: CancellationToken) -> anyhow::Result<Self> {
        let metrics =
            PrometheusBuilder::new().install_recorder().context("metrics cannot be recorded")?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen} for health and metrics: choose another ops.listen")
        })?;
        let address = listener.local_addr()?;
        let is_ready = Arc::new(AtomicBool::new(false));
        let told = Told { is_ready: is_ready.clone(), metrics };
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics_text))
            .with_state(told);
        tokio::spawn(async move {
            let served =
                axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "the ops listener stopped");
            }
        });
        Ok(Self { address, is_ready })
    }

    /// Clients are served from now on.
    pub(super) fn ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Clients are refused from now on.
    pub(super) fn stopping(&self) {
        self.is_ready.store(false, Ordering::Release);
    }
}

async fn readyz(State(told): State<Told>) -> (StatusCode, &'static str) {
    if told.is_ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics_text(State(told): State<Told>) -> String {
    told.metrics.run_upkeep();
    told.metrics.render()
}
