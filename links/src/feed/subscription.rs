//! One data plane, as the control plane serves it.
//!
//! It costs a position in the history and a watch on its head. The frames are pulled by the transport, so a data plane
//! that reads slowly makes nothing wait and nothing grow; what it says is read by a task of its own (`inbox`), which sends
//! nothing.

mod inbox;
mod track;

use super::frames::{self, Frame};
use super::publisher::Shared;
use super::seat::Seat;
use super::tag::Tagging;
use crate::ending::Ending;
use crate::farewell::{self, Stay};
use crate::tls::{Claim, Peer};
use domain::id::Revision;
use domain::name::check_data_plane;
use futures::{Stream, stream};
use inbox::Inbox;
use proto::feed::v1::{Hello, SyncRequest, sync_request};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};
use tracing::info;

pub(super) use track::{Manner, Track};

/// Waits for the Hello, then answers with frames for as long as the data plane stays.
pub(super) async fn subscribe(
    shared: Arc<Shared>,
    peer: &Peer,
    mut requests: Streaming<SyncRequest>,
) -> Result<impl Stream<Item = Result<Frame, Status>> + Send + 'static, Status> {
    let stay = shared.farewell.admit()?;
    let hello = timeout(shared.settings.hello_timeout, requests.message()).await;
    let hello = read_hello(hello.map_err(|_| Status::deadline_exceeded("no hello came"))??)?;
    peer.expect(Claim { cell: Some(&hello.cell), data_plane: &hello.data_plane })?;
    let applied = hello.applied.map(Revision::from);
    let connection = shared.roster.join(&hello.data_plane, applied.unwrap_or_default());
    let Hello { data_plane, cell, zone, newest_proto, .. } = hello;
    info!(data_plane, cell, newest_proto, ?applied, "data plane subscribed");

    let (ending, seat) = (Ending::new(), Seat::new());
    let over_wire = newest_proto > 0;
    let key = shared.settings.snapshot_key.filter(|_| over_wire);
    let subscription = Subscription {
        seat: seat.clone(),
        track: Track::begin(
            &shared,
            applied,
            &data_plane,
            Manner {
                seat: seat.clone(),
                tagging: key.map(|key| Tagging { key, cell, zone }),
                over_wire,
            },
        ),
        head: shared.head.subscribe(),
        beat_due: Instant::now(),
        over_wire,
        is_sent_away: false,
        stay,
        shared: Arc::clone(&shared),
        ending: EndOnDrop(ending.clone()),
    };
    let silence = over_wire.then_some(shared.settings.silence);
    let inbox = Inbox { shared, data_plane, connection, silence, seat, ending };
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

/// The frames of one data plane.
#[derive(Debug)]
struct Subscription {
    shared: Arc<Shared>,
    track: Track,
    seat: Seat,
    head: watch::Receiver<Revision>,
    /// When the next heartbeat is due, if there is nothing else to send.
    beat_due: Instant,
    /// It is in another process, and knows of beats and of being sent away.
    over_wire: bool,
    is_sent_away: bool,
    stay: Stay,
    ending: EndOnDrop,
}

impl Subscription {
    /// The next frame, as soon as there is one.
    async fn next(&mut self) -> Result<Frame, Status> {
        let closing = self.shared.closing.ended();
        let ended = self.ending.0.ended();
        let sent_away = self.stay.sent_away();
        let may_be_sent_away = self.over_wire && !self.is_sent_away;
        tokio::select! {
            biased;
            reason = closing => Err(reason),
            reason = ended => Err(reason),
            after = sent_away, if may_be_sent_away => {
                self.is_sent_away = true;
                Ok(frames::goaway_frame(after, farewell::REASON))
            }
            frame = self.frame() => Ok(frame),
        }
    }

    async fn frame(&mut self) -> Frame {
        loop {
            // Seen before the history is asked, so that no revision slips in between.
            self.head.mark_unchanged();
            if self.track.has_been_caught_up_with() {
                // Confirmed at once, with the digest that tells whether both mean the same by it.
                self.beat_due = Instant::now();
            }
            if let Some(frame) = self.track.step() {
                return frame;
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = self.seat.given() => {}
                () = sleep_until(self.beat_due) => {
                    self.beat_due = Instant::now() + self.shared.settings.heartbeat_interval;
                    if let Some(frame) = self.track.beat() {
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
