//! Rate limits of one key: requests and tokens per UTC minute, and requests running at once.
//!
//! The arithmetic is `domain::limits`; here it meets threads. What the limits are is the plan's business.

use crate::keys::KeyEntry;
use domain::config::Plan;
use domain::limits::{RateWindow, Take};
use domain::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// When a request refused for concurrency may try again: nobody knows when another one ends.
const CONCURRENCY_RETRY_AFTER_US: u64 = 1_000_000;

/// The counters of one key. Clones share them, so that they outlive an update of the key.
#[derive(Clone, Debug, Default)]
pub struct KeyLimits(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: Window,
    tokens: Window,
    running: AtomicU64,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Requests per minute.
    Requests,
    /// Tokens per minute.
    Tokens,
    /// Requests running at once.
    Concurrency,
}

impl LimitKind {
    /// As told to clients.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests per minute",
            Self::Tokens => "tokens per minute",
            Self::Concurrency => "requests at once",
        }
    }
}

/// How a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowStanding {
    /// Of the whole minute.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Microseconds until the whole limit is there again.
    pub reset_us: u64,
}

/// How the windows of a key stand; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStanding {
    /// Requests per minute.
    pub requests: Option<WindowStanding>,
    /// Tokens per minute.
    pub tokens: Option<WindowStanding>,
}

/// A limit was reached; nothing was taken of any.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("limit of {limit} {} reached", kind.name())]
pub struct LimitRefused {
    /// Which.
    pub kind: LimitKind,
    /// How much it is.
    pub limit: u64,
    /// When another try makes sense.
    pub retry_after_us: u64,
    /// How the windows stand without this request.
    pub standing: RateStanding,
}

/// A request's share of its key's limits. Dropping it ends its part of the concurrency; the windows keep theirs.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct LimitTicket {
    running: Running,
    tokens: Option<TokensTaken>,
    standing: RateStanding,
}

/// Counts as running until it is dropped.
#[derive(Debug)]
struct Running(KeyLimits);

#[derive(Debug)]
struct TokensTaken {
    at: Timestamp,
    amount: AtomicU64,
}

/// Takes a request's share of all limits of its key, or nothing of any.
///
/// # Errors
/// Which limit is reached.
pub fn admit(
    entry: &Arc<KeyEntry>,
    plan: &Plan,
    now: Timestamp,
    tokens_estimate: u64,
) -> Result<LimitTicket, LimitRefused> {
    let limits = &entry.limits;
    let counters = &limits.0;
    let refused = |kind, limit, retry_after_us| LimitRefused {
        kind,
        limit,
        retry_after_us,
        standing: limits.standing(plan, now),
    };
    let running = Running::begin(limits, plan.concurrency)
        .map_err(|limit| refused(LimitKind::Concurrency, limit, CONCURRENCY_RETRY_AFTER_US))?;
    // Looked at before anything is taken, so that a request that is too long costs no other one a refusal, not even
    // for the moment between taking and giving back.
    let tokens_limit = plan.tokens_per_minute;
    if let Some(limit) = tokens_limit
        && let Err(wait) = counters.tokens.look(now, tokens_estimate, limit)
    {
        return Err(refused(LimitKind::Tokens, limit, wait));
    }
    let requests = plan.requests_per_minute.map(|limit| {
        counters
            .requests
            .take(now, 1, limit)
            .map_err(|wait| refused(LimitKind::Requests, limit, wait))
    });
    let requests = requests.transpose()?;
    let tokens = tokens_limit.map(|limit| {
        counters.tokens.take(now, tokens_estimate, limit).map_err(|wait| {
            if let Some(taken) = requests {
                counters.requests.correct(taken.at, now, 1, 0);
            }
            refused(LimitKind::Tokens, limit, wait)
        })
    });
    let tokens = tokens.transpose()?;
    Ok(LimitTicket {
        running,
        tokens: tokens
            .map(|taken| TokensTaken { at: taken.at, amount: AtomicU64::new(tokens_estimate) }),
        standing: RateStanding {
            requests: requests.map(|taken| taken.standing),
            tokens: tokens.map(|taken| taken.standing),
        },
    })
}

impl KeyLimits {
    /// Requests running now.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Whether nothing runs, and nothing counts any more at this moment.
    pub(crate) fn is_at_rest(&self, now: Timestamp) -> bool {
        let is_unused = |window: &Window| window.load(now).0.used(now) == 0;
        self.running() == 0 && is_unused(&self.0.requests) && is_unused(&self.0.tokens)
    }

    /// How the windows stand now.
    #[must_use]
    pub fn standing(&self, plan: &Plan, now: Timestamp) -> RateStanding {
        RateStanding {
            requests: plan.requests_per_minute.map(|limit| self.0.requests.standing(now, limit)),
            tokens: plan.tokens_per_minute.map(|limit| self.0.tokens.standing(now, limit)),
        }
    }
}

impl LimitTicket {
    /// Corrects the tokens taken at admission to what the request really used. What was too little is charged to the
    /// minute of `now`. Said twice, the second corrects the first.
    pub fn settle(&self, now: Timestamp, actual_tokens: u64) {
        if let Some(taken) = &self.tokens {
            let before = taken.amount.swap(actual_tokens, Ordering::Relaxed);
            self.running.0.0.tokens.correct(taken.at, now, before, actual_tokens);
        }
    }

    /// How the key's windows stood once this request had taken its share.
    #[must_use]
    pub const fn standing(&self) -> RateStanding {
        self.standing
    }
}

impl Running {
    fn begin(limits: &KeyLimits, limit: Option<u64>) -> Result<Self, u64> {
        let limit = limit.unwrap_or(u64::MAX);
        let one_more = |running: u64| running.checked_add(1).filter(|running| *running <= limit);
        let counted = limits.0.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map(|_| Self(limits.clone())).map_err(|_| limit)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One `RateWindow` that many threads step.
#[derive(Debug, Default)]
struct Window(AtomicU64);

/// What was taken of a window, and in which minute.
#[derive(Clone, Copy)]
struct Taken {
    at: Timestamp,
    standing: WindowStanding,
}

impl Window {
    fn load(&self, now: Timestamp) -> (RateWindow, Timestamp) {
        Self::read(self.0.load(Ordering::Relaxed), now)
    }

    /// The window, and `now` as it counts: a thread that read its clock just before the minute ended counts in the minute that
    /// another one has opened meanwhile, and what it took there too much comes back there.
    fn read(word: u64, now: Timestamp) -> (RateWindow, Timestamp) {
        let window = RateWindow::from_word(word);
        let next_minute = Timestamp(now.0.saturating_add(now.until_next_minute_us()));
        if window.used(next_minute) > 0 { (window, next_minute) } else { (window, now) }
    }

    fn look(&self, now: Timestamp, amount: u64, limit: u64) -> Result<(), u64> {
        let (window, now) = self.load(now);
        match window.take(now, amount, limit) {
            Take::Taken { .. } => Ok(()),
            Take::Refused { retry_after_us } => Err(retry_after_us),
        }
    }

    fn take(&self, now: Timestamp, amount: u64, limit: u64) -> Result<Taken, u64> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (window, at) = Self::read(word, now);
            let (next, remaining) = match window.take(at, amount, limit) {
                Take::Taken { window, remaining } => (window.word(), remaining),
                Take::Refused { retry_after_us } => return Err(retry_after_us),
            };
            match self.0.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let reset_us = at.until_next_minute_us();
                    return Ok(Taken {
                        at,
                        standing: WindowStanding { limit, remaining, reset_us },
                    });
                }
                Err(changed) => word = changed,
            }
        }
    }

    fn correct(&self, taken_at: Timestamp, now: Timestamp, taken: u64, actual: u64) {
        let step = |word: u64| {
            let (window, now) = Self::read(word, now);
            Some(window.correct(taken_at, now, taken, actual).word())
        };
        // The closure never declines, so the update cannot fail.
        let _: Result<u64, u64> = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    fn standing(&self, now: Timestamp, limit: u64) -> WindowStanding {
        let (window, now) = self.load(now);
        let remaining = limit.saturating_sub(window.used(now));
        WindowStanding { limit, remaining, reset_us: now.until_next_minute_us() }
    }
}

#[cfg(test)]
mod tests;
