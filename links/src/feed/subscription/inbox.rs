//! Reads what one data plane says: acks, and beats where it is in another process. Whoever says nothing for too long is taken
//! for gone. The same task sees to its place among those who read a snapshot.

use crate::ending::Ending;
use crate::feed::publisher::Shared;
use crate::feed::roster::{Acked, ConnectionId};
use crate::feed::seat::Seat;
use proto::feed::v1::{Ack, Reject, SyncRequest, sync_request};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use tracing::info;

/// The reading end of one connection.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) shared: Arc<Shared>,
    pub(super) data_plane: String,
    pub(super) connection: ConnectionId,
    /// How long it may say nothing; none where that means nothing.
    pub(super) silence: Option<Duration>,
    pub(super) seat: Seat,
    pub(super) ending: Ending,
}

impl Inbox {
    pub(super) async fn read(self, mut requests: Streaming<SyncRequest>) {
        let reason = tokio::select! {
            reason = self.ending.ended() => reason,
            reason = self.take_all(&mut requests) => reason,
            reason = self.seat.usher(&self.shared.places) => reason,
        };
        info!(data_plane = self.data_plane, %reason, "subscription ended");
        self.shared.roster.leave(&self.data_plane, self.connection);
        self.seat.close();
        self.ending.end(reason);
    }

    async fn take_all(&self, requests: &mut Streaming<SyncRequest>) -> Status {
        loop {
            let taken = match self.next(requests).await {
                Ok(Some(SyncRequest { message: Some(message) })) => self.take(message),
                Ok(Some(SyncRequest { message: None })) => {
                    Err(Status::invalid_argument("a message without content"))
                }
                Ok(None) => Err(Status::cancelled("the data plane has left")),
                Err(status) => Err(status),
            };
            if let Err(reason) = taken {
                return reason;
            }
        }
    }

    async fn next(
        &self,
        requests: &mut Streaming<SyncRequest>,
    ) -> Result<Option<SyncRequest>, Status> {
        let Some(silence) = self.silence else { return requests.message().await };
        let message = timeout(silence, requests.message()).await;
        message.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded("the data plane says nothing any more"))
        })
    }

    fn take(&self, message: sync_request::Message) -> Result<(), Status> {
        match message {
            sync_request::Message::Ack(ack) => self.take_ack(ack),
            // That it came is all that it says.
            sync_request::Message::Beat(_) => Ok(()),
            sync_request::Message::Hello(_) => {
                Err(Status::invalid_argument("after the hello only acks and beats may come"))
            }
        }
    }

    fn take_ack(&self, ack: Ack) -> Result<(), Status> {
        let missing = || Status::invalid_argument("ack.applied is missing");
        let applied = ack.applied.ok_or_else(missing)?.into();
        let rejects = ack.rejects.into_iter().map(show).collect();
        let acked = Acked { connection: self.connection, applied, rejects };
        self.shared.roster.acked(&self.data_plane, acked);
        Ok(())
    }
}

fn show(reject: Reject) -> String {
    if reject.kind.is_empty() {
        return reject.reason;
    }
    format!("{} {}: {}", reject.kind, reject.name, reject.reason)
}
