//! Server-sent events, found in frames of any size without changing a byte of them
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// One event with all its bytes, its closing blank line included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) raw: Bytes,
    /// The value of its `data` lines; none for comments and for what has no data or empty data, which is no event.
    pub(crate) data: Option<Bytes>,
}

/// Cuts a stream into events. However large an event is and however small its frames are, each byte is looked at a fixed
/// number of times: a sender cannot make a reader work for the square of what it sends.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    current: Bytes,
    /// Where the line begins whose end is looked for.
    line: usize,
    /// Before this place it does not end.
    searched: usize,
}

impl EventReader {
    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, frame: Bytes) {
        if self.current.is_empty() {
            self.current = frame;
            return;
        }
        // After the first time the buffer is ours alone, and grows in place.
        let mut joined = BytesMut::from(std::mem::take(&mut self.current));
        joined.extend_from_slice(&frame);
        self.current = joined.freeze();
    }

    /// The next whole event, if it is there.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let (end, next_line) = self.line_end()?;
            let is_blank = end == self.line;
            (self.line, self.searched) = (next_line, next_line);
            if is_blank {
                let raw = self.current.split_to(next_line);
                (self.line, self.searched) = (0, 0);
                let data = data(&raw);
                return Some(Event { raw, data });
            }
        }
    }

    /// Where the current line ends, and where the next one begins. A line whose `\r` is the last byte seen may still get
    /// its `\n`, so it has not ended; a blank one has, because its event is over either way.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        let found = memchr2(b'\n', b'\r', self.current.get(self.searched..)?);
        let Some(found) = found else {
            self.searched = self.current.len();
            return None;
        };
        let end = self.searched + found;
        self.searched = end;
        match (self.current.get(end), self.current.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => Some((end, end + 2)),
            (Some(b'\r'), None) if end > self.line => None,
            _ => Some((end, end + 1)),
        }
    }

    /// Bytes that wait for the rest of their event.
    pub(crate) fn pending(&self) -> usize {
        self.current.len()
    }

    /// What is left when the stream has ended: an event that was never closed.
    pub(crate) fn rest(&mut self) -> Option<Event> {
        (self.line, self.searched) = (0, 0);
        let raw = std::mem::take(&mut self.current);
        let data = data(&raw);
        (!raw.is_empty()).then_some(Event { raw, data })
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
    found.filter(|data| !data.is_empty())
}

fn value(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests;
