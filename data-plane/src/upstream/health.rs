//! Which upstreams failed lately, so that they are tried last. Never a reason to refuse: the last one is still tried.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
struct Trouble {
    failures: u32,
    until: Instant,
}

/// Shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<String, Trouble>>);

/// How long an upstream rests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// What the upstream asked for itself.
    pub(crate) asked: Option<Duration>,
}

impl Health {
    /// Notes a failure.
    pub(crate) fn failed(&self, upstream: &str, rest: Rest) {
        let mut troubles = self.0.lock();
        let now = Instant::now();
        let trouble =
            troubles.entry(upstream.to_owned()).or_insert(Trouble { failures: 0, until: now });
        let doubled = rest.first.saturating_mul(1 << trouble.failures.min(16));
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.until = now + rest.asked.unwrap_or(doubled).min(rest.longest);
    }

    /// Notes a success, which ends all trouble.
    pub(crate) fn succeeded(&self, upstream: &str) {
        let mut troubles = self.0.lock();
        if !troubles.is_empty() {
            troubles.remove(upstream);
        }
    }

    /// Whether it should be tried after the others.
    pub(crate) fn is_resting(&self, upstream: &str) -> bool {
        self.0.lock().get(upstream).is_some_and(|trouble| trouble.until > Instant::now())
    }
}
