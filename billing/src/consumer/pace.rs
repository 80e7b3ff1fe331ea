//! How long a consumer waits before it tries again what failed; a cancelled token ends each wait.

use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The first wait after a failure; each further one is twice as long.
    pub(super) retry_after: Duration,
    pub(super) retry_after_max: Duration,
    pub(super) token: CancellationToken,
}

impl Pace {
    /// Whether it is told to stop.
    pub(super) fn is_over(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(super) async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.token.cancelled() => {}
            () = sleep(wait) => {}
        }
    }

    /// After a failure that so many others were just before.
    pub(super) async fn pause_after(&self, failures: u32) {
        let doubled = self.retry_after.saturating_mul(2_u32.saturating_pow(failures));
        self.pause(doubled.min(self.retry_after_max)).await;
    }
}
