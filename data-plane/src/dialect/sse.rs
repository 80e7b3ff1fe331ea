//! Server-sent events, found in frames of any size without changing a byte of them
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// One event with all its bytes, its closing blank line included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) raw: Bytes,
    /// The value of its `data` lines; none for comments and empty lines.
    pub(crate) data: Option<Bytes>,
}

/// Cuts a stream into events.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    current: Bytes,
    /// Start of the line up to which `current` was searched.
    searched: usize,
}

impl EventReader {
    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, frame: Bytes) {
        if self.current.is_empty() {
            self.current = frame;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.current.len() + frame.len());
        joined.extend_from_slice(&self.current);
        joined.extend_from_slice(&frame);
        self.current = joined.freeze();
    }

    /// The next whole event, if it is there.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let rest = self.current.get(self.searched..)?;
            let (line, ending) = line(rest)?;
            self.searched += line + ending;
            if line == 0 {
                let raw = self.current.split_to(self.searched);
                self.searched = 0;
                let data = data(&raw);
                return Some(Event { raw, data });
            }
        }
    }

    /// Bytes that wait for the rest of their event.
    pub(crate) fn pending(&self) -> usize {
        self.current.len()
    }

    /// What is left when the stream has ended: an event that was never closed.
    pub(crate) fn rest(&mut self) -> Option<Event> {
        self.searched = 0;
        let raw = std::mem::take(&mut self.current);
        let data = data(&raw);
        (!raw.is_empty()).then_some(Event { raw, data })
    }
}

/// Length of the first line and of its ending. A line whose `\r` is the last byte seen may still get its `\n`, so it has
/// not ended; a blank one has, because its event is over either way.
fn line(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = memchr2(b'\n', b'\r', bytes)?;
    if bytes.get(length) == Some(&b'\n') {
        return Some((length, 1));
    }
    match bytes.get(length + 1) {
        Some(b'\n') => Some((length, 2)),
        Some(_) => Some((length, 1)),
        None => (length == 0).then_some((0, 1)),
    }
}

fn data(raw: &Bytes) -> Option<Bytes> {
    let mut found: Option<Bytes> = None;
    let mut at = 0;
    while at < raw.len() {
        let rest = raw.get(at..)?;
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        if let Some(value) = value(rest.get(..length)?) {
            let value = raw.slice_ref(value);
            found = Some(match found {
                None => value,
                Some(before) => Bytes::from([before.as_ref(), b"\n", value.as_ref()].concat()),
            });
        }
        at += length + 1;
    }
    found
}

fn value(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests;
