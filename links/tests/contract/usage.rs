//! The usage link: what a spool holds arrives in order, comes again until it is billed, and is forgotten then; who breaks the
//! protocol is sent away.

use crate::carrier::{Carrier, Running, Site, impatient, soon};
use crate::over_every_carrier;
use futures::{StreamExt, stream};
use links::spool::{Spool, SpoolSettings};
use links::usage::{
    ShipperSettings, UsageListener, UsageListenerSettings, UsageSource, UsageSourceError,
    ship_usage, usage_listener,
};
use proto::usage::v1::usage_service_client::UsageServiceClient;
use proto::usage::v1::{
    Admitted, ShipHello, ShipRequest, UsageBatch, UsageEnvelope, UsageEvent, ship_request,
};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};

/// A spool of a data plane that ships, and billing's end.
struct World {
    site: Site,
    spool: Spool,
    listener: UsageListener,
    running: Option<Running>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl World {
    async fn new(carrier: Carrier, settings: ShipperSettings) -> Self {
        let folder = TempDir::new().unwrap();
        let spool = Spool::open(SpoolSettings::new(folder.path()), "dp").unwrap().0;
        let mut site = Site::new(carrier).await;
        // Longer messages than may be sent are not taken, either.
        let taken = UsageListenerSettings {
            message_bytes: settings.message_bytes,
            ..UsageListenerSettings::default()
        };
        let (service, listener) = usage_listener(taken);
        let running = Some(site.serve(Routes::new(service)).await);
        let stop = CancellationToken::new();
        let settings = ShipperSettings { reconnect: impatient(), ..settings };
        let shipped =
            ship_usage(site.channel(), "dp".into(), spool.clone(), settings, stop.clone());
        tokio::spawn(shipped);
        Self { site, spool, listener, running, stop, _folder: folder }
    }

    /// The data plane that connects next.
    async fn accept(&mut self) -> UsageSource {
        let connection = self.listener.accept().await.unwrap();
        assert_eq!(connection.data_plane(), "dp");
        UsageSource::Link(Box::new(connection))
    }

    fn end(&self, request: u64, finish_reason: &str) {
        let request_id = format!("req-{request}");
        let admitted =
            Admitted { request_id: request_id.clone(), org_uid: 1, ..Admitted::default() };
        let finish_reason = finish_reason.to_owned();
        let event = UsageEvent { request_id, org_uid: 1, finish_reason, ..UsageEvent::default() };
        self.spool.admit(&admitted).unwrap().finish(event).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The next numbers that arrive, until there are so many.
async fn take(source: &mut UsageSource, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let batch = source.next_batch(3).await.unwrap().events;
        assert!(batch.len() <= 3, "no more than asked for");
        seqs.extend(batch.iter().map(|envelope| envelope.seq));
    }
    seqs
}

async fn trimmed(spool: &Spool) {
    soon(async {
        while spool.status().unbilled_events > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn what_a_spool_holds_arrives_in_order_and_is_forgotten_once_it_is_billed(carrier: Carrier) {
    let mut world = World::new(carrier, ShipperSettings::default()).await;
    (1..=10).for_each(|request| world.end(request, "stop"));
    let mut source = world.accept().await;
    assert_eq!(source.holder(), ("dp", world.spool.incarnation()));
    let batch = source.next_batch(1).await.unwrap().events;
    let partition = domain::id::Partition(batch[0].partition);
    assert_eq!(batch[0].seq, 1);
    assert_eq!(take(&mut source, 9).await, (2..=10).collect::<Vec<_>>());
    assert_eq!(world.spool.status().unbilled_events, 10, "sent is not billed");
    source.billed(&[(partition, 11)]).await.unwrap();
    trimmed(&world.spool).await;
}

async fn what_is_not_billed_comes_again_when_asked_and_on_every_connection(carrier: Carrier) {
    let mut world = World::new(carrier, ShipperSettings::default()).await;
    (1..=4).for_each(|request| world.end(request, "stop"));
    let mut source = world.accept().await;
    assert_eq!(take(&mut source, 4).await, [1, 2, 3, 4]);
    source.rewind();
    assert_eq!(take(&mut source, 4).await, [1, 2, 3, 4], "asked for again");
    drop(source);
    let mut source = world.accept().await;
    assert_eq!(take(&mut source, 4).await, [1, 2, 3, 4], "on the next connection");

    let running = world.running.take().unwrap();
    drop(source);
    let (service, listener) = usage_listener(UsageListenerSettings::default());
    world.listener = listener;
    world.site.stop(running).await;
    world.running = Some(world.site.serve(Routes::new(service)).await);
    let mut source = world.accept().await;
    assert_eq!(take(&mut source, 4).await, [1, 2, 3, 4], "from another life of billing");
}

async fn what_came_in_many_messages_is_taken_as_one_batch(carrier: Carrier) {
    let settings = ShipperSettings { batch_events: 1, ..ShipperSettings::default() };
    let mut world = World::new(carrier, settings).await;
    let mut source = world.accept().await;
    soon(async {
        // How much has come when it is asked is chance; that it is never more than one is not.
        for round in 0.. {
            (1..=20).for_each(|request| world.end(round * 20 + request, "stop"));
            let mut sizes = Vec::new();
            while sizes.iter().sum::<usize>() < 20 {
                sizes.push(source.next_batch(500).await.unwrap().events.len());
            }
            if sizes.len() < 20 {
                break;
            }
        }
    })
    .await;
}

async fn what_is_longer_than_a_message_may_be_arrives_in_parts(carrier: Carrier) {
    let settings = ShipperSettings { message_bytes: 4096, ..ShipperSettings::default() };
    let mut world = World::new(carrier, settings).await;
    let long = "x".repeat(1500);
    (1..=9).for_each(|request| world.end(request, &long));
    let mut source = world.accept().await;
    assert_eq!(take(&mut source, 9).await, (1..=9).collect::<Vec<_>>());
}

over_every_carrier! {
    what_a_spool_holds_arrives_in_order_and_is_forgotten_once_it_is_billed,
    what_is_not_billed_comes_again_when_asked_and_on_every_connection,
    what_came_in_many_messages_is_taken_as_one_batch,
    what_is_longer_than_a_message_may_be_arrives_in_parts,
}

fn hello() -> ShipRequest {
    hello_of("dp")
}

fn hello_of(data_plane: &str) -> ShipRequest {
    let hello = ShipHello { data_plane: data_plane.to_owned(), incarnation: 7 };
    ShipRequest { message: Some(ship_request::Message::Hello(hello)) }
}

fn batch_of(data_plane: &str) -> ShipRequest {
    let event = UsageEnvelope { data_plane: data_plane.to_owned(), ..UsageEnvelope::default() };
    let batch = UsageBatch { events: vec![event] };
    ShipRequest { message: Some(ship_request::Message::Batch(batch)) }
}

/// What becomes of a data plane that says this and then nothing.
async fn told(messages: Vec<ShipRequest>) -> Status {
    let mut site = Site::new(Carrier::Pipe).await;
    let settings = UsageListenerSettings {
        hello_timeout: Duration::from_millis(50),
        ..UsageListenerSettings::default()
    };
    let (service, mut listener) = usage_listener(settings);
    let _running = site.serve(Routes::new(service)).await;
    let billing = tokio::spawn(async move {
        let mut source = UsageSource::Link(Box::new(listener.accept().await.unwrap()));
        let ended = source.next_batch(10).await.unwrap_err();
        assert!(matches!(ended, UsageSourceError::Closed), "{ended}");
        source
    });
    let requests = stream::iter(messages).chain(stream::pending());
    let mut client = UsageServiceClient::new(site.channel());
    let told = match client.ship(requests).await {
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    billing.abort();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_protocol_is_sent_away_with_the_reason() {
    let table = [
        (vec![], Code::DeadlineExceeded, "no hello came"),
        (vec![batch_of("dp")], Code::InvalidArgument, "the first message must be a hello"),
        (
            vec![hello_of("no\nname")],
            Code::InvalidArgument,
            "hello.data_plane: the name of a data plane has 1 to 63 of a-z, 0-9 and '-'",
        ),
        (vec![hello(), hello()], Code::InvalidArgument, "after the hello only batches may come"),
        (
            vec![hello(), batch_of("another")],
            Code::InvalidArgument,
            "a data plane ships its own events alone",
        ),
    ];
    for (messages, code, reason) in table {
        let status = soon(told(messages)).await;
        assert_eq!((status.code(), status.message()), (code, reason));
    }
}
