//! A way to end a running response stream from elsewhere, with a reason for the other side.

use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// Clones end the same stream. The first reason wins.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    reason: Arc<watch::Sender<Option<Status>>>,
}

impl Ending {
    pub(crate) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    pub(crate) fn end(&self, reason: Status) {
        self.reason.send_if_modified(|current| {
            let is_first = current.is_none();
            if is_first {
                *current = Some(reason);
            }
            is_first
        });
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits for the end. Safe to cancel.
    pub(crate) fn ended(&self) -> impl Future<Output = Status> + Send + use<> {
        let mut reasons = self.reason.subscribe();
        async move {
            let reason = reasons.wait_for(Option::is_some).await;
            let reason = reason.ok().and_then(|reason| reason.clone());
            reason.unwrap_or_else(|| Status::unavailable("ended"))
        }
    }
}
