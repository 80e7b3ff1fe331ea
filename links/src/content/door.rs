//! The store's end: takes messages one by one, and answers each when its contents are kept.

use proto::content::v1::content_service_server::{ContentService, ContentServiceServer};
use proto::content::v1::{SealedContent, StoreRequest, StoreResponse};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

/// Bytes of one message: a batch of the largest contents that a data plane may be set to.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Messages that may wait for the store.
const BACKLOG: usize = 4;

/// The gRPC service: lets contents in.
#[derive(Debug)]
pub struct ContentDoor {
    deliveries: mpsc::Sender<Delivery>,
}

/// Where the store takes them from. Dropping it turns them away.
#[derive(Debug)]
pub struct ContentListener {
    deliveries: mpsc::Receiver<Delivery>,
}

/// Contents that somebody waits to be told of. Dropping it says that they were not kept; they come again.
#[derive(Debug)]
pub struct Delivery {
    /// Sealed.
    pub contents: Vec<SealedContent>,
    kept: oneshot::Sender<()>,
}

/// A service and its listener.
#[must_use]
pub fn content_listener() -> (ContentServiceServer<ContentDoor>, ContentListener) {
    let (sender, deliveries) = mpsc::channel(BACKLOG);
    let service = ContentServiceServer::new(ContentDoor { deliveries: sender })
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    (service, ContentListener { deliveries })
}

impl ContentListener {
    /// The next contents; `None` once the service is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

impl Delivery {
    /// Says that they are kept, so that nobody has to keep them any more.
    pub fn kept(self) {
        // Whoever sent them may have gone; then they come again, and are known by their requests.
        let _told = self.kept.send(());
    }
}

#[tonic::async_trait]
impl ContentService for ContentDoor {
    async fn store(
        &self,
        request: Request<StoreRequest>,
    ) -> Result<Response<StoreResponse>, Status> {
        let (kept, answered) = oneshot::channel();
        let delivery = Delivery { contents: request.into_inner().contents, kept };
        let away = |()| Status::unavailable("nobody keeps contents at the moment");
        self.deliveries.send(delivery).await.map_err(|_| away(()))?;
        answered.await.map_err(|_| away(()))?;
        Ok(Response::new(StoreResponse {}))
    }
}
