//! The data plane's end of the escrow link: one task that connects for ever and reads, a queue that the transport empties.

use super::patience::{Limits, Patience};
use super::wire::{self, Told, Unreadable};
use super::{EscrowLinkSettings, FromDataPlane, Hello, ToDataPlane};
use crate::reconnect::{self, Ended, Link};
use crate::ways::Ways;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use proto::escrow::v1::escrow_service_client::EscrowServiceClient;
use proto::escrow::v1::{SyncRequest, SyncResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

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

/// The connection that is up.
type Connection = Option<Up>;

#[derive(Debug)]
struct Up {
    queue: mpsc::Sender<SyncRequest>,
    patience: Arc<Patience>,
}

impl EscrowLink {
    /// Connects. `hello` is asked anew for each attempt and must not block; the messages must be taken all the time. Must be
    /// called inside a tokio runtime.
    #[must_use]
    pub fn start(
        ways: impl Into<Ways>,
        hello: impl Fn() -> Hello + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<ToDataPlane>) {
        Self::start_with(ways, hello, EscrowLinkSettings::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn start_with(
        ways: impl Into<Ways>,
        hello: impl Fn() -> Hello + Send + Sync + 'static,
        settings: EscrowLinkSettings,
    ) -> (Self, mpsc::Receiver<ToDataPlane>) {
        let (messages, taken) = mpsc::channel(settings.waiting_to_take.max(1));
        let link = Self { connection: Arc::default(), is_finished: Arc::default() };
        let (ways, hello) = (ways.into(), Box::new(hello));
        let keeper = Keeper { ways, hello, link: link.clone(), messages, settings, silent: 0 };
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
        let up = connection.as_ref().ok_or(NotConnected)?;
        if !matches!(message, FromDataPlane::Want(_)) {
            return up.queue.try_send(request).map_err(|_| NotConnected);
        }
        // Before it is sent: its answer must not come first.
        up.patience.asked();
        up.queue.try_send(request).map_err(|_| {
            up.patience.not_asked();
            NotConnected
        })
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
    ways: Ways,
    hello: Box<dyn Fn() -> Hello + Send + Sync>,
    link: EscrowLink,
    messages: mpsc::Sender<ToDataPlane>,
    settings: EscrowLinkSettings,
    /// Connections in a row on which no want was answered.
    silent: u32,
}

impl Link for Keeper {
    type Own = Unreadable;
    const NAME: &'static str = "escrow";

    fn ways(&mut self) -> &mut Ways {
        &mut self.ways
    }

    async fn live(&mut self) -> Ended<Unreadable> {
        match self.connect().await {
            Ok((responses, patience)) => {
                let ended = self.serve(responses, &patience).await;
                let is_silent = matches!(ended, Ended::Silent) && !patience.was_rewarded();
                self.silent = if is_silent { self.silent.saturating_add(1) } else { 0 };
                ended
            }
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

    async fn connect(&self) -> Result<(Streaming<SyncResponse>, Arc<Patience>), Ended<Unreadable>> {
        let hello = wire::hello_to_wire(&(self.hello)());
        let (queue, waiting) = mpsc::channel(self.settings.waiting_to_send.max(1));
        let requests = stream::iter([hello]).chain(ReceiverStream::new(waiting));
        let mut client = EscrowServiceClient::new(self.ways.channel())
            .max_decoding_message_size(self.settings.message_bytes);
        let accepted = self.settings.reconnect.patience(&self.ways);
        let responses = reconnect::accepted(accepted, client.sync(requests)).await?;
        let patience = Arc::new(Patience::new(self.limits()));
        *self.link.connection.lock() = Some(Up { queue, patience: patience.clone() });
        Ok((responses, patience))
    }

    /// With nobody else to ask, waiting is all that can be done. Where nobody answers, all are slow: it is waited longer each
    /// time, since whoever comes anew has its whole Hello read.
    fn limits(&self) -> Option<Limits> {
        let welcome = self.settings.reconnect.accept_timeout;
        let patience =
            self.settings.answer_within.saturating_mul(2_u32.saturating_pow(self.silent));
        let answer = patience.min(welcome.max(self.settings.answer_within));
        self.ways.has_others().then_some(Limits { welcome, answer })
    }

    /// Reads until the end. `Disconnected` comes after the last message that could be sent on this connection, and before the
    /// first that can be sent on the next: whoever waits for an answer when it comes will not get one.
    async fn serve(
        &self,
        responses: Streaming<SyncResponse>,
        patience: &Patience,
    ) -> Ended<Unreadable> {
        let ended = self.read(responses, patience).await;
        self.link.connection.lock().take();
        if self.link.is_finished.load(Ordering::Relaxed) {
            return Ended::Dropped;
        }
        match self.messages.send(ToDataPlane::Disconnected).await {
            Ok(()) => ended,
            Err(_) => Ended::Dropped,
        }
    }

    async fn read(
        &self,
        mut responses: Streaming<SyncResponse>,
        patience: &Patience,
    ) -> Ended<Unreadable> {
        let mut leave_at = None;
        loop {
            let told = tokio::select! {
                // What has come counts before the time in which it should have.
                biased;
                () = leave(leave_at, patience) => return Ended::SentAway,
                told = next(&mut responses) => told,
                () = patience.is_over() => return Ended::Silent,
            };
            let message = match told {
                Ok(Told::Message(message)) => message,
                Ok(Told::GoAway(after)) => {
                    // With nowhere else to go, there is nothing to wait for.
                    let after = if self.ways.has_others() { after } else { Duration::ZERO };
                    leave_at = Instant::now().checked_add(after);
                    continue;
                }
                Err(ended) => return ended,
            };
            match &message {
                ToDataPlane::Welcome(_) => patience.welcomed(),
                ToDataPlane::Grant(_) | ToDataPlane::Denial(_) => patience.answered(),
                ToDataPlane::Recall(_)
                | ToDataPlane::Billed(_)
                | ToDataPlane::Resend(_)
                | ToDataPlane::Disconnected => {}
            }
            if self.messages.send(message).await.is_err() {
                return Ended::Dropped;
            }
        }
    }
}

async fn next(responses: &mut Streaming<SyncResponse>) -> Result<Told, Ended<Unreadable>> {
    let message = responses.message().await?.ok_or(Ended::ByControlPlane)?;
    wire::response_from_wire(message).map_err(Ended::Here)
}

/// Never, as long as there is no such moment; else then, or a little later if answers are on their way.
async fn leave(at: Option<Instant>, patience: &Patience) {
    match at {
        Some(at) => patience.is_quiet(at).await,
        None => std::future::pending().await,
    }
}
