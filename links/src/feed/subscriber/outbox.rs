//! What a data plane says: a hello with what is acked by now, then each later ack, and beats while there is none to send.

use crate::feed::{FeedHello, SubscriberSettings};
use domain::id::Revision;
use futures::{Stream, StreamExt, stream};
use proto::feed::v1::{Ack, Beat, Hello, Reject, SyncRequest, sync_request};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// What this side speaks: beats, being sent away, tags of snapshots.
const NEWEST_PROTO: u32 = 1;

/// The newest word on what is applied; an older one that was not sent yet is not missed.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) applied: Option<Revision>,
    pub(super) rejects: Vec<Reject>,
}

/// Says who this is, on each connection anew.
pub(super) struct Outbox {
    hello: Hello,
    acks: Arc<watch::Sender<Acked>>,
    /// None where nobody needs beats.
    beat_interval: Option<Duration>,
    /// Whether the connection that is open wants them.
    beats: watch::Sender<bool>,
    /// Ends what is said on it.
    open: CancellationToken,
    /// The same of the connection before.
    before: CancellationToken,
}

impl Outbox {
    pub(super) fn new(
        hello: FeedHello,
        acks: Arc<watch::Sender<Acked>>,
        settings: &SubscriberSettings,
    ) -> Self {
        let beat_interval = settings.wire.map(|wire| wire.beat_interval);
        let over_wire = beat_interval.is_some();
        let boot = if over_wire { rand::random::<[u8; 16]>().to_vec() } else { Vec::new() };
        let hello = Hello {
            data_plane: hello.data_plane,
            cell: hello.cell,
            boot,
            newest_proto: if over_wire { NEWEST_PROTO } else { 0 },
            ..Hello::default()
        };
        let beats = watch::Sender::new(false);
        let (open, before) = (CancellationToken::new(), CancellationToken::new());
        Self { hello, acks, beat_interval, beats, open, before }
    }

    /// From now on with beats, if it is so: an older control plane would not understand them.
    pub(super) fn beat(&self, is_wanted: bool) {
        let is_news = |wanted: &mut bool| std::mem::replace(wanted, is_wanted) != is_wanted;
        self.beats.send_if_modified(is_news);
    }

    /// Says no more on the connection that is open. Without that it would go on: whoever does not read it any more has not
    /// ended it as long as there may be something to say.
    pub(super) fn close(&self) {
        self.open.cancel();
    }

    /// The same for the connection before the one that is open.
    pub(super) fn close_before(&self) {
        self.before.cancel();
    }

    /// What is said on the next connection.
    pub(super) fn open(
        &mut self,
        wants_all: bool,
    ) -> impl Stream<Item = SyncRequest> + Send + 'static + use<> {
        self.before = std::mem::take(&mut self.open);
        self.beat(false);
        let mut acks = self.acks.subscribe();
        let known = acks.borrow_and_update();
        let has_rejects = known.applied.is_some() && !known.rejects.is_empty();
        let applied = known.applied.filter(|_| !wants_all).map(Into::into);
        drop(known);
        if has_rejects {
            // A hello does not carry them, and the control plane may be another one.
            acks.mark_changed();
        }
        let hello = sync_request::Message::Hello(Hello { applied, ..self.hello.clone() });
        let (interval, last) = (self.beat_interval, Instant::now());
        let later = Later { acks, beats: self.beats.subscribe(), interval, last };
        stream::iter([hello])
            .chain(stream::unfold(later, Later::next))
            .map(|message| SyncRequest { message: Some(message) })
            .take_until(self.open.clone().cancelled_owned())
    }
}

/// What is said after the hello.
struct Later {
    acks: watch::Receiver<Acked>,
    beats: watch::Receiver<bool>,
    interval: Option<Duration>,
    /// When something was said last.
    last: Instant,
}

impl Later {
    async fn next(mut self) -> Option<(sync_request::Message, Self)> {
        let message = loop {
            tokio::select! {
                biased;
                changed = self.acks.changed() => {
                    changed.ok()?;
                    if let Some(ack) = self.ack() {
                        break sync_request::Message::Ack(ack);
                    }
                }
                () = beat_due(self.beats.clone(), self.interval, self.last) => {
                    let applied = self.acks.borrow().applied.map(Into::into);
                    break sync_request::Message::Beat(Beat { applied });
                }
            }
        };
        self.last = Instant::now();
        Some((message, self))
    }

    fn ack(&mut self) -> Option<Ack> {
        let acked = self.acks.borrow_and_update();
        let applied = Some(acked.applied?.into());
        Some(Ack { applied, rejects: acked.rejects.clone() })
    }
}

/// Never, as long as nobody wants beats.
async fn beat_due(mut beats: watch::Receiver<bool>, interval: Option<Duration>, last: Instant) {
    let wanted = beats.wait_for(|wanted| *wanted).await.is_ok();
    match interval.filter(|_| wanted) {
        Some(interval) => sleep_until(last + interval).await,
        None => std::future::pending().await,
    }
}
