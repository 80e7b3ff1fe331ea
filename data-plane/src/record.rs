//! What a request says and is told, for orgs that want it kept. Bounded; offered to the content link when the request has
//! settled, and never waited for.

use crate::metric;
use bytes::Bytes;
use links::content::{ContentLink, Recorded};
use proto::content::v1::Content;

/// Where contents go, and how much of one.
#[derive(Clone, Debug)]
pub struct ContentSink {
    /// The way to the store.
    pub link: ContentLink,
    /// Bytes of a prompt, and of a completion, that are kept; of longer ones the beginning is.
    pub bytes_max: usize,
}

/// The content of a running request.
pub(crate) struct Record {
    sink: ContentSink,
    content: Content,
}

impl Record {
    /// Begins with what was asked.
    pub(crate) fn begin(sink: ContentSink, prompt: &Bytes) -> Self {
        let prompt_cut = prompt.len() > sink.bytes_max;
        let kept = prompt.get(..sink.bytes_max).unwrap_or(prompt).to_vec();
        Self { sink, content: Content { prompt: kept, prompt_cut, ..Content::default() } }
    }

    /// Goes on with what was delivered.
    pub(crate) fn hear(&mut self, delivered: &Bytes) {
        let room = self.sink.bytes_max.saturating_sub(self.content.completion.len());
        self.content.completion_cut |= delivered.len() > room;
        self.content.completion.extend_from_slice(delivered.get(..room).unwrap_or(delivered));
    }

    /// Ends it: off to the store, if there is room on the way.
    pub(crate) fn end(self, request_id: &str, org_uid: i64, ended_us: u64) {
        let Self { sink, content } = self;
        let recorded = Recorded { request_id: request_id.to_owned(), org_uid, ended_us, content };
        if sink.link.offer(recorded).is_err() {
            metric::content_dropped();
        }
    }
}
