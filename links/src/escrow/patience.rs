//! How long a data plane waits for a control plane that says nothing while another one might: wants are answered at once, so one
//! that leaves them unanswered is stopped, cut off, or without its database.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long what is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The Welcome.
    pub(super) welcome: Duration,
    /// An answer to any want, from the last one on.
    pub(super) answer: Duration,
}

/// What one connection was asked and has not answered. Without limits it is not looked at.
#[derive(Debug)]
pub(super) struct Patience {
    limits: Option<Limits>,
    waiting: watch::Sender<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Until the Welcome has come, it is what is waited for.
    is_welcomed: bool,
    /// A want was answered.
    is_rewarded: bool,
    wants: u64,
    /// Since when nothing was heard that had to come; none if nothing has to.
    since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(limits: Option<Limits>) -> Self {
        let since = Some(Instant::now());
        let waiting = Waiting { is_welcomed: false, is_rewarded: false, wants: 0, since };
        Self { limits, waiting: watch::Sender::new(waiting) }
    }

    pub(super) fn welcomed(&self) {
        self.note(|waiting| waiting.is_welcomed = true);
    }

    pub(super) fn asked(&self) {
        self.note(|waiting| waiting.wants = waiting.wants.saturating_add(1));
    }

    pub(super) fn answered(&self) {
        self.note(|waiting| {
            waiting.wants = waiting.wants.saturating_sub(1);
            waiting.is_rewarded = true;
            waiting.since = None;
        });
    }

    /// For a want that was not sent after all.
    pub(super) fn not_asked(&self) {
        self.note(|waiting| waiting.wants = waiting.wants.saturating_sub(1));
    }

    /// Whether any want was answered.
    pub(super) fn was_rewarded(&self) -> bool {
        self.waiting.borrow().is_rewarded
    }

    fn note(&self, change: impl FnOnce(&mut Waiting)) {
        if self.limits.is_none() {
            return;
        }
        self.waiting.send_modify(|waiting| {
            let was_welcomed = waiting.is_welcomed;
            change(waiting);
            if waiting.is_welcomed && waiting.wants == 0 {
                waiting.since = None;
            } else if waiting.is_welcomed != was_welcomed || waiting.since.is_none() {
                waiting.since = Some(Instant::now());
            }
        });
    }

    /// Returns once it is over. Safe to cancel.
    pub(super) async fn is_over(&self) {
        let Some(limits) = self.limits else { return std::future::pending().await };
        let mut waiting = self.waiting.subscribe();
        loop {
            let due = waiting.borrow_and_update().due(limits);
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // The sender is this.
                _ = waiting.changed() => {}
            }
        }
    }

    /// Returns at a moment in which no answer is on its way, or when an answer that is still missing would be too late.
    pub(super) async fn is_quiet(&self, from: Instant) {
        sleep_until(from).await;
        let Some(limits) = self.limits else { return };
        let mut waiting = self.waiting.subscribe();
        tokio::select! {
            _ = waiting.wait_for(|waiting| waiting.wants == 0) => {}
            () = sleep_until(from + limits.answer) => {}
        }
    }
}

impl Waiting {
    /// Until when something must come.
    fn due(self, limits: Limits) -> Option<Instant> {
        let limit = if self.is_welcomed { limits.answer } else { limits.welcome };
        self.since.map(|since| since + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const LIMITS: Limits =
        Limits { welcome: Duration::from_secs(3_600), answer: Duration::from_millis(20) };

    /// How long it has from now on.
    fn left(patience: &Patience) -> Option<Duration> {
        let due = patience.waiting.borrow().due(LIMITS)?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    #[tokio::test]
    async fn the_welcome_has_longer_than_a_want() {
        let patience = Patience::new(Some(LIMITS));
        patience.asked();
        assert!(left(&patience).unwrap() > LIMITS.answer);
        patience.welcomed();
        let welcomed = Instant::now();
        patience.is_over().await;
        assert!(welcomed.elapsed() >= LIMITS.answer, "the want waits from the welcome on");
        assert!(!patience.was_rewarded());
    }

    #[tokio::test]
    async fn each_answer_starts_the_wait_over_and_the_last_one_ends_it() {
        let patience = Patience::new(Some(LIMITS));
        patience.welcomed();
        assert_eq!(left(&patience), None, "nothing was asked");
        for _ in 0..3 {
            patience.asked();
        }
        patience.is_over().await;
        patience.answered();
        assert!(left(&patience).unwrap() > Duration::ZERO, "another one came");
        assert!(patience.is_over().now_or_never().is_none());
        patience.answered();
        patience.not_asked();
        assert_eq!(left(&patience), None, "all is answered, or was never sent");
        assert!(patience.was_rewarded());
    }

    #[tokio::test]
    async fn it_is_quiet_between_answers_or_when_one_would_be_too_late() {
        let patience = Patience::new(Some(LIMITS));
        patience.welcomed();
        patience.is_quiet(Instant::now()).await;
        patience.asked();
        let asked = Instant::now();
        assert!(patience.is_quiet(asked).now_or_never().is_none());
        patience.is_quiet(asked).await;
        assert!(asked.elapsed() >= LIMITS.answer);
        patience.answered();
        patience.is_quiet(Instant::now() - LIMITS.answer / 2).await;
    }

    #[tokio::test]
    async fn without_limits_nothing_is_waited_for() {
        let patience = Patience::new(None);
        patience.asked();
        assert!(patience.is_over().now_or_never().is_none());
        patience.is_quiet(Instant::now()).await;
    }
}
