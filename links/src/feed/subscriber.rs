//! The data plane's end of the feed: one task that connects for ever and reads, a stream of acks that the transport pulls.

use super::assembly::{Assembly, ProtocolError};
use super::{FeedHello, FeedUpdate, SubscriberSettings};
use crate::reconnect::Backoff;
use domain::id::Revision;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::{Ack, Hello, Reject, SyncRequest, SyncResponse, sync_request};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Follows the feed for ever. Dropping it ends that.
#[derive(Debug)]
pub struct FeedSubscriber {
    updates: mpsc::Receiver<Received>,
    /// What this side could not read of the update taken last.
    unreadable: Vec<Reject>,
    acks: watch::Sender<Acked>,
    reject_bytes: usize,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Received {
    update: FeedUpdate,
    unreadable: Vec<Reject>,
}

/// The newest word on what is applied; an older one that was not sent yet is not missed.
#[derive(Debug)]
struct Acked {
    applied: Option<Revision>,
    rejects: Vec<Reject>,
}

impl FeedSubscriber {
    /// Subscribes. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(channel: Channel, hello: FeedHello) -> Self {
        Self::start_with(channel, hello, SubscriberSettings::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn start_with(channel: Channel, hello: FeedHello, settings: SubscriberSettings) -> Self {
        let (sender, updates) = mpsc::channel(settings.waiting_updates.max(1));
        let acks = watch::Sender::new(Acked { applied: hello.applied, rejects: Vec::new() });
        let client =
            FeedServiceClient::new(channel).max_decoding_message_size(settings.message_bytes);
        let follower = Follower {
            client,
            assembly: Assembly::new(hello.applied),
            hello,
            acks: acks.subscribe(),
            updates: sender,
            settings,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(follower.follow()));
        let reject_bytes = settings.reject_bytes;
        Self { updates, unreadable: Vec::new(), acks, reject_bytes, _task: task }
    }

    /// The next update. It counts as had from now on and is not handed out again, acked or not. Safe to cancel.
    pub async fn next(&mut self) -> FeedUpdate {
        match self.updates.recv().await {
            Some(received) => {
                self.unreadable = received.unreadable;
                received.update
            }
            // The task lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// Says what is applied, and all that cannot be used of it: each ack replaces the one before. What could not even be
    /// read is added here. After a break the feed goes on from the last acked revision.
    pub fn ack(&self, applied: Revision, rejects: Vec<String>) {
        let unusable = rejects.into_iter().map(|reason| Reject { reason, ..Reject::default() });
        let all = self.unreadable.iter().cloned().chain(unusable);
        let rejects = within(self.reject_bytes, all);
        self.acks.send_replace(Acked { applied: Some(applied), rejects });
    }
}

/// As many rejects as fit, and the number of the others. An ack that is too large would end every connection anew.
fn within(bytes: usize, rejects: impl Iterator<Item = Reject>) -> Vec<Reject> {
    let mut room = bytes;
    let mut left_out = 0_u64;
    let mut told = Vec::new();
    for reject in rejects {
        match room.checked_sub(reject.encoded_len()) {
            Some(rest) => {
                room = rest;
                told.push(reject);
            }
            None => left_out = left_out.saturating_add(1),
        }
    }
    if left_out > 0 {
        told.push(Reject { reason: format!("and {left_out} more"), ..Reject::default() });
    }
    told
}

/// Why a connection, or the attempt at one, ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("the control plane did not accept in time")]
    NotAccepted,
    #[error("the control plane ended it")]
    ByControlPlane,
    #[error("{}: {}", .0.code(), .0.message())]
    Broken(#[from] Status),
    #[error("the control plane sent {0}")]
    Refused(#[from] ProtocolError),
    #[error("the subscriber was dropped")]
    Dropped,
}

struct Follower {
    client: FeedServiceClient<Channel>,
    hello: FeedHello,
    assembly: Assembly,
    acks: watch::Receiver<Acked>,
    updates: mpsc::Sender<Received>,
    settings: SubscriberSettings,
}

impl Follower {
    async fn follow(mut self) {
        let mut backoff = Backoff::new("feed", self.settings.reconnect);
        loop {
            let began = Instant::now();
            let ended = match self.connect().await {
                Ok(responses) => self.read(responses).await,
                Err(ended) => ended,
            };
            if matches!(ended, Ended::Dropped) {
                return;
            }
            backoff.rest(began, &ended).await;
        }
    }

    async fn connect(&mut self) -> Result<Streaming<SyncResponse>, Ended> {
        self.assembly.start_over();
        let requests = requests(&self.hello, self.acks.clone());
        let accepted = timeout(self.settings.reconnect.accept_timeout, self.client.sync(requests));
        Ok(accepted.await.map_err(|_| Ended::NotAccepted)??.into_inner())
    }

    /// Reads until the end. Sends nothing: what the control plane sees of this side is how fast it reads, and its acks.
    async fn read(&mut self, mut responses: Streaming<SyncResponse>) -> Ended {
        loop {
            if let Err(ended) = self.read_one(&mut responses).await {
                return ended;
            }
        }
    }

    async fn read_one(&mut self, responses: &mut Streaming<SyncResponse>) -> Result<(), Ended> {
        let message = responses.message().await?.ok_or(Ended::ByControlPlane)?;
        let Some(update) = self.assembly.take(message)? else { return Ok(()) };
        let received = Received { update, unreadable: self.assembly.rejects() };
        self.updates.send(received).await.map_err(|_| Ended::Dropped)
    }
}

/// A hello with what is acked by now, then each later ack.
fn requests(
    hello: &FeedHello,
    mut acks: watch::Receiver<Acked>,
) -> impl Stream<Item = SyncRequest> + Send + 'static + use<> {
    let known = acks.borrow_and_update();
    let has_rejects = !known.rejects.is_empty();
    let hello = sync_request::Message::Hello(Hello {
        data_plane: hello.data_plane.clone(),
        cell: hello.cell.clone(),
        applied: known.applied.map(Into::into),
    });
    drop(known);
    if has_rejects {
        // A hello does not carry them, and the control plane may be another one.
        acks.mark_changed();
    }
    stream::iter([hello])
        .chain(stream::unfold(acks, next_ack))
        .map(|message| SyncRequest { message: Some(message) })
}

async fn next_ack(
    mut acks: watch::Receiver<Acked>,
) -> Option<(sync_request::Message, watch::Receiver<Acked>)> {
    acks.changed().await.ok()?;
    let ack = {
        let acked = acks.borrow_and_update();
        Ack { applied: acked.applied.map(Into::into), rejects: acked.rejects.clone() }
    };
    Some((sync_request::Message::Ack(ack), acks))
}
