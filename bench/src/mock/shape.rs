//! What an answer shall be like. The name of the model says it, `mock-c100-d20`: every gateway passes that on.

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// `l`: milliseconds before the answer, or before the first event.
    pub(super) latency_ms: u64,
    /// `s`: bytes of text of an answer that is no stream.
    pub(super) size: usize,
    /// `c`: events with text.
    pub(super) chunks: usize,
    /// `d`: milliseconds between them; 0: as fast as the socket takes them.
    pub(super) delay_ms: u64,
    /// `t`: bytes of text in one.
    pub(super) token: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { latency_ms: 0, size: 512, chunks: 100, delay_ms: 0, token: 4 }
    }
}

impl Shape {
    /// The form that a request's body asks for.
    pub(super) fn of(body: &[u8]) -> Self {
        const MARK: &[u8] = b"mock-";
        let mut shape = Self::default();
        let Some(at) = memchr::memmem::find(body, MARK) else { return shape };
        let rest = body.get(at + MARK.len()..).unwrap_or_default();
        let name = rest.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-')).next();
        for part in name.unwrap_or_default().split(|byte| *byte == b'-') {
            shape.set(part);
        }
        shape
    }

    fn set(&mut self, part: &[u8]) -> Option<()> {
        let (letter, digits) = part.split_first()?;
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let count = usize::try_from(number).ok()?;
        match letter {
            b'l' => self.latency_ms = number,
            b's' => self.size = count,
            b'c' => self.chunks = count,
            b'd' => self.delay_ms = number,
            b't' => self.token = count,
            _ => {}
        }
        Some(())
    }
}

/// Whether `key: true` stands anywhere in the body.
pub(super) fn is_true(body: &[u8], key: &[u8]) -> bool {
    memchr::memmem::find_iter(body, key).any(|at| {
        let rest = body.get(at + key.len()..).unwrap_or_default();
        let mut visible = rest.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        b":true".iter().all(|wanted| visible.next() == Some(*wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_name_says_what_the_answer_is_like() {
        let shape = Shape::of(br#"{"model":"mock-c20-d5-l7-s9-t3","stream":true}"#);
        let wanted = Shape { latency_ms: 7, size: 9, chunks: 20, delay_ms: 5, token: 3 };
        assert_eq!(shape, wanted);
        assert_eq!(Shape::of(br#"{"model":"gpt-4o"}"#), Shape::default());
    }

    #[test]
    fn a_field_is_true_only_when_it_says_so() {
        assert!(is_true(br#"{"stream" : true}"#, b"\"stream\""));
        assert!(is_true(br#"{"a":"\"stream\"","stream":true}"#, b"\"stream\""));
        assert!(!is_true(br#"{"stream":false,"x":true}"#, b"\"stream\""));
    }
}
