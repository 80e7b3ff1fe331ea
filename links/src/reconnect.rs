//! How the data-plane ends come back after a break: for ever, each at its own moment, and by another way if there is one.

use crate::ways::Ways;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tonic::{Response, Status, Streaming};

/// Waits between connection attempts, with full jitter.
#[derive(Clone, Copy, Debug)]
pub struct ReconnectSettings {
    /// Longest wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// Longest wait of all.
    pub longest_wait: Duration,
    /// A connection that lived this long was a good one: the waits start over.
    pub good_after: Duration,
    /// How long the other side may take to accept.
    pub accept_timeout: Duration,
    /// The same while there is another replica to go to.
    pub next_way_after: Duration,
}

impl Default for ReconnectSettings {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
            good_after: Duration::from_secs(10),
            accept_timeout: Duration::from_secs(10),
            next_way_after: Duration::from_secs(2),
        }
    }
}

impl ReconnectSettings {
    /// How long the way that is taken now is waited for.
    pub(crate) fn patience(&self, ways: &Ways) -> Duration {
        let longest = if ways.has_others() { self.next_way_after } else { self.accept_timeout };
        longest.min(self.accept_timeout)
    }
}

/// Why a connection, or the attempt at one, ended. `Own` is what this end alone knows.
#[derive(Debug, Error)]
pub(crate) enum Ended<Own: fmt::Display> {
    #[error("the control plane did not accept in time")]
    NotAccepted,
    #[error("the control plane ended it")]
    ByControlPlane,
    #[error("the control plane stops, and sent us elsewhere")]
    SentAway,
    #[error("the control plane says nothing any more")]
    Silent,
    #[error("{}: {}", .0.code(), .0.message())]
    Broken(#[from] Status),
    #[error("ended on this side: {0}")]
    Here(Own),
    /// Nobody is there for whom to come back.
    #[error("nobody listens any more")]
    Dropped,
}

/// A link that comes back for ever.
pub(crate) trait Link: Send {
    /// What only this link ends for.
    type Own: fmt::Display + Send;
    /// For the log.
    const NAME: &'static str;

    /// By which it connects.
    fn ways(&mut self) -> &mut Ways;

    /// Connects, and lives until the connection ends.
    fn live(&mut self) -> impl Future<Output = Ended<Self::Own>> + Send;
}

/// Lives, and comes back, until nobody listens.
pub(crate) async fn come_back_for_ever(link: &mut impl Link, settings: ReconnectSettings) {
    let mut backoff = Backoff::new(link_name(link), settings, link.ways().count());
    loop {
        let began = Instant::now();
        let ended = link.live().await;
        if matches!(ended, Ended::Dropped) {
            return;
        }
        let was_good = began.elapsed() >= settings.good_after;
        link.ways().turn(was_good);
        // Whoever was sent away waited before it left; only one that has nowhere else to go has to wait now.
        if was_good && matches!(ended, Ended::SentAway) && link.ways().has_others() {
            tracing::info!(link = link_name(link), reason = %ended, "going to another control plane");
            continue;
        }
        backoff.rest(began, &ended).await;
    }
}

fn link_name<L: Link>(_: &L) -> &'static str {
    L::NAME
}

/// Waits for the other side to accept a stream.
pub(crate) async fn accepted<T, Own: fmt::Display>(
    patience: Duration,
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Result<Streaming<T>, Ended<Own>> {
    let answer = timeout(patience, call).await;
    Ok(answer.map_err(|_| Ended::NotAccepted)??.into_inner())
}

/// Counts failures in a row. The wait doubles once every way was tried.
#[derive(Debug)]
pub(crate) struct Backoff {
    link: &'static str,
    settings: ReconnectSettings,
    ways: u32,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(link: &'static str, settings: ReconnectSettings, ways: usize) -> Self {
        let ways = u32::try_from(ways).unwrap_or(u32::MAX).max(1);
        Self { link, settings, ways, failures: 0 }
    }

    /// Waits after a connection (or the attempt at one) that began at `began` and ended for `reason`.
    pub(crate) async fn rest(&mut self, began: Instant, reason: &impl fmt::Display) {
        let wait = self.next_wait(began.elapsed());
        tracing::warn!(link = self.link, %reason, ?wait, "not connected to the control plane");
        tokio::time::sleep(wait).await;
    }

    /// How long to wait after a connection (or the attempt at one) that lived so long.
    pub(crate) fn next_wait(&mut self, lived: Duration) -> Duration {
        if lived >= self.settings.good_after {
            self.failures = 0;
        }
        let wait = rand::random_range(Duration::ZERO..=self.longest_wait());
        self.failures = self.failures.saturating_add(1);
        wait
    }

    fn longest_wait(&self) -> Duration {
        let rounds = self.failures.wrapping_div(self.ways);
        let doubled = 2_u32.saturating_pow(rounds);
        self.settings.first_wait.saturating_mul(doubled).min(self.settings.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_doubles_once_all_ways_have_failed_up_to_the_limit() {
        let settings = ReconnectSettings {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(1),
            ..ReconnectSettings::default()
        };
        let rows = [(0, 100), (1, 200), (3, 800), (4, 1000), (u32::MAX, 1000)];
        for (failures, milliseconds) in rows {
            let backoff = Backoff { failures, ..Backoff::new("test", settings, 1) };
            assert_eq!(backoff.longest_wait(), Duration::from_millis(milliseconds), "{failures}");
        }
        let of_three = [(0, 100), (2, 100), (3, 200), (5, 200), (6, 400)];
        for (failures, milliseconds) in of_three {
            let backoff = Backoff { failures, ..Backoff::new("test", settings, 3) };
            assert_eq!(backoff.longest_wait(), Duration::from_millis(milliseconds), "{failures}");
        }
    }

    #[test]
    fn a_connection_that_lived_long_starts_the_waits_over() {
        let mut backoff = Backoff::new("test", ReconnectSettings::default(), 1);
        for _ in 0..5 {
            backoff.next_wait(backoff.settings.good_after - Duration::from_nanos(1));
        }
        assert_eq!(backoff.failures, 5);
        let wait = backoff.next_wait(backoff.settings.good_after);
        assert_eq!(backoff.failures, 1);
        assert!(wait <= backoff.settings.first_wait, "{wait:?}");
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut backoff = Backoff::new("test", ReconnectSettings::default(), 1);
        backoff.failures = 1000;
        let longest = backoff.settings.longest_wait;
        let waits: Vec<Duration> = (0..500).map(|_| backoff.next_wait(Duration::ZERO)).collect();
        assert!(waits.iter().any(|wait| *wait < longest / 10), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > longest / 10 * 9), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= longest), "{waits:?}");
    }
}
