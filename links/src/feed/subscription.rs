//! One data plane, as the control plane serves it.
//!
//! It costs a position in the history and a watch on its head. The frames are pulled by the transport, so a data plane
//! that reads slowly makes nothing wait and nothing grow; acks are read by a task of their own, which sends nothing.

use super::frames::Frame;
use super::history::{SnapshotReader, Step};
use super::publisher::Shared;
use super::roster::{Acked, ConnectionId};
use crate::ending::Ending;
use domain::id::Revision;
use domain::name::check_data_plane;
use futures::{Stream, stream};
use proto::feed::v1::{Ack, Hello, Reject, SyncRequest, sync_request};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};
use tracing::{error, info};

/// Waits for the Hello, then answers with frames for as long as the data plane stays.
pub(super) async fn subscribe(
    shared: Arc<Shared>,
    mut requests: Streaming<SyncRequest>,
) -> Result<impl Stream<Item = Result<Frame, Status>> + Send + 'static, Status> {
    let hello = timeout(shared.settings.hello_timeout, requests.message()).await;
    let hello = read_hello(hello.map_err(|_| Status::deadline_exceeded("no hello came"))??)?;
    let applied = hello.applied.map(Revision::from);
    let connection = shared.roster.join(&hello.data_plane, applied.unwrap_or_default());
    info!(data_plane = hello.data_plane, cell = hello.cell, ?applied, "data plane subscribed");

    let ending = Ending::new();
    let subscription = Subscription {
        position: Position::begin(applied, &shared, &hello.data_plane),
        head: shared.head.subscribe(),
        beat_due: Instant::now(),
        shared: Arc::clone(&shared),
        ending: EndOnDrop(ending.clone()),
    };
    let inbox = Inbox { shared, data_plane: hello.data_plane, connection, ending };
    tokio::spawn(inbox.read(requests));
    Ok(stream::try_unfold(subscription, async |mut subscription| {
        let frame = subscription.next().await?;
        Ok(Some((frame, subscription)))
    }))
}

fn read_hello(request: Option<SyncRequest>) -> Result<Hello, Status> {
    let Some(SyncRequest { message: Some(sync_request::Message::Hello(hello)) }) = request else {
        return Err(Status::invalid_argument("the first message must be a hello"));
    };
    check_data_plane(&hello.data_plane)
        .map_err(|bad| Status::invalid_argument(format!("hello.data_plane: {bad}")))?;
    Ok(hello)
}

/// Where a data plane is.
#[derive(Debug)]
pub(super) enum Position {
    /// It has this state, or nothing.
    At(Option<Revision>),
    /// It is being sent a snapshot.
    Reading(SnapshotReader),
    /// It claims a state that this side does not know: nothing fits onto it but a newer snapshot.
    Ahead(Revision),
}

impl Position {
    pub(super) fn begin(applied: Option<Revision>, shared: &Shared, data_plane: &str) -> Self {
        let head = shared.history.lock().head();
        let Some(ahead) = applied.filter(|applied| *applied > head) else {
            return Self::At(applied);
        };
        error!(
            data_plane,
            applied = ?ahead,
            ?head,
            "a data plane has a newer revision than this control plane: commits were lost, or this replica lags. It keeps \
             what it has until the head has passed that; after a database was restored, raise the generation"
        );
        Self::Ahead(ahead)
    }

    /// Only for one that has been sent everything: it may take the head for confirmed.
    pub(super) fn heartbeat(&self, shared: &Shared) -> Option<Frame> {
        match self {
            // A replica that lagged has caught up; where it came there by another way, the digests say so.
            Self::At(Some(at)) | Self::Ahead(at) => shared.history.lock().heartbeat(*at),
            Self::At(None) | Self::Reading(_) => None,
        }
    }

    /// Moves on by one frame, if there is one now.
    pub(super) fn step(&mut self, shared: &Shared) -> Option<Frame> {
        let step = match self {
            Self::At(at) => shared.history.lock().after(*at),
            Self::Ahead(ahead) => shared.history.lock().snapshot_beyond(*ahead),
            Self::Reading(_) => Step::Wait,
        };
        match step {
            Step::Wait => {}
            Step::Delta { to, frame } => {
                *self = Self::At(Some(to));
                return Some(frame);
            }
            Step::Snapshot(reader) => *self = Self::Reading(reader),
        }
        let Self::Reading(reader) = self else { return None };
        let (frame, is_last) = reader.next_chunk(shared.settings.chunk_bytes);
        if is_last {
            *self = Self::At(Some(reader.at()));
        }
        Some(frame)
    }
}

/// The frames of one data plane.
#[derive(Debug)]
struct Subscription {
    shared: Arc<Shared>,
    position: Position,
    head: watch::Receiver<Revision>,
    /// When the next heartbeat is due, if there is nothing else to send.
    beat_due: Instant,
    ending: EndOnDrop,
}

impl Subscription {
    /// The next frame, as soon as there is one.
    async fn next(&mut self) -> Result<Frame, Status> {
        let closing = self.shared.closing.ended();
        let ended = self.ending.0.ended();
        tokio::select! {
            biased;
            reason = closing => Err(reason),
            reason = ended => Err(reason),
            frame = self.frame() => Ok(frame),
        }
    }

    async fn frame(&mut self) -> Frame {
        loop {
            // Seen before the history is asked, so that no revision slips in between.
            self.head.mark_unchanged();
            if let Some(frame) = self.position.step(&self.shared) {
                return frame;
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = sleep_until(self.beat_due) => {
                    self.beat_due = Instant::now() + self.shared.settings.heartbeat_interval;
                    if let Some(frame) = self.position.heartbeat(&self.shared) {
                        return frame;
                    }
                }
            }
        }
    }
}

/// Ends the reading task with the stream that it belongs to.
#[derive(Debug)]
struct EndOnDrop(Ending);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(Status::cancelled("the stream is gone"));
    }
}

/// Reads the acks of one connection.
#[derive(Debug)]
struct Inbox {
    shared: Arc<Shared>,
    data_plane: String,
    connection: ConnectionId,
    ending: Ending,
}

impl Inbox {
    async fn read(self, mut requests: Streaming<SyncRequest>) {
        let reason = tokio::select! {
            reason = self.ending.ended() => reason,
            reason = self.take_acks(&mut requests) => reason,
        };
        info!(data_plane = self.data_plane, %reason, "subscription ended");
        self.shared.roster.leave(&self.data_plane, self.connection);
        self.ending.end(reason);
    }

    async fn take_acks(&self, requests: &mut Streaming<SyncRequest>) -> Status {
        loop {
            let taken = match requests.message().await {
                Ok(Some(SyncRequest { message: Some(sync_request::Message::Ack(ack)) })) => {
                    self.take(ack)
                }
                Ok(Some(_)) => Err(Status::invalid_argument("after the hello only acks may come")),
                Ok(None) => Err(Status::cancelled("the data plane has left")),
                Err(status) => Err(status),
            };
            if let Err(reason) = taken {
                return reason;
            }
        }
    }

    fn take(&self, ack: Ack) -> Result<(), Status> {
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
