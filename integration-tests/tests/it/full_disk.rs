//! P2 on a full disk: new requests get 503, running ones end and are charged, nothing is lost, and all goes on by itself
//! when there is room again.

use integration_tests::{
    End, Event, EventStream, Gateway, GatewayBuilder, OrgHandle, SimulatorClient, SmallDisk,
    eventually, nano, say,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const STREAMS: usize = 5;
/// More requests than any spool of these tests has room for.
const REQUESTS_MAX: usize = 2_000;
const CREDIT: &str = "100.00 USD";
const CREDIT_NANO: i64 = 100_000_000_000;

/// A gateway, and what its customer did so far.
struct Scene {
    gateway: Gateway,
    org: OrgHandle,
    /// Streams that say their next word when they are told to.
    streams: Vec<EventStream>,
    answered: BTreeSet<String>,
}

#[tokio::test]
async fn a_full_spool_refuses_ends_what_runs_and_goes_on_when_there_is_room() {
    let disk = SmallDisk::mount(2 * 1024);
    let builder = with_small_segments()
        .env("TURNPIKE__DATA_PLANE__SPOOL__DIR", disk.path().join("spool").display());
    let mut scene = Scene::begin(builder).await;
    let ballast = disk.fill();
    let refusals = scene.ask_until_refused().await;
    assert_eq!(refusals, BTreeSet::from(["spool_unavailable".to_owned()]));

    let ended = scene.let_streams_end().await;
    // The ledger is on another disk: what ran is charged although this one is full.
    for request_id in &ended {
        scene.is_charged(request_id).await;
    }
    ballast.remove();
    scene.goes_on().await;
    scene.lost_nothing().await;
}

#[tokio::test]
async fn a_full_data_directory_refuses_ends_what_runs_and_goes_on_when_there_is_room() {
    let disk = SmallDisk::mount(24 * 1024);
    let builder = with_small_segments().data_dir(disk.path().join("data"));
    let mut scene = Scene::begin(builder).await;
    let ballast = disk.fill();
    let refusals = scene.ask_until_refused().await;
    let possible = ["budget_unavailable", "spool_unavailable"].map(str::to_owned);
    assert!(refusals.is_subset(&BTreeSet::from(possible)), "{refusals:?}");

    let ended = scene.let_streams_end().await;
    ballast.remove();
    for request_id in &ended {
        scene.is_charged(request_id).await;
    }
    scene.goes_on().await;
    scene.lost_nothing().await;
}

#[tokio::test]
async fn a_kill_on_a_full_disk_loses_nothing() {
    let disk = SmallDisk::mount(24 * 1024);
    let builder = with_small_segments().data_dir(disk.path().join("data"));
    let mut scene = Scene::begin(builder).await;
    let ballast = disk.fill();
    scene.ask_until_refused().await;

    scene.gateway.kill9().await;
    ballast.remove();
    scene.gateway.restart().await;
    let cut_off: Vec<EventStream> = scene.streams.drain(..).collect();
    for stream in cut_off {
        let request_id = stream.request_id().to_owned();
        let (_, end) = stream.rest().await;
        assert_ne!(end, End::Whole);
        let bill = scene.gateway.admin().bill(&request_id).await;
        assert_eq!(bill["outcome"], "interrupted", "{bill}");
        scene.answered.insert(request_id);
    }
    scene.goes_on().await;
    scene.lost_nothing().await;
}

/// A spool that is full after some dozens of requests.
fn with_small_segments() -> GatewayBuilder {
    Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__SPOOL__SEGMENT_BYTES", "64 KiB")
        .env("TURNPIKE__DATA_PLANE__SPOOL__CAPACITY_BYTES", "64 MiB")
        // Where no grant can be written, waiting for one is in vain.
        .env("TURNPIKE__DATA_PLANE__MONEY__WAIT_MAX", "300 ms")
}

impl Scene {
    /// Streams are running, each with its first word said.
    async fn begin(builder: GatewayBuilder) -> Self {
        let gateway = builder.start().await;
        let org = gateway.new_org("steady", CREDIT).await;
        let mut scene = Self { gateway, org, streams: Vec::new(), answered: BTreeSet::new() };
        for number in 0..STREAMS {
            let mut body = say(1);
            body["x_simulator"] = json!({"tokens": 3, "step": step_name(number)});
            let client = scene.gateway.client();
            let (key, simulator) = (scene.org.key.clone(), scene.gateway.simulator());
            let asking = tokio::spawn(async move { client.stream(&key, body).await.unwrap() });
            step(&simulator, number).await;
            let mut stream = asking.await.unwrap();
            assert_eq!(stream.status(), 200);
            assert!(stream.next().await.unwrap().words().is_some());
            scene.streams.push(stream);
        }
        scene
    }

    /// Asks until there were some refusals; returns their reasons.
    async fn ask_until_refused(&mut self) -> BTreeSet<String> {
        let mut reasons = BTreeSet::new();
        let mut refusals = 0;
        for _ in 0..REQUESTS_MAX {
            let reply = self.gateway.chat(&self.org.key, say(2)).await;
            if reply.status == 200 {
                self.answered.insert(reply.request_id().to_owned());
                continue;
            }
            assert_eq!(reply.status, 503, "{}", reply.text());
            assert!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
            reasons.insert(reply.reason());
            refusals += 1;
            if refusals == 3 {
                return reasons;
            }
        }
        panic!("{} requests were answered on a full disk", self.answered.len());
    }

    /// The running streams say the rest, whole; returns their ids.
    async fn let_streams_end(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for (number, stream) in self.streams.drain(..).enumerate() {
            let request_id = stream.request_id().to_owned();
            let (simulator, listening) = (self.gateway.simulator(), tokio::spawn(stream.rest()));
            while !step(&simulator, number).await {}
            let (events, end) = listening.await.unwrap();
            assert_eq!(end, End::Whole);
            assert!(events.last().is_some_and(Event::is_done), "{events:?}");
            self.answered.insert(request_id.clone());
            ended.push(request_id);
        }
        ended
    }

    async fn is_charged(&self, request_id: &str) {
        let bill = self.gateway.admin().bill(request_id).await;
        assert_eq!(bill["outcome"], "completed", "{bill}");
        assert!(nano(&bill["charge_nano"]) > 0, "{bill}");
    }

    /// Requests are served again, without anybody's doing.
    async fn goes_on(&mut self) {
        let reply = eventually("there is room again", async || {
            let reply = self.gateway.chat(&self.org.key, say(2)).await;
            assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
            (reply.status == 200).then_some(reply)
        });
        self.answered.insert(reply.await.request_id().to_owned());
    }

    /// The books hold exactly what was answered.
    async fn lost_nothing(&self) {
        let admin = self.gateway.admin();
        let rows = eventually("everything is in the books", async || {
            let rows = admin.usage(&self.org.name).await;
            (rows.len() >= self.answered.len()).then_some(rows)
        })
        .await;
        let ids = |entries: &[Value]| -> BTreeSet<String> {
            entries.iter().map(|entry| entry["request_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&rows), self.answered);
        assert_eq!(rows.len(), self.answered.len(), "no request has two records");
        let charges: i64 = rows.iter().map(|row| nano(&row["charge_nano"])).sum();
        assert_eq!(admin.balance(&self.org.name).await.posted, CREDIT_NANO - charges);
        assert_eq!(admin.reconciled().await, u64::try_from(rows.len()).unwrap());
    }
}

fn step_name(number: usize) -> String {
    format!("stream-{number}")
}

/// Lets a stream say its next word; returns whether it was the last.
async fn step(simulator: &SimulatorClient, number: usize) -> bool {
    let stepped = simulator.step(&step_name(number)).await;
    assert_eq!(stepped.status, 200, "{}", stepped.text());
    stepped.json()["last"] == true
}
