//! The data plane's end of the feed: one task that connects for ever and reads, a stream of acks that the transport pulls.

use super::assembly::{Assembly, ProtocolError};
use super::objects::ObjectId;
use super::{FeedHello, FeedUpdate, Heartbeat, SubscriberSettings, UnreadableChange};
use crate::reconnect::{self, Ended, Link};
use domain::id::Revision;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::{Ack, Hello, Reject, SyncRequest, SyncResponse, sync_request};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use tonic::transport::Channel;

/// Follows the feed for ever. Dropping it ends that.
#[derive(Debug)]
pub struct FeedSubscriber {
    updates: mpsc::Receiver<Received>,
    /// What this side could not read of the update taken last.
    unreadable: Vec<UnreadableChange>,
    heartbeats: watch::Receiver<Option<Heartbeat>>,
    acks: Arc<watch::Sender<Acked>>,
    /// Asks for everything anew.
    anew: Arc<Notify>,
    reject_bytes: usize,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Received {
    update: FeedUpdate,
    unreadable: Vec<UnreadableChange>,
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
        let acks =
            Arc::new(watch::Sender::new(Acked { applied: hello.applied, rejects: Vec::new() }));
        let (told, heartbeats) = watch::channel(None);
        let anew = Arc::new(Notify::new());
        let client =
            FeedServiceClient::new(channel).max_decoding_message_size(settings.message_bytes);
        let follower = Follower {
            client,
            assembly: Assembly::new(hello.applied, &settings),
            wants_all: hello.applied.is_none(),
            hello,
            acks: acks.clone(),
            anew: anew.clone(),
            updates: sender,
            heartbeats: told,
            settings,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(follower.follow()));
        let reject_bytes = settings.reject_bytes;
        let unreadable = Vec::new();
        Self { updates, unreadable, heartbeats, acks, anew, reject_bytes, _task: task }
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

    /// What could not be read of the state that the last update leads to.
    #[must_use]
    pub fn unreadable(&self) -> &[UnreadableChange] {
        &self.unreadable
    }

    /// The last heartbeat, to be watched; none before the first.
    #[must_use]
    pub fn heartbeats(&self) -> watch::Receiver<Option<Heartbeat>> {
        self.heartbeats.clone()
    }

    /// Asks for a whole snapshot, whatever was had before. Updates on their way still come.
    pub fn start_over(&self) {
        self.anew.notify_one();
    }

    /// Says what is applied, and all that cannot be used of it: each ack replaces the one before. What could not even be
    /// read is added here. After a break the feed goes on from the last acked revision.
    pub fn ack(&self, applied: Revision, rejects: Vec<String>) {
        let unusable = rejects.into_iter().map(|reason| Reject { reason, ..Reject::default() });
        let all = self.unreadable.iter().map(to_wire).chain(unusable);
        let rejects = within(self.reject_bytes, all);
        self.acks.send_replace(Acked { applied: Some(applied), rejects });
    }
}

fn to_wire(unreadable: &UnreadableChange) -> Reject {
    let id = unreadable.id.as_ref();
    Reject {
        kind: id.map_or("unknown", ObjectId::kind).to_owned(),
        name: id.map(ToString::to_string).unwrap_or_default(),
        reason: unreadable.reason.clone(),
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

/// What ends a connection on this side.
#[derive(Debug, Error)]
enum Own {
    #[error("the control plane sent {0}")]
    Refused(#[from] ProtocolError),
    #[error("a whole snapshot is asked for")]
    StartsOver,
}

struct Follower {
    client: FeedServiceClient<Channel>,
    hello: FeedHello,
    assembly: Assembly,
    /// Until a snapshot has come, whatever is acked.
    wants_all: bool,
    acks: Arc<watch::Sender<Acked>>,
    anew: Arc<Notify>,
    updates: mpsc::Sender<Received>,
    heartbeats: watch::Sender<Option<Heartbeat>>,
    settings: SubscriberSettings,
}

impl Link for Follower {
    type Own = Own;
    const NAME: &'static str = "feed";

    async fn live(&mut self) -> Ended<Own> {
        let ended = match self.connect().await {
            Ok(responses) => self.read(responses).await,
            Err(ended) => ended,
        };
        match &ended {
            Ended::Here(Own::StartsOver) => {
                self.wants_all = true;
                self.assembly.forget();
            }
            Ended::Here(Own::Refused(refusal @ ProtocolError::TooLarge { .. })) => {
                self.report(refusal);
            }
            _ => {}
        }
        ended
    }
}

impl Follower {
    async fn follow(mut self) {
        let settings = self.settings.reconnect;
        reconnect::come_back_for_ever(&mut self, settings).await;
    }

    async fn connect(&mut self) -> Result<Streaming<SyncResponse>, Ended<Own>> {
        self.assembly.start_over();
        let requests = requests(&self.hello, self.wants_all, self.acks.subscribe());
        let call = self.client.sync(requests);
        reconnect::accepted(&self.settings.reconnect, call).await
    }

    /// Reads until the end. Sends nothing: what the control plane sees of this side is how fast it reads, and its acks.
    async fn read(&mut self, mut responses: Streaming<SyncResponse>) -> Ended<Own> {
        loop {
            if let Err(ended) = self.read_one(&mut responses).await {
                return ended;
            }
        }
    }

    async fn read_one(
        &mut self,
        responses: &mut Streaming<SyncResponse>,
    ) -> Result<(), Ended<Own>> {
        let message = tokio::select! {
            message = responses.message() => message?.ok_or(Ended::ByControlPlane)?,
            () = self.anew.notified() => return Err(Ended::Here(Own::StartsOver)),
        };
        let update = self.assembly.take(message).map_err(|wrong| Ended::Here(wrong.into()))?;
        if let Some(heartbeat) = self.assembly.take_heartbeat() {
            self.heartbeats.send_replace(Some(heartbeat));
        }
        let Some(update) = update else { return Ok(()) };
        if matches!(update, FeedUpdate::Snapshot { .. }) {
            self.wants_all = false;
        }
        let received = Received { update, unreadable: self.assembly.rejects() };
        self.updates.send(received).await.map_err(|_| Ended::Dropped)
    }

    /// What could not even be taken is told with the last ack, on the next connection.
    fn report(&self, refusal: &ProtocolError) {
        let reason = refusal.to_string();
        self.acks.send_modify(|acked| {
            acked.rejects.retain(|reject| !reject.kind.is_empty());
            acked.rejects.push(Reject { reason, ..Reject::default() });
        });
    }
}

/// A hello with what is acked by now, then each later ack.
fn requests(
    hello: &FeedHello,
    wants_all: bool,
    mut acks: watch::Receiver<Acked>,
) -> impl Stream<Item = SyncRequest> + Send + 'static + use<> {
    let known = acks.borrow_and_update();
    let has_rejects = known.applied.is_some() && !known.rejects.is_empty();
    let hello = sync_request::Message::Hello(Hello {
        data_plane: hello.data_plane.clone(),
        cell: hello.cell.clone(),
        applied: known.applied.filter(|_| !wants_all).map(Into::into),
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
    let ack = loop {
        acks.changed().await.ok()?;
        let acked = acks.borrow_and_update();
        if let Some(applied) = acked.applied {
            break Ack { applied: Some(applied.into()), rejects: acked.rejects.clone() };
        }
    };
    Some((sync_request::Message::Ack(ack), acks))
}
