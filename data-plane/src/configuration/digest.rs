//! The digest of all that is applied, made anew. Following single changes is the keeper's business.

use super::Configuration;
use links::feed::StateDigest;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// As many keys are worth a thread of their own.
const KEYS_PER_THREAD: usize = 250_000;

/// Millions of keys are gone through on all processors at once, as a data plane that starts with them waits for it.
pub(super) fn digest_of(configuration: &Configuration) -> StateDigest {
    let next = AtomicUsize::new(0);
    let digest_some = || {
        let shelves = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mut digest = StateDigest::default();
        for shelf in shelves.take_while(|shelf| *shelf < configuration.shelves()) {
            configuration.shelf(shelf).flatten().for_each(|change| digest.add(&change));
        }
        digest
    };
    thread::scope(|scope| {
        let helpers: Vec<_> =
            (0..helpers(configuration)).map(|_| scope.spawn(digest_some)).collect();
        let mut whole = digest_some();
        for helper in helpers {
            // Without the part of one that died it differs from the control plane's, which is seen and mended.
            whole.merge(helper.join().unwrap_or_default());
        }
        whole
    })
}

fn helpers(configuration: &Configuration) -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (configuration.key_count() / KEYS_PER_THREAD).min(processors - 1)
}
