//! The data plane's end of the feed: one task that connects for ever and reads, a stream of what this side says (`outbox`) that
//! the transport pulls.

mod outbox;

use super::assembly::{Assembly, ProtocolError};
use super::call;
use super::frames::Frame;
use super::objects::ObjectId;
use super::tag::Tagging;
use super::{FeedHello, FeedUpdate, Heartbeat, SubscriberSettings, UnreadableChange};
use crate::reconnect::{self, Ended, Link};
use crate::ways::Ways;
use domain::id::Revision;
use outbox::{Acked, Outbox};
use prost::Message;
use proto::feed::v1::Reject;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;

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

impl FeedSubscriber {
    /// Subscribes. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(ways: impl Into<Ways>, hello: FeedHello) -> Self {
        Self::start_with(ways, hello, SubscriberSettings::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn start_with(
        ways: impl Into<Ways>,
        hello: FeedHello,
        settings: SubscriberSettings,
    ) -> Self {
        let (sender, updates) = mpsc::channel(settings.waiting_updates.max(1));
        let acks =
            Arc::new(watch::Sender::new(Acked { applied: hello.applied, rejects: Vec::new() }));
        let (told, heartbeats) = watch::channel(None);
        let anew = Arc::new(Notify::new());
        let tagging = settings.wire.map(|wire| Tagging {
            key: wire.snapshot_key,
            cell: hello.cell.clone(),
            zone: String::new(),
        });
        let follower = Follower {
            ways: ways.into(),
            assembly: Assembly::new(hello.applied, &settings, tagging),
            wants_all: hello.applied.is_none(),
            outbox: Outbox::new(hello, acks.clone(), &settings),
            acks: acks.clone(),
            anew: anew.clone(),
            updates: sender,
            heartbeats: told,
            settings,
            leave_at: None,
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
    ways: Ways,
    outbox: Outbox,
    assembly: Assembly,
    /// Until a snapshot has come, whatever is acked.
    wants_all: bool,
    acks: Arc<watch::Sender<Acked>>,
    anew: Arc<Notify>,
    updates: mpsc::Sender<Received>,
    heartbeats: watch::Sender<Option<Heartbeat>>,
    settings: SubscriberSettings,
    /// When to go to another replica, once the one of this connection has said that it stops.
    leave_at: Option<Instant>,
}

impl Link for Follower {
    type Own = Own;
    const NAME: &'static str = "feed";

    fn ways(&mut self) -> &mut Ways {
        &mut self.ways
    }

    async fn live(&mut self) -> Ended<Own> {
        let ended = match self.connect().await {
            Ok(responses) => self.read(responses).await,
            Err(ended) => ended,
        };
        // One that starts over stays until it is let in again: whoever waits for all data planes must not miss it meanwhile.
        if !matches!(ended, Ended::Here(Own::StartsOver)) {
            self.outbox.close();
        }
        match &ended {
            Ended::Here(Own::StartsOver) => {
                self.wants_all = true;
                self.assembly.forget();
            }
            Ended::Here(Own::Refused(
                refusal @ (ProtocolError::TooLarge { .. } | ProtocolError::BadTag { .. }),
            )) => {
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

    async fn connect(&mut self) -> Result<Streaming<Frame>, Ended<Own>> {
        self.assembly.start_over();
        self.leave_at = None;
        let requests = self.outbox.open(self.wants_all);
        let call = call::sync(self.ways.channel(), self.settings.message_bytes, requests);
        let patience = self.settings.reconnect.patience(&self.ways);
        let accepted = reconnect::accepted(patience, call).await;
        self.outbox.close_before();
        accepted
    }

    /// Reads until the end. Sends nothing: what the control plane sees of this side is how fast it reads, its acks and beats.
    async fn read(&mut self, mut responses: Streaming<Frame>) -> Ended<Own> {
        loop {
            if let Err(ended) = self.read_one(&mut responses).await {
                return ended;
            }
        }
    }

    async fn read_one(&mut self, responses: &mut Streaming<Frame>) -> Result<(), Ended<Own>> {
        let message = tokio::select! {
            // What has come counts before the time in which it should have.
            biased;
            () = until(self.leave_at) => return Err(Ended::SentAway),
            () = self.anew.notified() => return Err(Ended::Here(Own::StartsOver)),
            message = responses.message() => message?.ok_or(Ended::ByControlPlane)?,
            () = silence(self.silence()) => return Err(Ended::Silent),
        };
        let update = self.assembly.take(message).map_err(|wrong| Ended::Here(wrong.into()))?;
        if let Some(heartbeat) = self.assembly.take_heartbeat() {
            self.heartbeats.send_replace(Some(heartbeat));
        }
        if let Some(after) = self.assembly.take_goaway() {
            self.leave_at = Some(self.leave_after(after));
        }
        self.outbox.beat(self.assembly.hears_beats());
        let Some(update) = update else { return Ok(()) };
        if matches!(update, FeedUpdate::Snapshot { .. }) {
            self.wants_all = false;
        }
        let received = Received { update, unreadable: self.assembly.rejects() };
        self.updates.send(received).await.map_err(|_| Ended::Dropped)
    }

    /// How long this control plane may say nothing. One that does not tell its time may have nothing to say for long.
    fn silence(&self) -> Option<Duration> {
        self.settings.wire.filter(|_| self.assembly.hears_beats()).map(|wire| wire.silence)
    }

    /// With nowhere else to go, there is nothing to wait for.
    fn leave_after(&self, after: Duration) -> Instant {
        let after = if self.ways.has_others() { after } else { Duration::ZERO };
        let now = Instant::now();
        now.checked_add(after).unwrap_or(now)
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

/// Never, if there is no limit.
async fn silence(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Never, if there is no such moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
