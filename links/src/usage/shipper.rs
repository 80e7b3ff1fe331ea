//! The data plane's end: sends what is synced and not billed, from its beginning on every connection, and trims the spool
//! as billing says. Billing counts each event once, however often it arrives.

use super::trim;
use crate::ReconnectSettings;
use crate::reconnect::{self, Ended, Link};
use crate::spool::{Spool, SpoolError};
use crate::ways::Ways;
use domain::id::Partition;
use futures::{StreamExt, stream};
use prost::Message;
use proto::usage::v1::usage_service_client::UsageServiceClient;
use proto::usage::v1::{
    BilledPartition, ShipHello, ShipRequest, ShipResponse, UsageBatch, UsageEnvelope, ship_request,
    ship_response,
};
use std::convert::Infallible;
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct ShipperSettings {
    /// How it comes back.
    pub reconnect: ReconnectSettings,
    /// Events of one message.
    pub batch_events: usize,
    /// Messages that may wait to be sent before the spool is read on.
    pub waiting_batches: usize,
    /// Bytes of one message: a longer batch is sent in parts, so that it always arrives.
    pub message_bytes: usize,
}

impl Default for ShipperSettings {
    fn default() -> Self {
        Self {
            reconnect: ReconnectSettings::default(),
            batch_events: 500,
            waiting_batches: 4,
            message_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Ships a spool to billing in another process until told to stop.
pub async fn ship_usage(
    ways: impl Into<Ways>,
    data_plane: String,
    spool: Spool,
    settings: ShipperSettings,
    token: CancellationToken,
) {
    let mut shipper = Shipper { ways: ways.into(), data_plane, spool, settings };
    tokio::select! {
        () = token.cancelled() => {}
        () = reconnect::come_back_for_ever(&mut shipper, settings.reconnect) => {}
    }
}

struct Shipper {
    ways: Ways,
    data_plane: String,
    spool: Spool,
    settings: ShipperSettings,
}

/// What ends a connection on this side.
#[derive(Debug, Error)]
enum NotShipped {
    #[error("usage events cannot be read or trimmed: {0}")]
    Spool(#[from] SpoolError),
    #[error("billing sent a message without content")]
    Empty,
}

type Queue = mpsc::Sender<ShipRequest>;

impl Link for Shipper {
    type Own = NotShipped;
    const NAME: &'static str = "usage";

    fn ways(&mut self) -> &mut Ways {
        &mut self.ways
    }

    async fn live(&mut self) -> Ended<NotShipped> {
        match self.ship().await {
            Err(ended) => ended,
            Ok(never) => match never {},
        }
    }
}

impl Shipper {
    async fn ship(&mut self) -> Result<Infallible, Ended<NotShipped>> {
        let hello = ship_request::Message::Hello(ShipHello {
            data_plane: self.data_plane.clone(),
            incarnation: self.spool.incarnation(),
        });
        let (queue, waiting) = mpsc::channel(self.settings.waiting_batches.max(1));
        let requests = stream::iter([request(hello)]).chain(ReceiverStream::new(waiting));
        let mut client = UsageServiceClient::new(self.ways.channel());
        let patience = self.settings.reconnect.patience(&self.ways);
        let responses = reconnect::accepted(patience, client.ship(requests)).await?;
        let rewinds = Notify::new();
        tokio::select! {
            ended = self.send(queue, &rewinds) => ended,
            ended = self.listen(responses, &rewinds) => ended,
        }
    }

    async fn send(&self, queue: Queue, rewinds: &Notify) -> Result<Infallible, Ended<NotShipped>> {
        let mut reader = self.spool.reader();
        loop {
            let events = tokio::select! {
                events = reader.next_batch(self.settings.batch_events) => events,
                () = rewinds.notified() => {
                    reader.rewind();
                    continue;
                }
            };
            let events = match events {
                Err(SpoolError::Closed) => return Err(Ended::Dropped),
                events => events.map_err(|error| Ended::Here(error.into()))?,
            };
            for events in parts(events, self.settings.message_bytes) {
                let batch = ship_request::Message::Batch(UsageBatch { events });
                queue.send(request(batch)).await.map_err(|_| Ended::ByControlPlane)?;
            }
        }
    }

    async fn listen(
        &self,
        mut responses: Streaming<ShipResponse>,
        rewinds: &Notify,
    ) -> Result<Infallible, Ended<NotShipped>> {
        loop {
            let response = responses.message().await?.ok_or(Ended::ByControlPlane)?;
            match response.message.ok_or(Ended::Here(NotShipped::Empty))? {
                ship_response::Message::Billed(billed) => {
                    let marks = billed.partitions.iter().map(mark).collect();
                    let trimmed = trim(&self.spool, marks).await;
                    trimmed.map_err(|error| Ended::Here(error.into()))?;
                }
                ship_response::Message::Rewind(_) => rewinds.notify_one(),
            }
        }
    }
}

/// Bytes that an event takes of a message beside its own, at most, and the message beside its events.
const AROUND_BYTES: usize = 16;

/// Splits a batch so that each message is short enough; an event that is longer alone goes alone.
fn parts(events: Vec<UsageEnvelope>, message_bytes: usize) -> Vec<Vec<UsageEnvelope>> {
    let mut parts: Vec<Vec<UsageEnvelope>> = Vec::new();
    let mut left = 0;
    for event in events {
        let bytes = event.encoded_len().saturating_add(AROUND_BYTES);
        match parts.last_mut() {
            Some(part) if bytes <= left => part.push(event),
            _ => {
                left = message_bytes.saturating_sub(AROUND_BYTES);
                parts.push(vec![event]);
            }
        }
        left = left.saturating_sub(bytes);
    }
    parts
}

fn mark(billed: &BilledPartition) -> (Partition, u64) {
    (Partition(billed.partition), billed.next_seq)
}

fn request(message: ship_request::Message) -> ShipRequest {
    ShipRequest { message: Some(message) }
}
