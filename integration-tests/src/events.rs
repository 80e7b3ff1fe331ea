//! An answer as a stream of server-sent events.

use crate::http::{Answer, End, Head, Reply};
use serde_json::Value;

/// A stream of events; dropping it hangs up.
#[derive(Debug)]
pub struct EventStream {
    answer: Answer,
    unread: Vec<u8>,
    comments: u64,
    end: Option<End>,
}

/// What one event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The text after `data:`.
    pub data: String,
}

impl Event {
    /// The last event of a stream that ended well.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    /// The data as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {}", self.data))
    }

    /// The error, if the event is one.
    #[must_use]
    pub fn error(&self) -> Option<Value> {
        let is_json = self.data.starts_with('{');
        is_json.then(|| self.json()).and_then(|json| json.get("error").cloned())
    }

    /// The words of the first choice, if it says any.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let is_json = self.data.starts_with('{');
        let json = is_json.then(|| self.json())?;
        let choice = &json["choices"][0];
        let delta = &choice["delta"];
        let places = [&delta["content"], &delta["reasoning_content"], &choice["text"]];
        let words = places.into_iter().find_map(Value::as_str);
        words.filter(|words| !words.is_empty()).map(str::to_owned)
    }
}

impl EventStream {
    /// An answer, read as one.
    #[must_use]
    pub fn of(answer: Answer) -> Self {
        Self { answer, unread: Vec::new(), comments: 0, end: None }
    }

    /// Status and headers.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.answer.head
    }

    /// Status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.head.status
    }

    /// Our id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.answer.head.request_id()
    }

    /// The next event; `None` at the end, of which `end` says how it was.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(event) = self.event(&block) {
                    return Some(event);
                }
            }
            if self.end.is_some() {
                return None;
            }
            match self.answer.piece().await {
                Ok(piece) => self.unread.extend(piece),
                Err(end) => self.end = Some(end),
            }
        }
    }

    /// All events that are left, and how the stream ended.
    pub async fn rest(mut self) -> (Vec<Event>, End) {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        (events, self.end.unwrap())
    }

    /// How the stream ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// How many keep-alives came so far.
    #[must_use]
    pub fn comments(&self) -> u64 {
        self.comments
    }

    /// The answer as a whole, for one that turned out to be no stream.
    ///
    /// # Errors
    /// How the connection ended when the answer is not whole.
    pub async fn into_reply(self) -> Result<Reply, End> {
        self.answer.whole().await
    }

    /// Hangs up in the middle.
    pub fn drop_connection(self) {
        drop(self);
    }

    /// Lines up to the next empty one, or a comment by itself.
    fn take_block(&mut self) -> Option<String> {
        let at =
            |pattern: &[u8]| self.unread.windows(pattern.len()).position(|part| part == pattern);
        let length = if self.unread.starts_with(b":") {
            at(b"\n")? + 1
        } else {
            [at(b"\n\n").map(|at| at + 2), at(b"\r\n\r\n").map(|at| at + 4)]
                .into_iter()
                .flatten()
                .min()?
        };
        let block = self.unread.drain(..length).collect();
        Some(String::from_utf8(block).unwrap())
    }

    fn event(&mut self, block: &str) -> Option<Event> {
        if block.starts_with(':') {
            self.comments += 1;
            return None;
        }
        let data = block.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = data.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        (!data.is_empty()).then(|| Event { data: data.join("\n") })
    }
}
