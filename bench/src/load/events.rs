//! Counts the events of a stream across the edges of what is read, and times them.

use super::Window;
use tokio::time::Instant;

/// What was seen of an answer's body.
#[derive(Debug)]
pub(super) struct EventCounter {
    streams: bool,
    window: Window,
    /// A line whose end has not come.
    tail: Vec<u8>,
    last: Option<Instant>,
    pub(super) first: Option<Instant>,
    /// Microseconds between two events; those that are read together show none.
    pub(super) gaps: Vec<u32>,
    pub(super) events: u64,
    /// Those that came inside the window, whenever their request was due.
    pub(super) in_window: u64,
    pub(super) has_usage: bool,
    pub(super) is_done: bool,
}

impl EventCounter {
    pub(super) fn new(streams: bool, window: Window) -> Self {
        Self {
            streams,
            window,
            tail: Vec::new(),
            last: None,
            first: None,
            gaps: Vec::new(),
            events: 0,
            in_window: 0,
            has_usage: false,
            is_done: false,
        }
    }

    /// The next bytes of the body.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.streams {
            self.has_usage |= memchr::memmem::find(bytes, b"\"usage\"").is_some();
            return;
        }
        let now = Instant::now();
        if self.tail.is_empty() {
            let used = self.lines(bytes, now);
            self.tail.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut joined = std::mem::take(&mut self.tail);
            joined.extend_from_slice(bytes);
            let used = self.lines(&joined, now);
            joined.drain(..used);
            self.tail = joined;
        }
    }

    /// Takes whole lines; returns how many bytes they are.
    fn lines(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = bytes.get(at..end).unwrap_or_default();
            at = end + 1;
            if let Some(data) = line.strip_prefix(b"data:") {
                self.event(data.strip_prefix(b" ").unwrap_or(data), now);
            }
        }
        at
    }

    fn event(&mut self, data: &[u8], now: Instant) {
        if data.starts_with(b"[DONE]") {
            self.is_done = true;
            return;
        }
        self.first.get_or_insert(now);
        if let Some(last) = self.last {
            self.gaps.push(u32::try_from((now - last).as_micros()).unwrap_or(u32::MAX));
        }
        self.last = Some(now);
        self.events += 1;
        self.in_window += u64::from(self.window.contains(now));
        self.has_usage |= memchr::memmem::find(data, b"\"usage\":{").is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_count_the_same_however_the_stream_is_cut() {
        let stream = b"data: {\"a\":1}\n\n: ping\n\ndata: {\"usage\":{}}\n\ndata: [DONE]\n\n";
        let now = Instant::now();
        let window = Window { from: now, until: now + Duration::from_secs(60) };
        for size in 1..=stream.len() {
            let mut counter = EventCounter::new(true, window);
            stream.chunks(size).for_each(|piece| counter.feed(piece));
            assert_eq!(
                (counter.events, counter.in_window, counter.gaps.len()),
                (2, 2, 1),
                "{size}"
            );
            assert!(counter.has_usage && counter.is_done && counter.first.is_some());
        }
    }
}
