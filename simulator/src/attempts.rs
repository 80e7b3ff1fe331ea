//! Counts the attempts at one request, for scripts where only the first ones fail.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use hyper::HeaderMap;
use parking_lot::Mutex;

/// Far more requests than are ever retried at once; the oldest are forgotten beyond it.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Attempts {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    counts: HashMap<u64, u64>,
    oldest_first: VecDeque<u64>,
}

impl Attempts {
    /// The number of this attempt, from 1. Attempts belong together by their `x-request-id`, or by
    /// their bodies where there is none.
    pub(crate) fn count(&self, headers: &HeaderMap, body: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        match headers.get("x-request-id") {
            Some(id) => id.as_bytes().hash(&mut hasher),
            None => body.hash(&mut hasher),
        }
        self.seen.lock().count(hasher.finish())
    }
}

impl Seen {
    fn count(&mut self, request: u64) -> u64 {
        let count = self.counts.entry(request).or_insert(0);
        *count += 1;
        let count = *count;
        if count == 1 {
            self.oldest_first.push_back(request);
            if self.oldest_first.len() > REMEMBERED_MAX
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.counts.remove(&oldest);
            }
        }
        count
    }
}
