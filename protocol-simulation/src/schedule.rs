//! Time, and what happens when. One thread: what is due at the same moment happens in the order in which it was planned.

use std::collections::BTreeMap;

/// Microseconds since the world began.
pub(crate) type Time = u64;

pub(crate) const MILLISECOND: Time = 1_000;
pub(crate) const SECOND: Time = 1_000 * MILLISECOND;

#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: Time,
    planned: u64,
    events: BTreeMap<(Time, u64), E>,
}

impl<E> Schedule<E> {
    pub(crate) const fn new() -> Self {
        Self { now: 0, planned: 0, events: BTreeMap::new() }
    }

    pub(crate) const fn now(&self) -> Time {
        self.now
    }

    /// At that time, or now if that is past.
    pub(crate) fn at(&mut self, time: Time, event: E) {
        self.planned += 1;
        self.events.insert((time.max(self.now), self.planned), event);
    }

    pub(crate) fn after(&mut self, delay: Time, event: E) {
        self.at(self.now + delay, event);
    }

    /// What happens next, unless that is later than `end`. Time moves there.
    pub(crate) fn next_until(&mut self, end: Time) -> Option<E> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= end)?;
        self.now = entry.key().0;
        Some(entry.remove())
    }
}
