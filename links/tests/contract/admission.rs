//! Few data planes are sent a snapshot at once; the others wait for their turn, and who takes nothing loses it.

use crate::carrier::{Carrier, Running, Site, soon};
use crate::feed::feed;
use crate::fleet::{for_wire, subscribe, ways};
use crate::objects::{delta, key, rev};
use crate::over_every_carrier;
use domain::snapshot::Change;
use futures::{StreamExt, stream};
use links::feed::{FeedPublisher, FeedUpdate, PublisherSettings};
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::{Hello, SyncRequest, SyncResponse, sync_request, sync_response};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

over_every_carrier! {
    a_snapshot_waits_for_the_one_before_it,
    who_leaves_gives_its_place_back,
    who_takes_nothing_loses_its_place,
    who_takes_slowly_keeps_it,
    deltas_wait_for_no_place,
}

/// Far more than all buffers between the two ends hold.
const KEYS: i64 = 3_000;
const KEY_BYTES: usize = 4_000;
const FOR_EVER: Duration = Duration::from_secs(3_600);

struct World {
    site: Site,
    publisher: FeedPublisher,
    _running: Running,
}

impl World {
    async fn new(carrier: Carrier, snapshot_patience: Duration) -> Self {
        let heartbeat_interval = Duration::from_millis(5);
        let settings = PublisherSettings {
            snapshots_at_once: 1,
            snapshot_patience,
            heartbeat_interval,
            silence: FOR_EVER,
            ..for_wire()
        };
        let keys: Vec<Change> = (1..=KEYS).map(|uid| key(uid, KEY_BYTES)).collect();
        let publisher = FeedPublisher::with_settings(rev(1), keys, settings);
        let mut site = Site::new(carrier).await;
        let running = site.serve(feed(&publisher)).await;
        Self { site, publisher, _running: running }
    }

    /// A data plane that reads when it is told to.
    async fn reader(&self, name: &str, applied: Option<u64>) -> Reader {
        let hello = Hello {
            data_plane: name.into(),
            cell: "sg".into(),
            applied: applied.map(|at| rev(at).into()),
            newest_proto: 1,
            ..Hello::default()
        };
        let hello = SyncRequest { message: Some(sync_request::Message::Hello(hello)) };
        let (open, later) = mpsc::channel(1);
        let requests = stream::iter([hello]).chain(ReceiverStream::new(later));
        // On a connection of its own, as two processes have it.
        let mut client = FeedServiceClient::new(self.site.channel_of(name));
        Reader { responses: client.sync(requests).await.unwrap().into_inner(), _open: open }
    }
}

struct Reader {
    responses: Streaming<SyncResponse>,
    /// As long as something may be said, the call is not over.
    _open: mpsc::Sender<SyncRequest>,
}

#[derive(Debug, PartialEq)]
enum Read {
    Chunk { is_last: bool },
    Beat,
    Delta,
}

impl Reader {
    async fn try_next(&mut self) -> Result<Read, Status> {
        let response = soon(self.responses.message()).await?.expect("it does not just end");
        Ok(match response.message.unwrap() {
            sync_response::Message::Chunk(chunk) => Read::Chunk { is_last: chunk.last },
            sync_response::Message::Heartbeat(_) => Read::Beat,
            sync_response::Message::Delta(_) => Read::Delta,
            sync_response::Message::Goaway(goaway) => panic!("{goaway:?}"),
        })
    }

    async fn next(&mut self) -> Read {
        self.try_next().await.unwrap()
    }

    /// To the end of its snapshot.
    async fn read_all(&mut self) {
        while self.next().await != (Read::Chunk { is_last: true }) {}
    }
}

async fn a_snapshot_waits_for_the_one_before_it(carrier: Carrier) {
    let world = World::new(carrier, FOR_EVER).await;
    let mut first = world.reader("first", None).await;
    assert_eq!(first.next().await, Read::Chunk { is_last: false });
    let mut second = world.reader("second", None).await;
    for _ in 0..10 {
        assert_eq!(second.next().await, Read::Beat, "it is told that somebody is there");
    }
    first.read_all().await;
    assert_eq!(first.next().await, Read::Beat, "the whole of it was sent");
    second.read_all().await;
}

async fn who_leaves_gives_its_place_back(carrier: Carrier) {
    let world = World::new(carrier, FOR_EVER).await;
    for number in 0..5 {
        let mut reader = world.reader(&format!("dp-{number}"), None).await;
        // A beat or two, until the one before is known to have gone.
        while reader.next().await == Read::Beat {}
    }
    let ways = ways("last", [&world.site]);
    let mut last = subscribe(ways, "last", None);
    let FeedUpdate::Snapshot { changes, .. } = soon(last.next()).await else { panic!("a delta") };
    assert_eq!(changes.len(), usize::try_from(KEYS).unwrap());
}

async fn who_takes_nothing_loses_its_place(carrier: Carrier) {
    let world = World::new(carrier, Duration::from_secs(1)).await;
    let mut stuck = world.reader("stuck", None).await;
    assert_eq!(stuck.next().await, Read::Chunk { is_last: false });
    let mut next = world.reader("next", None).await;
    next.read_all().await;
    // It finds what was on its way, and then that it is over.
    let ended = loop {
        match stuck.try_next().await {
            Ok(read) => assert_eq!(read, Read::Chunk { is_last: false }),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::ResourceExhausted, "{ended}");
    let names: Vec<String> = world.publisher.data_planes().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["next"]);
}

async fn who_takes_slowly_keeps_it(carrier: Carrier) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let world = World::new(carrier, PATIENCE).await;
    let mut slow = world.reader("slow", None).await;
    let began = tokio::time::Instant::now();
    // A little of 12 MB each time: what lies between the two ends is taken in less than its patience.
    let mut pace = tokio::time::interval(Duration::from_millis(8));
    while slow.next().await != (Read::Chunk { is_last: true }) {
        pace.tick().await;
    }
    assert!(began.elapsed() > PATIENCE * 2, "it was too quick to show anything");
}

async fn deltas_wait_for_no_place(carrier: Carrier) {
    let world = World::new(carrier, FOR_EVER).await;
    let mut reading = world.reader("reading", None).await;
    assert_eq!(reading.next().await, Read::Chunk { is_last: false });
    let mut following = world.reader("following", Some(1)).await;
    assert_eq!(following.next().await, Read::Beat);
    world.publisher.publish(delta(2, vec![key(1, 1)])).unwrap();
    while following.next().await != Read::Delta {}
    // What is read is the state of the moment in which it was begun; then comes what changed since.
    reading.read_all().await;
    assert_eq!(reading.next().await, Read::Delta);
}
