//! How long a test waits for what must come, where nothing can be awaited but a state.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Long enough for the slowest machine; nothing that works takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something, and fails when there never is.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(LOOK).await;
    }
}
