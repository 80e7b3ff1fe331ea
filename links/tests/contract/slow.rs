//! Data planes that do not read: what a control plane keeps for them does not grow with what there is to be read. It runs as a
//! process of its own here, whose memory is looked at from outside.

use crate::carrier::soon;
use crate::fleet::{for_wire, subscribe};
use crate::objects::{delta, key, rev};
use domain::snapshot::Change;
use futures::{StreamExt, stream};
use links::Ways;
use links::feed::{FeedPublisher, FeedUpdate, PublisherSettings};
use links::tcp::{self, TcpSettings};
use proto::feed::v1::feed_service_client::FeedServiceClient;
use proto::feed::v1::{Hello, SyncRequest, SyncResponse, sync_request};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const SETTINGS: &str = "SLOW_TEST_SETTINGS";
const KIB: u64 = 1 << 10;
/// 16 MB of state.
const KEYS: i64 = 4_000;
const KEY_BYTES: usize = 4_000;
/// Who reads is never so slow on a busy machine; who does not has to be waited for.
const PATIENCE: Duration = Duration::from_millis(300);
/// So that a thousand have had their turns soon.
const PLACES: usize = 64;
/// Streams that share a connection.
const STREAMS: usize = 50;

/// Run as a process of its own by the tests below; without its settings it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_plane_that_is_looked_at() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let numbers: Vec<usize> = settings.split(' ').map(|number| number.parse().unwrap()).collect();
    let [snapshots_at_once, wire_chunk_bytes] = numbers[..] else { panic!("{settings}") };
    let settings = PublisherSettings {
        snapshots_at_once,
        wire_chunk_bytes,
        snapshot_patience: PATIENCE,
        silence: Duration::from_secs(3_600),
        ..for_wire()
    };
    let keys: Vec<Change> = (1..=KEYS).map(|uid| key(uid, KEY_BYTES)).collect();
    let publisher = FeedPublisher::with_settings(rev(1), keys, settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nlistening {}", listener.local_addr().unwrap());
    let incoming = tcp::incoming(listener, TcpSettings::default());
    let server = tcp::server(TcpSettings::default()).add_service(publisher.service());
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await.unwrap() {
        for to in 2..order.parse::<u64>().unwrap() + 2 {
            publisher.publish(delta(to, vec![key(1, 4 * KEY_BYTES)])).unwrap();
        }
        println!("\npublished");
    }
}

struct ControlPlane {
    child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl ControlPlane {
    async fn start(snapshots_at_once: usize, wire_chunk_bytes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "slow::control_plane_that_is_looked_at", "--nocapture"])
            .env(SETTINGS, format!("{snapshots_at_once} {wire_chunk_bytes}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut control = Self { child, orders, said, address: String::new() };
        control.address = control.hear("listening ").await;
        control
    }

    /// What it says after these words.
    async fn hear(&mut self, words: &str) -> String {
        soon(async {
            loop {
                let line = self.said.next_line().await.unwrap().expect("it goes on");
                if let Some(rest) = line.strip_prefix(words) {
                    return rest.to_owned();
                }
            }
        })
        .await
    }

    async fn publish(&mut self, deltas: u64) {
        self.orders.write_all(format!("{deltas}\n").as_bytes()).await.unwrap();
        self.hear("published").await;
    }

    /// Bytes of memory, now or at most so far.
    fn memory(&self, of: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn channel(&self) -> Channel {
        // So that not much lies at this end.
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.initial_stream_window_size(64 << 10).connect_lazy()
    }

    /// Data planes that say who they are, and read nothing.
    async fn idle(&self, count: usize, applied: Option<u64>) -> Vec<Streaming<SyncResponse>> {
        let mut idle = Vec::new();
        let mut channel = self.channel();
        for number in 0..count {
            if number % STREAMS == 0 {
                channel = self.channel();
            }
            let hello = Hello {
                data_plane: format!("idle-{number}"),
                cell: "sg".into(),
                applied: applied.map(|at| rev(at).into()),
                newest_proto: 1,
                ..Hello::default()
            };
            let hello = SyncRequest { message: Some(sync_request::Message::Hello(hello)) };
            let requests = stream::iter([hello]).chain(stream::pending());
            let mut client = FeedServiceClient::new(channel.clone());
            idle.push(soon(client.sync(requests)).await.unwrap().into_inner());
        }
        idle
    }

    /// One that reads all, and so comes after all who came before it.
    async fn reads_all(&self) {
        let channel = self.channel();
        let ways = Ways::to("reads", vec![(self.address.clone(), channel)]).unwrap();
        let mut subscriber = subscribe(ways, "reads", None);
        assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    }

    /// By how much its memory grew at most while so many that read nothing had their turns.
    async fn grows_by(&self, data_planes: usize) -> u64 {
        self.reads_all().await;
        let before = self.memory("VmRSS");
        let _idle = self.idle(data_planes, None).await;
        self.reads_all().await;
        self.memory("VmHWM").saturating_sub(before)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_data_planes_that_read_nothing_of_a_snapshot_cost_little() {
    let defaults = PublisherSettings::default();
    let bounded = ControlPlane::start(PLACES, defaults.wire_chunk_bytes).await;
    let bounded = bounded.grows_by(1_000).await / 1_000 / KIB;
    // What it is without bounds: each of them has a place, and a large part before it.
    let unbounded = ControlPlane::start(1_000, 1 << 20).await.grows_by(100).await / 100 / KIB;
    println!("each of 1000 data planes: {bounded} KiB; without bounds: {unbounded} KiB");
    assert!(bounded < 192, "{bounded} KiB each, with a snapshot of 16 MB");
    assert!(unbounded > 1_024, "{unbounded} KiB each without bounds: this shows nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_planes_that_read_no_deltas_share_what_is_kept_for_them() {
    const DELTAS: u64 = 2_000;
    let mut control = ControlPlane::start(PLACES, 32 << 10).await;
    let before = control.memory("VmRSS");
    let _idle = control.idle(300, Some(1)).await;
    control.publish(DELTAS).await;
    control.reads_all().await;
    let grown = control.memory("VmHWM").saturating_sub(before) / KIB;
    // 32 MB of deltas, kept once; kept for each of them it would be 10 GB.
    println!("300 data planes: {grown} KiB");
    assert!(grown < 128 << 10, "{grown} KiB");
}
