//! How far a data plane has come with stopping: stages that come in this order and never go. What each means for a request, a
//! connection or a listener is decided where those are.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

#[derive(Default)]
pub(crate) struct Stopping {
    /// Clients had better go elsewhere: each answer is the last one on its connection.
    pub(crate) leaving: Stage,
    /// New requests are refused.
    pub(crate) refusing: Stage,
    /// Running requests end.
    pub(crate) ending: Stage,
    /// Nothing is listened for any more, and connections end.
    pub(crate) closing: Stage,
    /// Listeners and connections.
    open: TaskTracker,
}

/// One stage. To look whether it has come costs next to nothing.
#[derive(Default)]
pub(crate) struct Stage {
    has_come: AtomicBool,
    come: CancellationToken,
}

/// Counts as long as it lives.
pub(crate) type Open = TaskTrackerToken;

impl Stage {
    pub(crate) fn begin(&self) {
        self.has_come.store(true, Ordering::Relaxed);
        self.come.cancel();
    }

    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }

    /// Cancelled when it comes. Of those who wait for it, the ones of another core wait for another token.
    pub(crate) fn of_core(&self) -> CancellationToken {
        self.come.child_token()
    }

    /// What is worked for, unless it has to be waited for at this stage. The stage itself wakes nobody who waits: the connection
    /// that a request came on does, whose task looks after both.
    pub(crate) async fn unless_come<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.has_come() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Stopping {
    /// One more listener or connection is open.
    pub(crate) fn opened(&self) -> Open {
        self.open.token()
    }

    /// Returns when no listener and no connection is open.
    pub(crate) async fn all_closed(&self) {
        self.open.close();
        self.open.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn what_is_there_is_had_at_every_stage_and_what_must_be_waited_for_only_before() {
        let stage = Stage::default();
        assert_eq!(stage.unless_come(ready(1)).await, Some(1));
        assert!(futures::poll!(Box::pin(stage.unless_come(pending::<()>()))).is_pending());
        stage.begin();
        assert_eq!(stage.unless_come(ready(1)).await, Some(1));
        assert_eq!(stage.unless_come(pending::<()>()).await, None);
    }
}
