//! What makes the desk look at rows of other control planes sooner than it would by itself. Losing one costs a moment.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Clones are the same poke. Whoever hears from elsewhere that there is something to read gives it.
#[derive(Clone, Debug, Default)]
pub(super) struct Poke(Arc<Notify>);

impl Poke {
    /// Never waits; several at once are one.
    pub(super) fn give(&self) {
        self.0.notify_one();
    }

    /// Waits for one, or so long.
    pub(super) async fn taken_within(&self, patience: Duration) {
        drop(timeout(patience, self.0.notified()).await);
    }
}
