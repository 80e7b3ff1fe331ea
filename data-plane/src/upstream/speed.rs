//! How fast upstreams are with each model, by the streams that they served lately: what `provider.sort` goes by.
//!
//! A request that nobody sorts pays for it with a look-up and three relaxed stores at its end. Two that end at once may lose
//! one sample: a moving figure does not mind.

use domain::time::Timestamp;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each new sample moves a figure by this part of the difference.
const INERTIA: u64 = 4;

/// Figures by upstream and model. A name that is deleted keeps its figures until the process ends.
#[derive(Debug, Default)]
pub(crate) struct Speeds(RwLock<HashMap<String, HashMap<String, Arc<Speed>>>>);

/// One model on one upstream; zeros: nothing is known.
#[derive(Debug, Default)]
struct Speed {
    first_token_us: AtomicU64,
    /// Tokens in a thousand seconds.
    throughput: AtomicU64,
    /// Of the last sample.
    at_us: AtomicU64,
}

/// One stream that was served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// From the attempt's start.
    pub(crate) first_token: Duration,
    /// After the first token.
    pub(crate) rest: Duration,
    /// In all.
    pub(crate) tokens: u64,
    pub(crate) at: Timestamp,
}

/// What is known of one model on one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) first_token_us: Option<u64>,
    /// Tokens in a thousand seconds.
    pub(crate) throughput: Option<u64>,
}

impl Speeds {
    /// Takes a sample in.
    pub(crate) fn note(&self, upstream: &str, model: &str, sample: Sample) {
        let known = self.find(upstream, model);
        let speed = known.unwrap_or_else(|| {
            let mut table = self.0.write();
            table
                .entry(upstream.to_owned())
                .or_default()
                .entry(model.to_owned())
                .or_default()
                .clone()
        });
        speed.take(sample);
    }

    /// What is known as of a moment, from samples that are not older than `age_max`.
    pub(crate) fn known(
        &self,
        upstream: &str,
        model: &str,
        at: Timestamp,
        age_max: Duration,
    ) -> Known {
        let Some(speed) = self.find(upstream, model) else { return Known::default() };
        let age_us = at.0.saturating_sub(speed.at_us.load(Ordering::Relaxed));
        if Duration::from_micros(age_us) > age_max {
            return Known::default();
        }
        let figure = |figure: &AtomicU64| Some(figure.load(Ordering::Relaxed)).filter(|it| *it > 0);
        Known {
            first_token_us: figure(&speed.first_token_us),
            throughput: figure(&speed.throughput),
        }
    }

    fn find(&self, upstream: &str, model: &str) -> Option<Arc<Speed>> {
        self.0.read().get(upstream)?.get(model).cloned()
    }
}

impl Speed {
    fn take(&self, sample: Sample) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        move_to(&self.first_token_us, micros(sample.first_token).max(1));
        let after_the_first = sample.tokens.saturating_sub(1);
        let rest_us = micros(sample.rest);
        if after_the_first > 0 && rest_us > 0 {
            let scaled = u128::from(after_the_first).saturating_mul(1_000_000_000);
            let throughput = scaled.checked_div(u128::from(rest_us)).unwrap_or_default();
            move_to(&self.throughput, u64::try_from(throughput).unwrap_or(u64::MAX).max(1));
        }
        self.at_us.store(sample.at.0, Ordering::Relaxed);
    }
}

/// The first sample is the figure; later ones pull it towards them.
fn move_to(figure: &AtomicU64, sample: u64) {
    let before = figure.load(Ordering::Relaxed);
    let step = |difference: u64| difference.div_ceil(INERTIA);
    let after = match before {
        0 => sample,
        before if sample > before => before.saturating_add(step(sample.abs_diff(before))),
        before => before.saturating_sub(step(sample.abs_diff(before))),
    };
    figure.store(after.max(1), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn sample(first_ms: u64, rest_ms: u64, tokens: u64, at: u64) -> Sample {
        let (first_token, rest) = (Duration::from_millis(first_ms), Duration::from_millis(rest_ms));
        Sample { first_token, rest, tokens, at: Timestamp(at * 1_000_000) }
    }

    fn known(speeds: &Speeds, at: u64) -> (Option<u64>, Option<u64>) {
        let known = speeds.known("a", "m", Timestamp(at * 1_000_000), AGE);
        (known.first_token_us, known.throughput)
    }

    #[test]
    fn figures_follow_the_samples_and_are_forgotten_when_they_are_old() {
        let speeds = Speeds::default();
        assert_eq!(known(&speeds, 1), (None, None));
        speeds.note("a", "m", sample(100, 1_000, 51, 10));
        assert_eq!(known(&speeds, 10), (Some(100_000), Some(50_000)), "50 tokens a second");
        assert_eq!(speeds.known("b", "m", Timestamp(0), AGE), Known::default());
        speeds.note("a", "m", sample(500, 1_000, 11, 11));
        assert_eq!(known(&speeds, 11), (Some(200_000), Some(40_000)), "a part of the way");
        (0..60).for_each(|_| speeds.note("a", "m", sample(500, 1_000, 11, 12)));
        assert_eq!(known(&speeds, 12), (Some(500_000), Some(10_000)), "and in the end all of it");
        assert_eq!(known(&speeds, 72), (Some(500_000), Some(10_000)));
        assert_eq!(known(&speeds, 73), (None, None), "older than a minute");
    }

    #[test]
    fn a_stream_of_one_token_says_how_soon_it_came_and_nothing_of_throughput() {
        let speeds = Speeds::default();
        speeds.note("a", "m", sample(0, 0, 1, 1));
        assert_eq!(known(&speeds, 1), (Some(1), None));
    }
}
