//! `Idempotency-Key`: one attempt. Remembers which keys each org has used, for a while and up to a count, and never an
//! answer: who repeats a key is told of the first request.
//!
//! What it remembers is in memory; after a restart the spool tells of the requests that its newest file has seen admitted.

use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::pipeline::authenticate::Caller;
use crate::plane::Core;
use crate::settings::{Limits, Pace};
use domain::key::{KeyDigest, digest};
use domain::time::Timestamp;
use http::{HeaderMap, HeaderName, StatusCode};
use links::spool::UsedKey;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "idempotency-key";
const HEADER: HeaderName = HeaderName::from_static(NAME);

/// All used keys of one data plane. Clones are the same.
#[derive(Clone)]
pub(crate) struct UsedKeys(Arc<Remembering>);

struct Remembering {
    window: Duration,
    most: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    first: HashMap<KeyDigest, Arc<str>>,
    /// Oldest first. A claim that was given up leaves its entry here.
    in_order: VecDeque<(Timestamp, KeyDigest, Arc<str>)>,
}

/// A key taken for one request; given up when it is dropped before the request was admitted.
pub(crate) struct Claim {
    keys: UsedKeys,
    digest: KeyDigest,
    request_id: Arc<str>,
    is_kept: bool,
}

/// Takes the key that a request names, if it names one.
pub(crate) fn claim(
    core: &Core,
    caller: &Caller,
    headers: &HeaderMap,
    request_id: &str,
) -> Result<Option<Claim>, ApiError> {
    let parts = &core.plane.parts;
    let Some(named) = named(headers, parts.settings.limits.idempotency_key_bytes)? else {
        return Ok(None);
    };
    // The org is part of what is hashed: equal keys of two orgs have nothing to do with each other.
    let digest = digest(&parts.pepper, &format!("idempotency:{}:{named}", caller.org.uid.0));
    core.plane.used_keys.claim(digest, request_id, now()).map(Some).map_err(|first| used(&first))
}

fn named(headers: &HeaderMap, bytes_max: usize) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let is_one = values.next().is_none() && !text.is_empty() && text.len() <= bytes_max;
    is_one.then_some(Some(text)).ok_or_else(|| {
        let message = format!("Idempotency-Key must be one text of up to {bytes_max} characters");
        ApiError::invalid(NAME, message)
    })
}

fn used(first: &str) -> ApiError {
    let message = format!(
        "this Idempotency-Key was used by request {first}, which may still run: no answer is kept; see generation?id={first}, \
         and use a new key for another attempt"
    );
    ApiError::new(StatusCode::CONFLICT, ErrorType::InvalidRequest, message)
        .with("first_request_id", first)
        .with("reason", "idempotency_key_used")
        .retry(false)
}

impl UsedKeys {
    pub(crate) fn new(limits: &Limits, pace: &Pace) -> Self {
        let (window, most) = (pace.idempotency_window, limits.idempotency_keys);
        Self(Arc::new(Remembering { window, most, used: Mutex::default() }))
    }

    /// Takes a key, or tells which request has it.
    fn claim(
        &self,
        digest: KeyDigest,
        request_id: &str,
        now: Timestamp,
    ) -> Result<Claim, Arc<str>> {
        let request_id: Arc<str> = request_id.into();
        self.put(digest, &request_id, now)?;
        Ok(Claim { keys: self.clone(), digest, request_id, is_kept: false })
    }

    /// Takes in what an earlier process admitted. Keys of another form are of no use to anybody.
    pub(crate) fn remember(&self, used: Vec<UsedKey>) {
        for UsedKey { digest, request_id, admitted_us } in used {
            if let Ok(digest) = digest.try_into() {
                // Of two with one key the first one counts, here as there.
                let _first =
                    self.put(KeyDigest(digest), &request_id.into(), Timestamp(admitted_us));
            }
        }
    }

    fn put(&self, digest: KeyDigest, request_id: &Arc<str>, at: Timestamp) -> Result<(), Arc<str>> {
        let mut used = self.0.used.lock();
        used.forget_before(at, self.0.window);
        if let Some(first) = used.first.get(&digest) {
            return Err(first.clone());
        }
        used.first.insert(digest, request_id.clone());
        used.in_order.push_back((at, digest, request_id.clone()));
        while used.in_order.len() > self.0.most {
            used.forget_oldest();
        }
        Ok(())
    }
}

impl Used {
    fn forget_before(&mut self, now: Timestamp, window: Duration) {
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        while self.in_order.front().is_some_and(|(at, ..)| at.0.saturating_add(window_us) <= now.0)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, digest, request_id)) = self.in_order.pop_front() {
            self.give_up(digest, &request_id);
        }
    }

    /// Another request may have the key by now.
    fn give_up(&mut self, digest: KeyDigest, request_id: &Arc<str>) {
        if self.first.get(&digest).is_some_and(|first| first == request_id) {
            self.first.remove(&digest);
        }
    }
}

impl Claim {
    /// What is written down of the key.
    pub(crate) fn digest(&self) -> Vec<u8> {
        self.digest.0.to_vec()
    }

    /// The request was admitted: the key is used.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_kept {
            self.keys.0.used.lock().give_up(self.digest, &self.request_id);
        }
    }
}

#[cfg(test)]
mod tests;
