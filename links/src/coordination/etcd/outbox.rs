//! News that waits to be told. However much of it gathers, it is one put for each topic; what was not told because the
//! connection broke is told on the next one.

use super::super::Topic;
use domain::id::Revision;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// News to be told.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    inside: Mutex<Inside>,
    is_filled: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    topics: Topics,
    head: Option<Revision>,
    /// The newest that was ever to be told.
    told: Option<Revision>,
}

/// Some topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Topics([bool; Topic::ALL.len()]);

/// What was taken out to be sent. It goes back in unless it was.
#[derive(Debug)]
pub(super) struct Mail<'a> {
    outbox: &'a Outbox,
    pub(super) topics: Topics,
    pub(super) head: Option<Revision>,
    is_sent: bool,
}

impl Outbox {
    pub(super) fn poke(&self, topic: Topic) {
        self.inside.lock().topics.add(topic);
        self.is_filled.notify_one();
    }

    /// Remembers the newest revision, and tells it unless etcd has it.
    pub(super) fn head(&self, head: Revision, is_new: bool) {
        let mut inside = self.inside.lock();
        if inside.told.is_some_and(|told| told >= head) {
            return;
        }
        inside.told = Some(head);
        if !is_new {
            return;
        }
        inside.head = Some(head);
        drop(inside);
        self.is_filled.notify_one();
    }

    /// The newest revision that was to be told.
    pub(super) fn told(&self) -> Option<Revision> {
        self.inside.lock().told
    }

    /// Waits until there is anything. Safe to cancel.
    pub(super) async fn collect(&self) -> Mail<'_> {
        loop {
            {
                let mut inside = self.inside.lock();
                let topics = std::mem::take(&mut inside.topics);
                let head = inside.head.take();
                if topics != Topics::default() || head.is_some() {
                    return Mail { outbox: self, topics, head, is_sent: false };
                }
            }
            self.is_filled.notified().await;
        }
    }
}

impl Topics {
    fn add(&mut self, topic: Topic) {
        for (it, is_in) in Topic::ALL.into_iter().zip(&mut self.0) {
            *is_in |= it == topic;
        }
    }

    pub(super) fn has(self, topic: Topic) -> bool {
        Topic::ALL.into_iter().zip(self.0).any(|(it, is_in)| is_in && it == topic)
    }
}

impl Mail<'_> {
    pub(super) fn sent(mut self) {
        self.is_sent = true;
    }
}

impl Drop for Mail<'_> {
    fn drop(&mut self) {
        if self.is_sent {
            return;
        }
        let mut inside = self.outbox.inside.lock();
        for topic in Topic::ALL.into_iter().filter(|topic| self.topics.has(*topic)) {
            inside.topics.add(topic);
        }
        inside.head = inside.head.max(self.head);
        drop(inside);
        self.outbox.is_filled.notify_one();
    }
}
