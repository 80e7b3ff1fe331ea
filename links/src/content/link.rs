//! The data plane's end: a bounded queue, and a task that empties it.

use super::{ContentKey, ContentLinkSettings, Recorded};
use crate::reconnect::Backoff;
use crate::ways::Ways;
use proto::content::v1::content_service_client::ContentServiceClient;
use proto::content::v1::{SealedContent, StoreRequest};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

/// There was no room for it: the store is away, or slower than what is said.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too much content waits to be kept")]
pub struct Dropped;

/// Where a data plane puts contents. Clones share the queue.
#[derive(Clone, Debug)]
pub struct ContentLink {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting {
    recorded: Recorded,
    _room: OwnedSemaphorePermit,
}

impl ContentLink {
    /// Connects when there is something to send, and comes back for ever. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(ways: impl Into<Ways>, key: ContentKey, settings: ContentLinkSettings) -> Self {
        let (queue, waiting) = mpsc::channel(settings.waiting.max(1));
        let room = Arc::new(Semaphore::new(settings.waiting_bytes.min(Semaphore::MAX_PERMITS)));
        let sender = Sender { ways: ways.into(), key, settings, waiting };
        tokio::spawn(sender.run());
        Self { queue, room }
    }

    /// Queues a content, or does not; never waits.
    ///
    /// # Errors
    /// When there is no room.
    pub fn offer(&self, recorded: Recorded) -> Result<(), Dropped> {
        let content = &recorded.content;
        let bytes = content.prompt.len().saturating_add(content.completion.len());
        let bytes = u32::try_from(bytes).map_err(|_| Dropped)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Dropped)?;
        self.queue.try_send(Waiting { recorded, _room: room }).map_err(|_| Dropped)
    }
}

struct Sender {
    ways: Ways,
    key: ContentKey,
    settings: ContentLinkSettings,
    waiting: mpsc::Receiver<Waiting>,
}

impl Sender {
    /// Until every clone of the link is dropped and the queue is empty.
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, self.settings.batch.max(1)).await > 0 {
            let contents = batch.iter().map(|waiting| self.sealed(&waiting.recorded)).collect();
            self.send(StoreRequest { contents }).await;
            batch.clear();
        }
    }

    fn sealed(&self, recorded: &Recorded) -> SealedContent {
        SealedContent {
            request_id: recorded.request_id.clone(),
            org_uid: recorded.org_uid,
            ended_us: recorded.ended_us,
            sealed: self.key.seal(&recorded.request_id, &recorded.content),
        }
    }

    /// Until the store has it, or will never take it.
    async fn send(&mut self, request: StoreRequest) {
        let mut backoff = Backoff::new("content", self.settings.reconnect, self.ways.count());
        loop {
            let began = Instant::now();
            let mut client = ContentServiceClient::new(self.ways.channel());
            let sent = timeout(self.settings.answer_timeout, client.store(request.clone()));
            let status = match sent.await {
                Ok(Ok(_stored)) => return,
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the store does not answer"),
            };
            if matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) {
                let contents = request.contents.len();
                tracing::error!(contents, code = %status.code(), "contents are refused and lost");
                return;
            }
            self.ways.turn(false);
            backoff.rest(began, &status.code()).await;
        }
    }
}
