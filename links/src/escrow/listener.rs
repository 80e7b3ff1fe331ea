//! The control plane's end of the escrow link.
//!
//! Reading is done by whoever takes from the connection, writing by the transport from a bounded queue: neither waits for
//! the other inside this file.

use super::wire::{self, Unreadable};
use super::{EscrowListenerSettings, FromDataPlane, Hello, ToDataPlane};
use crate::ending::Ending;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use proto::escrow::v1::escrow_service_server::{EscrowService, EscrowServiceServer};
use proto::escrow::v1::{SyncRequest, SyncResponse};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, error, warn};

/// The connection is over. What was not told is told again by the Welcome of the next one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the data plane is not connected any more")]
pub struct Gone;

/// The gRPC service: lets data planes in.
#[derive(Debug)]
pub struct EscrowDoor {
    settings: EscrowListenerSettings,
    accepted: mpsc::Sender<EscrowConnection>,
}

/// Where the desk takes the connections from. Dropping it turns new ones away.
#[derive(Debug)]
pub struct EscrowListener {
    accepted: mpsc::Receiver<EscrowConnection>,
}

/// One data plane that said Hello. Dropping it ends the connection.
#[derive(Debug)]
pub struct EscrowConnection {
    /// Who it is and what it holds.
    pub hello: Hello,
    requests: Streaming<SyncRequest>,
    sender: EscrowSender,
}

/// Sends to one data plane.
#[derive(Clone, Debug)]
pub struct EscrowSender {
    queue: mpsc::Sender<SyncResponse>,
    ending: Ending,
    send_timeout: Duration,
}

/// A service and its listener.
#[must_use]
pub fn escrow_listener() -> (EscrowServiceServer<EscrowDoor>, EscrowListener) {
    escrow_listener_with(EscrowListenerSettings::default())
}

/// The same with other limits.
#[must_use]
pub fn escrow_listener_with(
    settings: EscrowListenerSettings,
) -> (EscrowServiceServer<EscrowDoor>, EscrowListener) {
    let (sender, accepted) = mpsc::channel(settings.backlog.max(1));
    let door = EscrowDoor { settings, accepted: sender };
    let service = EscrowServiceServer::new(door).max_decoding_message_size(settings.message_bytes);
    (service, EscrowListener { accepted })
}

impl EscrowListener {
    /// The next data plane that connects. `None` once the service is gone. Safe to cancel.
    pub async fn accept(&mut self) -> Option<EscrowConnection> {
        self.accepted.recv().await
    }
}

impl EscrowConnection {
    /// The next message; `None` when the connection is over, by either side or because of a message that cannot be read. A data
    /// plane that has said all hears on until this is dropped, which tells it that all was taken in. Safe to cancel.
    pub async fn next(&mut self) -> Option<FromDataPlane> {
        let message = tokio::select! {
            biased;
            _ = self.sender.ending.ended() => return None,
            message = self.requests.message() => message,
        };
        let reason = match message {
            Ok(Some(message)) => match wire::request_from_wire(message) {
                Ok(message) => return Some(message),
                Err(unreadable) => self.refuse(unreadable),
            },
            Ok(None) => {
                debug!(data_plane = self.hello.data_plane, "a data plane has said all");
                return None;
            }
            Err(status) => status,
        };
        debug!(data_plane = self.hello.data_plane, %reason, "escrow connection ended");
        self.sender.ending.end(reason);
        None
    }

    /// A way to send.
    #[must_use]
    pub fn sender(&self) -> EscrowSender {
        self.sender.clone()
    }

    fn refuse(&self, unreadable: Unreadable) -> Status {
        error!(data_plane = self.hello.data_plane, %unreadable, "a data plane broke the escrow protocol");
        Status::invalid_argument(unreadable.to_string())
    }
}

impl Drop for EscrowConnection {
    fn drop(&mut self) {
        self.sender.ending.end(Status::unavailable("the control plane ended the connection"));
    }
}

impl EscrowSender {
    /// Queues a message; waits while the queue is full. `Disconnected` ends the connection.
    ///
    /// # Errors
    /// When the connection is over, or is given up now because the data plane takes nothing.
    pub async fn send(&self, message: ToDataPlane) -> Result<(), Gone> {
        if self.ending.has_ended() {
            return Err(Gone);
        }
        let Some(message) = wire::response_to_wire(&message) else {
            self.ending.end(Status::unavailable("the control plane ended the connection"));
            return Ok(());
        };
        let Ok(sent) = timeout(self.send_timeout, self.queue.send(message)).await else {
            warn!("a data plane takes no escrow messages: its connection is given up");
            self.ending.end(Status::resource_exhausted("too many messages wait to be taken"));
            return Err(Gone);
        };
        sent.map_err(|_| Gone)
    }
}

#[tonic::async_trait]
impl EscrowService for EscrowDoor {
    type SyncStream = BoxStream<'static, Result<SyncResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let mut requests = request.into_inner();
        let hello = timeout(self.settings.hello_timeout, requests.message()).await;
        let hello = hello.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let hello = wire::hello_from_wire(hello).map_err(|unreadable| {
            error!(%unreadable, "a connection to the escrow service did not begin with a hello");
            Status::invalid_argument(unreadable.to_string())
        })?;

        let (queue, waiting) = mpsc::channel(self.settings.waiting_messages.max(1));
        let ending = Ending::new();
        let responses = responses(waiting, ending.clone());
        let sender = EscrowSender { queue, ending, send_timeout: self.settings.send_timeout };
        let connection = EscrowConnection { hello, requests, sender };
        let closed = |_| Status::unavailable("the escrow desk is not open");
        self.accepted.send(connection).await.map_err(closed)?;
        Ok(Response::new(responses.boxed()))
    }
}

/// What is queued, until the end.
fn responses(
    waiting: mpsc::Receiver<SyncResponse>,
    ending: Ending,
) -> impl Stream<Item = Result<SyncResponse, Status>> + Send + 'static {
    stream::try_unfold((waiting, ending), async |(mut waiting, ending)| {
        let message = tokio::select! {
            biased;
            reason = ending.ended() => return Err(reason),
            message = waiting.recv() => message,
        };
        Ok(message.map(|message| (message, (waiting, ending))))
    })
}
