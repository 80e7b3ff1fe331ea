//! Signs of life, in both directions: whoever says nothing for too long is taken for gone.

use crate::carrier::{Carrier, Running, Site, impatient, soon};
use crate::feed::{self, hello_message, published};
use crate::fleet::{for_wire, wire};
use crate::objects::rev;
use crate::over_every_carrier;
use crate::raw;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use links::feed::{FeedSubscriber, PublisherSettings, SubscriberSettings, WireSettings};
use prost::Message;
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::feed_service_server::{FeedService, FeedServiceServer};
use proto::feed::v1::{
    Beat, Heartbeat, Hello, SyncRequest, SyncResponse, sync_request, sync_response,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};
use tokio_stream::wrappers::IntervalStream;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};

over_every_carrier! {
    a_data_plane_that_says_nothing_is_taken_for_gone_unless_it_never_could,
    beats_keep_a_data_plane_that_has_nothing_to_say,
    who_has_yet_to_be_sent_something_is_told_that_somebody_is_there,
    a_data_plane_beats_once_the_control_plane_has_told_its_time,
    a_control_plane_that_falls_silent_is_left,
}

const SYNC: &str = "/turnpike.feed.v1.FeedService/Sync";

fn wire_hello(name: &str, applied: Option<u64>) -> SyncRequest {
    let applied = applied.map(|at| rev(at).into());
    let hello = Hello {
        data_plane: name.into(),
        cell: "sg".into(),
        applied,
        newest_proto: 1,
        ..Hello::default()
    };
    SyncRequest { message: Some(sync_request::Message::Hello(hello)) }
}

fn bytes(message: &SyncRequest) -> Bytes {
    message.encode_to_vec().into()
}

fn impatient_publisher(silence: Duration) -> PublisherSettings {
    PublisherSettings { silence, heartbeat_interval: Duration::from_millis(5), ..for_wire() }
}

async fn a_data_plane_that_says_nothing_is_taken_for_gone_unless_it_never_could(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, impatient_publisher(Duration::from_millis(50)));
    let _running = site.serve(feed::feed(&publisher)).await;
    let ends = |name: &str, hello: SyncRequest| {
        let said = stream::iter([bytes(&hello)]).chain(stream::pending());
        raw::ends_with(site.channel_of(name), SYNC, said)
    };
    let older = tokio::spawn(ends("older", hello_message("older")));
    while publisher.data_planes().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(ends("silent", wire_hello("silent", None))).await, Code::DeadlineExceeded);
    let names: Vec<String> = publisher.data_planes().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["older"], "it was silent for longer");
    older.abort();
}

/// So many of them, and then silence.
fn beats(count: usize, every: Duration) -> impl Stream<Item = Bytes> + Send + 'static {
    let beat = SyncRequest { message: Some(sync_request::Message::Beat(Beat::default())) };
    IntervalStream::new(interval(every)).take(count).map(move |_| bytes(&beat))
}

async fn beats_keep_a_data_plane_that_has_nothing_to_say(carrier: Carrier) {
    const SILENCE: Duration = Duration::from_millis(400);
    let mut site = Site::new(carrier).await;
    let publisher = published(2, impatient_publisher(SILENCE));
    let _running = site.serve(feed::feed(&publisher)).await;
    let every = SILENCE / 8;
    let said = stream::iter([bytes(&wire_hello("dp", Some(2)))])
        .chain(beats(24, every))
        .chain(stream::pending());
    let began = Instant::now();
    assert_eq!(soon(raw::ends_with(site.channel(), SYNC, said)).await, Code::DeadlineExceeded);
    let lived = began.elapsed();
    assert!(lived >= every * 23 + SILENCE, "it was given up while it beat, after {lived:?}");
}

async fn who_has_yet_to_be_sent_something_is_told_that_somebody_is_there(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(3, impatient_publisher(Duration::from_secs(60)));
    let _running = site.serve(feed::feed(&publisher)).await;
    let requests = stream::iter([wire_hello("ahead", Some(5))]).chain(stream::pending());
    let mut client = FeedServiceClient::new(site.channel_of("ahead"));
    let mut responses = client.sync(requests).await.unwrap().into_inner();
    for _ in 0..3 {
        let response = soon(responses.message()).await.unwrap().unwrap();
        let Some(sync_response::Message::Heartbeat(heartbeat)) = response.message else {
            panic!("{response:?}")
        };
        assert_eq!((heartbeat.head, heartbeat.digests.len()), (None, 0), "it confirms nothing");
        assert!(heartbeat.now_us > 0);
    }
}

/// Sends one heartbeat on each connection and nothing more, and passes on what it is told.
struct Script {
    heartbeat: Heartbeat,
    heard: mpsc::UnboundedSender<sync_request::Message>,
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
            while let Ok(Some(SyncRequest { message: Some(message) })) = requests.message().await {
                if heard.send(message).is_err() {
                    return;
                }
            }
        });
        let message = Some(sync_response::Message::Heartbeat(self.heartbeat.clone()));
        let said = stream::iter([Ok(SyncResponse { message })]).chain(stream::pending());
        Ok(Response::new(said.boxed()))
    }
}

struct Play {
    _site: Site,
    _running: Running,
    _subscriber: FeedSubscriber,
    heard: mpsc::UnboundedReceiver<sync_request::Message>,
}

async fn play(carrier: Carrier, now_us: u64, wire: WireSettings) -> Play {
    let (sender, heard) = mpsc::unbounded_channel();
    let heartbeat = Heartbeat { head: Some(rev(4).into()), now_us, ..Heartbeat::default() };
    let script = Script { heartbeat, heard: sender };
    let mut site = Site::new(carrier).await;
    let running = site.serve(Routes::new(FeedServiceServer::new(script))).await;
    let (reconnect, wire) = (impatient(), Some(wire));
    let settings = SubscriberSettings { reconnect, wire, ..SubscriberSettings::default() };
    let hello = feed::hello("dp", Some(rev(4)));
    let subscriber = FeedSubscriber::start_with(site.channel(), hello, settings);
    Play { _site: site, _running: running, _subscriber: subscriber, heard }
}

impl Play {
    async fn hear(&mut self) -> sync_request::Message {
        soon(self.heard.recv()).await.unwrap()
    }
}

async fn a_data_plane_beats_once_the_control_plane_has_told_its_time(carrier: Carrier) {
    let quick = WireSettings { beat_interval: Duration::from_millis(2), ..wire() };
    let mut older = play(carrier, 0, quick).await;
    assert!(matches!(older.hear().await, sync_request::Message::Hello(_)));
    let mut newer = play(carrier, 1, quick).await;
    let sync_request::Message::Hello(hello) = newer.hear().await else { panic!("no hello") };
    assert_eq!((hello.newest_proto, hello.boot.len()), (1, 16));
    for _ in 0..20 {
        let beat = newer.hear().await;
        assert_eq!(beat, sync_request::Message::Beat(Beat { applied: Some(rev(4).into()) }));
    }
    assert!(older.heard.try_recv().is_err(), "one that does not listen for beats is sent none");
}

async fn a_control_plane_that_falls_silent_is_left(carrier: Carrier) {
    let hasty = WireSettings { silence: Duration::from_millis(50), ..wire() };
    let mut older = play(carrier, 0, hasty).await;
    assert!(matches!(older.hear().await, sync_request::Message::Hello(_)));
    let mut newer = play(carrier, 1, hasty).await;
    for _ in 0..3 {
        // Beats of this side do not keep a control plane that sends none.
        while !matches!(newer.hear().await, sync_request::Message::Hello(_)) {}
    }
    assert!(older.heard.try_recv().is_err(), "an older one may have nothing to say for long");
}
