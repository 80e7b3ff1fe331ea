//! How the process ends: every step of it, in order. What a step does is the business of the role that it belongs to; a second signal,
//! which skips what is left, is `up`'s.

use super::Roles;
use super::ops::Ops;
use super::parts::Parts;
use super::planes::Planes;
use crate::config::Config;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long the steps may take, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Serving on after it was said that it is not ready, until those who send clients have heard.
    grace: Duration,
    /// What runs.
    limit: Duration,
    /// What runs all the same and is ended, until it is settled.
    last_words: Duration,
    /// Everything else, even if all of the above was needed.
    rest: Duration,
    /// The same at most: what takes longer hangs.
    rest_max: Duration,
}

/// Next to its control plane: with the ends of telemetry and runtime, which follow, ten seconds in all.
const TOGETHER: Pace = Pace {
    grace: Duration::ZERO,
    limit: Duration::from_secs(8),
    last_words: Duration::from_millis(1_100),
    rest: Duration::from_millis(300),
    rest_max: Duration::from_secs(2),
};

/// A data plane alone: others take its clients, and whoever stops it has time.
const ALONE: Pace = Pace {
    grace: Duration::from_secs(10),
    limit: Duration::from_secs(30 * 60),
    last_words: Duration::from_secs(10),
    rest: Duration::from_secs(10),
    rest_max: Duration::from_secs(10),
};

impl Pace {
    pub(super) fn of(config: &Config, parts: Parts) -> Self {
        let usual = if parts.keeps_rows() { TOGETHER } else { ALONE };
        let set = &config.data_plane.drain;
        let (grace, limit) = (set.grace.unwrap_or(usual.grace), set.limit.unwrap_or(usual.limit));
        Self { grace, limit, ..usual }
    }

    /// Of a process that never said that it is ready: nobody sends it clients.
    pub(super) fn unheard_of(self) -> Self {
        Self { grace: Duration::ZERO, ..self }
    }

    fn total(self) -> Duration {
        let Self { grace, limit, last_words, rest, .. } = self;
        grace.saturating_add(limit).saturating_add(last_words).saturating_add(rest)
    }

    /// Until when everything else may take.
    fn latest(self, began: Instant) -> Instant {
        let left = self.total().saturating_sub(began.elapsed());
        Instant::now() + left.min(self.rest_max)
    }

    /// Until when clients may take what they were answered: those who read slowly count as what runs.
    fn latest_reader(self, began: Instant) -> Instant {
        let left = self.grace.saturating_add(self.limit).saturating_sub(began.elapsed());
        self.latest(began).max(Instant::now() + left.min(self.limit))
    }
}

/// Lets running requests end, then everything else. The control plane is there until its data plane has said all: streams that go on
/// need its money.
pub(super) async fn end(roles: Roles, pace: Pace, ops: &Ops, stop: &CancellationToken) {
    let Roles { office, billing, mut planes, .. } = roles;
    let began = Instant::now();
    ops.stopping();
    if let Some(office) = &office {
        office.stop_serving().await;
    }
    if let Some(planes) = &mut planes {
        end_requests(planes, pace).await;
        leave(planes, pace.latest(began)).await;
    }
    stop.cancel();
    if let Some(billing) = billing {
        billing.end(pace.latest(began)).await;
    }
    if let Some(office) = office {
        office.end(pace.latest(began)).await;
    }
    if let Some(planes) = planes {
        planes.closed(pace.latest_reader(began)).await;
        planes.unlock(pace.latest(began)).await;
    }
}

/// Returns when no request runs, or none can be waited for any longer.
async fn end_requests(planes: &Planes, pace: Pace) {
    planes.plane.leave();
    sleep(pace.grace).await;
    planes.plane.refuse();
    planes.purse.drain();
    if timeout(pace.limit, planes.idle()).await.is_ok() {
        return;
    }
    planes.plane.end_requests();
    if timeout(pace.last_words, planes.idle()).await.is_err() {
        tracing::warn!("some requests did not end in time; the next start closes them");
    }
}

/// What a data plane owes others: its last word about money, and its usage on the disk. Only then nobody is told any more to go
/// elsewhere.
async fn leave(planes: &mut Planes, latest: Instant) {
    planes.settle_money(latest).await;
    planes.flush(latest).await;
    planes.plane.close();
    planes.unlink(latest).await;
}

/// What runs until it is told to stop, apart from others that run on.
pub(super) struct Task {
    what: &'static str,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Task {
    pub(super) fn start<F>(
        what: &'static str,
        stop: &CancellationToken,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = stop.child_token();
        let running = tokio::spawn(run(stop.clone()));
        Self { what, stop, running }
    }

    pub(super) async fn end(self, latest: Instant) {
        self.stop.cancel();
        ended(self.what, self.running, latest).await;
    }
}

/// Waits for a task that was told to stop; one that does not listen is left behind.
pub(super) async fn ended(what: &str, task: JoinHandle<()>, latest: Instant) {
    match timeout_at(latest, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, what, "a task failed"),
        Err(_) => tracing::warn!(what, "a task did not stop in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LAST_SPANS, LAST_THREADS};
    use super::*;

    const WHOLE: Parts = Parts { control: true, billing: true, planes: true };
    const PLANES: Parts = Parts { control: false, billing: false, planes: true };

    #[test]
    fn up_ends_within_ten_seconds_whatever_hangs() {
        let whole = Pace::of(&Config::default(), WHOLE);
        assert!(whole.total() + LAST_SPANS + LAST_THREADS <= Duration::from_secs(10));
        assert_eq!((whole.grace, whole.limit), (Duration::ZERO, Duration::from_secs(8)));
    }

    #[test]
    fn a_data_plane_alone_takes_its_time_and_what_is_set_counts_for_both() {
        let alone = Pace::of(&Config::default(), PLANES);
        let told = (Duration::from_secs(10), Duration::from_secs(1_800));
        assert_eq!((alone.grace, alone.limit), told);
        let mut config = Config::default();
        let drain = &mut config.data_plane.drain;
        (drain.grace, drain.limit) = (Some(Duration::ZERO), Some(Duration::from_secs(3)));
        for part in [WHOLE, PLANES] {
            let pace = Pace::of(&config, part);
            assert_eq!((pace.grace, pace.limit), (Duration::ZERO, Duration::from_secs(3)));
        }
    }
}
