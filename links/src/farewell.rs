//! How a control plane parts from its data planes: all are told at once, each leaves at a moment of its own, and whoever comes
//! meanwhile is turned away. What then becomes of their connections is the links' business.

use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;

/// What a data plane is told for the log.
pub(crate) const REASON: &str = "the control plane is stopping";

/// The parting of one service. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Farewell {
    within: watch::Sender<Option<Duration>>,
    stays: TaskTracker,
}

/// One data plane's stay. It lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    within: watch::Receiver<Option<Duration>>,
    _counted: TaskTrackerToken,
}

impl Farewell {
    /// Tells all data planes to go elsewhere within that time. Those that have nowhere else to go leave at once.
    pub fn say(&self, within: Duration) {
        self.within.send_replace(Some(within));
        self.stays.close();
    }

    /// Returns once it was said and all have left.
    pub async fn all_left(&self) {
        self.stays.wait().await;
    }

    /// Lets one in.
    pub(crate) fn admit(&self) -> Result<Stay, Status> {
        let stay = Stay { within: self.within.subscribe(), _counted: self.stays.token() };
        // Looked at after it was counted, so that nobody slips in between.
        let is_said = stay.within.borrow().is_some();
        if is_said { Err(Status::unavailable(REASON)) } else { Ok(stay) }
    }
}

impl Stay {
    /// Waits for the word to leave, and draws after what time.
    pub(crate) fn sent_away(&self) -> impl Future<Output = Duration> + Send + use<> {
        let mut within = self.within.clone();
        async move {
            let said =
                within.wait_for(Option::is_some).await.map(|within| within.unwrap_or_default());
            match said {
                Ok(within) => rand::random_range(Duration::ZERO..=within),
                // Nobody is left to say it.
                Err(_) => std::future::pending().await,
            }
        }
    }
}
