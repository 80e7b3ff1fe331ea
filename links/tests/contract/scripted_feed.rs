//! The data plane's end of the feed against a control plane that does what a real one never should.

use crate::carrier::{Carrier, Site, impatient};
use crate::objects::{delta, plan, rev};
use crate::over_every_carrier;
use domain::snapshot::Change;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use links::feed::{FeedHello, FeedSubscriber, FeedUpdate, SubscriberSettings};
use proto::feed::v1::feed_service_server::{FeedService, FeedServiceServer};
use proto::feed::v1::{
    self, Ack, Hello, SnapshotChunk, SyncRequest, SyncResponse, sync_request, sync_response,
};
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

over_every_carrier! {
    a_half_sent_snapshot_is_dropped_when_the_connection_breaks,
    a_delta_that_does_not_fit_is_refused_and_the_feed_goes_on_from_what_is_acked,
    an_older_snapshot_never_replaces_a_newer_one,
    a_change_that_cannot_be_read_is_told_with_the_ack,
}

/// What one connection is sent; it stays open after that if `stays`.
struct Scene {
    responses: Vec<SyncResponse>,
    stays: bool,
}

/// Plays one scene per connection, the last one again and again, and passes on what it is told.
struct Script {
    scenes: Mutex<VecDeque<Scene>>,
    heard: mpsc::UnboundedSender<SyncRequest>,
}

#[tonic::async_trait]
impl FeedService for Script {
    type SyncStream = BoxStream<'static, Result<SyncResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let mut requests = request.into_inner();
        let heard = self.heard.clone();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                if heard.send(request).is_err() {
                    return;
                }
            }
        });
        let Some(scene) = self.scenes.lock().unwrap().pop_front() else {
            return Err(Status::unavailable("the play is over"));
        };
        let responses = stream::iter(scene.responses).map(Ok);
        if scene.stays {
            return Ok(Response::new(responses.chain(stream::pending()).boxed()));
        }
        Ok(Response::new(responses.boxed()))
    }
}

struct Play {
    _site: Site,
    _running: crate::carrier::Running,
    subscriber: FeedSubscriber,
    heard: mpsc::UnboundedReceiver<SyncRequest>,
}

async fn play(carrier: Carrier, applied: Option<u64>, scenes: Vec<Scene>) -> Play {
    let (sender, heard) = mpsc::unbounded_channel();
    let script = Script { scenes: Mutex::new(scenes.into()), heard: sender };
    let mut site = Site::new(carrier).await;
    let running = site.serve(Routes::new(FeedServiceServer::new(script))).await;
    let hello = FeedHello { data_plane: "dp".into(), cell: "sg".into(), applied: applied.map(rev) };
    let settings = SubscriberSettings { reconnect: impatient(), ..SubscriberSettings::default() };
    let subscriber = FeedSubscriber::start_with(site.channel(), hello, settings);
    Play { _site: site, _running: running, subscriber, heard }
}

impl Play {
    async fn hear_hello(&mut self) -> Hello {
        match self.heard.recv().await.unwrap().message {
            Some(sync_request::Message::Hello(hello)) => hello,
            other => panic!("not a hello: {other:?}"),
        }
    }

    async fn hear_ack(&mut self) -> Ack {
        match self.heard.recv().await.unwrap().message {
            Some(sync_request::Message::Ack(ack)) => ack,
            other => panic!("not an ack: {other:?}"),
        }
    }
}

fn chunk(at: u64, changes: &[Change], last: bool) -> SyncResponse {
    let changes = changes.iter().map(v1::Change::from).collect();
    let at = Some(rev(at).into());
    let chunk = SnapshotChunk { at, changes, last, ..SnapshotChunk::default() };
    SyncResponse { message: Some(sync_response::Message::Chunk(chunk)) }
}

fn delta_message(to: u64, changes: Vec<v1::Change>) -> SyncResponse {
    let from = Some(rev(to - 1).into());
    let delta = v1::Delta { from, to: Some(rev(to).into()), changes };
    SyncResponse { message: Some(sync_response::Message::Delta(delta)) }
}

fn breaks(responses: Vec<SyncResponse>) -> Scene {
    Scene { responses, stays: false }
}

fn stays(responses: Vec<SyncResponse>) -> Scene {
    Scene { responses, stays: true }
}

async fn a_half_sent_snapshot_is_dropped_when_the_connection_breaks(carrier: Carrier) {
    let scenes = vec![
        breaks(vec![chunk(5, &[plan("a"), plan("b")], false), chunk(5, &[plan("c")], false)]),
        stays(vec![chunk(6, &[plan("d")], false), chunk(6, &[plan("e")], true)]),
    ];
    let mut play = play(carrier, None, scenes).await;
    let whole = FeedUpdate::Snapshot { at: rev(6), changes: vec![plan("d"), plan("e")] };
    assert_eq!(play.subscriber.next().await, whole);
}

async fn a_delta_that_does_not_fit_is_refused_and_the_feed_goes_on_from_what_is_acked(
    carrier: Carrier,
) {
    let scenes = vec![
        stays(vec![delta_message(5, Vec::new()), delta_message(7, Vec::new())]),
        stays(vec![delta_message(5, Vec::new()), delta_message(6, Vec::new())]),
    ];
    let mut play = play(carrier, Some(4), scenes).await;
    assert_eq!(play.hear_hello().await.applied, Some(rev(4).into()));
    assert_eq!(play.subscriber.next().await, FeedUpdate::Delta(delta(5, Vec::new())));
    // Nothing was acked, so the feed starts again at 4; what was handed out is not handed out twice.
    assert_eq!(play.hear_hello().await.applied, Some(rev(4).into()));
    assert_eq!(play.subscriber.next().await, FeedUpdate::Delta(delta(6, Vec::new())));
}

async fn an_older_snapshot_never_replaces_a_newer_one(carrier: Carrier) {
    let scenes = vec![
        stays(vec![chunk(3, &[plan("old")], true)]),
        stays(vec![delta_message(6, Vec::new())]),
    ];
    let mut play = play(carrier, Some(5), scenes).await;
    assert_eq!(play.subscriber.next().await, FeedUpdate::Delta(delta(6, Vec::new())));
}

async fn a_change_that_cannot_be_read_is_told_with_the_ack(carrier: Carrier) {
    let nowhere = v1::Entity { name: "acme".into(), ..v1::Entity::default() };
    let bad = v1::Change { change: Some(v1::change::Change::Entity(nowhere)) };
    let good = v1::Change::from(&plan("a"));
    let scenes = vec![stays(vec![delta_message(6, vec![bad, good])])];
    let mut play = play(carrier, Some(5), scenes).await;
    play.hear_hello().await;
    assert_eq!(play.subscriber.next().await, FeedUpdate::Delta(delta(6, vec![plan("a")])));
    play.subscriber.ack(rev(6), vec!["my own".into()]);
    let ack = play.hear_ack().await;
    assert_eq!(ack.applied, Some(rev(6).into()));
    let told: Vec<_> = ack.rejects.iter().map(|it| (it.kind.as_str(), it.name.as_str())).collect();
    assert_eq!(told, [("entity", "acme"), ("", "")]);
    assert_eq!(ack.rejects[1].reason, "my own");
}
