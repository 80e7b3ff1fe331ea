//! Billing's end: each data plane that connects is a source of its own. What was not told to it, or came in vain, comes
//! again on its next connection.

use super::UsageSourceError;
use domain::id::Partition;
use domain::name::check_data_plane;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use proto::usage::v1::usage_service_server::{UsageService, UsageServiceServer};
use proto::usage::v1::{
    BilledMarks, BilledPartition, Rewind, ShipHello, ShipRequest, ShipResponse, UsageEnvelope,
    ship_request, ship_response,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Limits of billing's end.
#[derive(Clone, Copy, Debug)]
pub struct UsageListenerSettings {
    /// Connections that may wait to be taken.
    pub waiting_connections: usize,
    /// Marks that may wait to be sent to one data plane.
    pub waiting_marks: usize,
    /// How long a data plane may take to say who it is, or to take a mark.
    pub hello_timeout: Duration,
    /// Bytes of one batch.
    pub message_bytes: usize,
}

impl Default for UsageListenerSettings {
    fn default() -> Self {
        Self {
            waiting_connections: 64,
            waiting_marks: 16,
            hello_timeout: Duration::from_secs(10),
            message_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The gRPC service: lets data planes in.
#[derive(Debug)]
pub struct UsageDoor {
    settings: UsageListenerSettings,
    accepted: mpsc::Sender<UsageConnection>,
}

/// Where billing takes the connections from. Dropping it turns new ones away.
#[derive(Debug)]
pub struct UsageListener {
    accepted: mpsc::Receiver<UsageConnection>,
}

/// One data plane that ships. Dropping it ends the connection.
#[derive(Debug)]
pub struct UsageConnection {
    hello: ShipHello,
    requests: Streaming<ShipRequest>,
    responses: mpsc::Sender<Result<ShipResponse, Status>>,
    /// Came and not taken yet.
    waiting: VecDeque<UsageEnvelope>,
    /// How long it may take for a mark.
    patience: Duration,
}

/// A service and its listener.
#[must_use]
pub fn usage_listener(
    settings: UsageListenerSettings,
) -> (UsageServiceServer<UsageDoor>, UsageListener) {
    let (sender, accepted) = mpsc::channel(settings.waiting_connections.max(1));
    let service = UsageServiceServer::new(UsageDoor { settings, accepted: sender });
    (service.max_decoding_message_size(settings.message_bytes), UsageListener { accepted })
}

impl UsageListener {
    /// The next data plane that connects. `None` once the service is gone. Safe to cancel.
    pub async fn accept(&mut self) -> Option<UsageConnection> {
        self.accepted.recv().await
    }
}

impl UsageConnection {
    /// Who ships.
    #[must_use]
    pub fn data_plane(&self) -> &str {
        &self.hello.data_plane
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.hello.incarnation
    }

    pub(super) async fn next_batch(
        &mut self,
        max: usize,
    ) -> Result<Vec<UsageEnvelope>, UsageSourceError> {
        while self.waiting.is_empty() {
            let request = self.requests.message().await.map_err(|status| self.over(&status))?;
            self.take_in(request.ok_or(UsageSourceError::Closed)?)?;
        }
        self.gather(max)?;
        let count = max.max(1).min(self.waiting.len());
        Ok(self.waiting.drain(..count).collect())
    }

    /// Takes in what has come besides: a data plane sends what it has at once, often single events, and each batch costs a commit.
    fn gather(&mut self, max: usize) -> Result<(), UsageSourceError> {
        while self.waiting.len() < max {
            // How the connection ended is told by whoever asks next.
            let Some(Ok(Some(request))) = self.requests.message().now_or_never() else { break };
            self.take_in(request)?;
        }
        Ok(())
    }

    fn take_in(&mut self, request: ShipRequest) -> Result<(), UsageSourceError> {
        let Some(ship_request::Message::Batch(batch)) = request.message else {
            return Err(self.refuse("after the hello only batches may come"));
        };
        let is_its_own = |event: &UsageEnvelope| event.data_plane == self.hello.data_plane;
        if !batch.events.iter().all(is_its_own) {
            return Err(self.refuse("a data plane ships its own events alone"));
        }
        self.waiting.extend(batch.events);
        Ok(())
    }

    pub(super) async fn billed(&self, marks: &[(Partition, u64)]) -> Result<(), UsageSourceError> {
        let partitions = marks
            .iter()
            .map(|(partition, next_seq)| BilledPartition {
                partition: partition.0,
                next_seq: *next_seq,
            })
            .collect();
        let billed = ship_response::Message::Billed(BilledMarks { partitions });
        let sent = timeout(self.patience, self.responses.send(response(billed))).await;
        sent.ok().and_then(Result::ok).ok_or(UsageSourceError::Closed)
    }

    pub(super) fn rewind(&mut self) {
        self.waiting.clear();
        let rewind = response(ship_response::Message::Rewind(Rewind {}));
        if self.responses.try_send(rewind).is_err() {
            tracing::warn!(
                data_plane = self.data_plane(),
                "it is not asked for missing usage events now; its next connection brings them"
            );
        }
    }

    fn over(&self, status: &Status) -> UsageSourceError {
        tracing::debug!(data_plane = self.data_plane(), %status, "usage connection ended");
        UsageSourceError::Closed
    }

    fn refuse(&self, reason: &'static str) -> UsageSourceError {
        tracing::error!(
            data_plane = self.data_plane(),
            reason,
            "a data plane broke the usage protocol"
        );
        drop(self.responses.try_send(Err(Status::invalid_argument(reason))));
        UsageSourceError::Closed
    }
}

#[tonic::async_trait]
impl UsageService for UsageDoor {
    type ShipStream = BoxStream<'static, Result<ShipResponse, Status>>;

    async fn ship(
        &self,
        request: Request<Streaming<ShipRequest>>,
    ) -> Result<Response<Self::ShipStream>, Status> {
        let mut requests = request.into_inner();
        let first = timeout(self.settings.hello_timeout, requests.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let Some(ship_request::Message::Hello(hello)) = first.and_then(|it| it.message) else {
            return Err(Status::invalid_argument("the first message must be a hello"));
        };
        check_data_plane(&hello.data_plane)
            .map_err(|bad| Status::invalid_argument(format!("hello.data_plane: {bad}")))?;
        let (responses, waiting) = mpsc::channel(self.settings.waiting_marks.max(1));
        let patience = self.settings.hello_timeout;
        let come = VecDeque::new();
        let connection = UsageConnection { hello, requests, responses, waiting: come, patience };
        let closed = |_| Status::unavailable("billing is not open");
        self.accepted.send(connection).await.map_err(closed)?;
        Ok(Response::new(ReceiverStream::new(waiting).boxed()))
    }
}

fn response(message: ship_response::Message) -> Result<ShipResponse, Status> {
    Ok(ShipResponse { message: Some(message) })
}
