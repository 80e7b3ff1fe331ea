//! The data plane's end of the escrow link: one task that connects for ever and reads, a queue that the transport empties.

use super::wire::{self, Unreadable};
use super::{EscrowLinkSettings, FromDataPlane, Hello, ToDataPlane};
use crate::reconnect::{self, Ended, Link};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use proto::escrow::v1::escrow_service_client::EscrowServiceClient;
use proto::escrow::v1::{SyncRequest, SyncResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// There is no control plane to ask. The caller is told to try again (503), never that it has no money.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the control plane cannot be reached")]
pub struct NotConnected;

/// A link that comes back for ever, until it is finished or the receiver that `start` returned is dropped.
#[derive(Clone, Debug)]
pub struct EscrowLink {
    connection: Arc<Mutex<Connection>>,
    /// All is said: the connection that is up is the last.
    is_finished: Arc<AtomicBool>,
}

/// The queue of the connection that is up.
type Connection = Option<mpsc::Sender<SyncRequest>>;

impl EscrowLink {
    /// Connects. `hello` is asked anew for each attempt and must not block; the messages must be taken all the time. Must be
    /// called inside a tokio runtime.
    #[must_use]
    pub fn start(
        channel: Channel,
        hello: impl Fn() -> Hello + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<ToDataPlane>) {
        Self::start_with(channel, hello, EscrowLinkSettings::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn start_with(
        channel: Channel,
        hello: impl Fn() -> Hello + Send + Sync + 'static,
        settings: EscrowLinkSettings,
    ) -> (Self, mpsc::Receiver<ToDataPlane>) {
        let (messages, taken) = mpsc::channel(settings.waiting_to_take.max(1));
        let link = Self { connection: Arc::default(), is_finished: Arc::default() };
        let client =
            EscrowServiceClient::new(channel).max_decoding_message_size(settings.message_bytes);
        let keeper =
            Keeper { client, hello: Box::new(hello), link: link.clone(), messages, settings };
        tokio::spawn(keeper.keep());
        (link, taken)
    }

    /// Queues a message for the connection that is up now. If that breaks before the answer came, `Disconnected` follows.
    ///
    /// # Errors
    /// At once, when none is up or it takes nothing.
    pub fn send(&self, message: FromDataPlane) -> Result<(), NotConnected> {
        let request = wire::request_to_wire(&message);
        let connection = self.connection.lock();
        let queue = connection.as_ref().ok_or(NotConnected)?;
        queue.try_send(request).map_err(|_| NotConnected)
    }

    /// Says nothing more. Whether a connection is up: then what is queued is still sent, and the messages end once the
    /// control plane has taken in all of it.
    #[must_use]
    pub fn finish(&self) -> bool {
        self.is_finished.store(true, Ordering::Relaxed);
        self.connection.lock().take().is_some()
    }

    /// Whether the control plane has accepted the Hello.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.lock().is_some()
    }
}

/// What keeps the link.
struct Keeper {
    client: EscrowServiceClient<Channel>,
    hello: Box<dyn Fn() -> Hello + Send + Sync>,
    link: EscrowLink,
    messages: mpsc::Sender<ToDataPlane>,
    settings: EscrowLinkSettings,
}

impl Link for Keeper {
    type Own = Unreadable;
    const NAME: &'static str = "escrow";

    async fn live(&mut self) -> Ended<Unreadable> {
        match self.connect().await {
            Ok(responses) => self.serve(responses).await,
            Err(ended) => ended,
        }
    }
}

impl Keeper {
    async fn keep(self) {
        let link = self.link.clone();
        let messages = self.messages.clone();
        tokio::select! {
            () = messages.closed() => {}
            () = self.come_back() => {}
        }
        link.connection.lock().take();
    }

    async fn come_back(mut self) {
        let settings = self.settings.reconnect;
        reconnect::come_back_for_ever(&mut self, settings).await;
    }

    async fn connect(&mut self) -> Result<Streaming<SyncResponse>, Ended<Unreadable>> {
        let hello = wire::hello_to_wire(&(self.hello)());
        let (queue, waiting) = mpsc::channel(self.settings.waiting_to_send.max(1));
        let requests = stream::iter([hello]).chain(ReceiverStream::new(waiting));
        let call = self.client.sync(requests);
        let responses = reconnect::accepted(&self.settings.reconnect, call).await?;
        *self.link.connection.lock() = Some(queue);
        Ok(responses)
    }

    /// Reads until the end. `Disconnected` comes after the last message that could be sent on this connection, and before the
    /// first that can be sent on the next: whoever waits for an answer when it comes will not get one.
    async fn serve(&self, mut responses: Streaming<SyncResponse>) -> Ended<Unreadable> {
        let ended = self.read(&mut responses).await;
        self.link.connection.lock().take();
        if self.link.is_finished.load(Ordering::Relaxed) {
            return Ended::Dropped;
        }
        match self.messages.send(ToDataPlane::Disconnected).await {
            Ok(()) => ended,
            Err(_) => Ended::Dropped,
        }
    }

    async fn read(&self, responses: &mut Streaming<SyncResponse>) -> Ended<Unreadable> {
        loop {
            if let Err(ended) = self.read_one(responses).await {
                return ended;
            }
        }
    }

    async fn read_one(
        &self,
        responses: &mut Streaming<SyncResponse>,
    ) -> Result<(), Ended<Unreadable>> {
        let message = responses.message().await?.ok_or(Ended::ByControlPlane)?;
        let message = wire::response_from_wire(message).map_err(Ended::Here)?;
        self.messages.send(message).await.map_err(|_| Ended::Dropped)
    }
}
