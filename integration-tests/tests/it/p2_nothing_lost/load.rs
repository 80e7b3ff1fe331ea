//! The load of one life of the gateway: long requests that the kill will meet, and quick ones at every stage of theirs.

use integration_tests::{Client, End, Event, load_factor, say};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

const WHOLE: usize = 45;
const STREAMS: usize = 20;
const QUICK: usize = 6;
/// Longer than any life lasts.
const FOR_EVER_MS: u64 = 120_000;
const PACE_MS: u64 = 20;

/// Clients at work.
pub(super) struct Load {
    quick: JoinSet<BTreeSet<String>>,
    long: JoinSet<()>,
    talking: Arc<AtomicUsize>,
}

impl Load {
    pub(super) fn start(client: &Client, key: &str) -> Self {
        let mut load =
            Self { quick: JoinSet::new(), long: JoinSet::new(), talking: Arc::default() };
        for _ in 0..WHOLE * load_factor() {
            load.long.spawn(whole(client.clone(), key.to_owned()));
        }
        for _ in 0..STREAMS * load_factor() {
            load.long.spawn(stream(client.clone(), key.to_owned(), load.talking.clone()));
        }
        for _ in 0..QUICK * load_factor() {
            load.quick.spawn(quick(client.clone(), key.to_owned()));
        }
        load
    }

    /// A few of each, so that the process is at every step of some request and rests in between.
    pub(super) fn light(client: &Client, key: &str) -> Self {
        let mut load =
            Self { quick: JoinSet::new(), long: JoinSet::new(), talking: Arc::default() };
        load.long.spawn(stream(client.clone(), key.to_owned(), load.talking.clone()));
        for _ in 0..2 {
            load.quick.spawn(quick(client.clone(), key.to_owned()));
            load.quick.spawn(short_streams(client.clone(), key.to_owned()));
        }
        load
    }

    /// How many streams have said something.
    pub(super) fn talking(&self) -> usize {
        self.talking.load(Ordering::Relaxed)
    }

    /// Waits until every client has noticed that the gateway is gone; returns the ids of what was answered whole.
    pub(super) async fn end(self) -> BTreeSet<String> {
        self.long.join_all().await;
        self.quick.join_all().await.into_iter().flatten().collect()
    }
}

async fn whole(client: Client, key: String) {
    let script = json!({"fault": "slow_first_token", "delay_ms": FOR_EVER_MS});
    let cut_off = client.chat(&key, with(script)).await.unwrap_err();
    assert_ne!(cut_off, End::Whole);
}

async fn stream(client: Client, key: String, talking: Arc<AtomicUsize>) {
    let script = json!({"tokens": FOR_EVER_MS / PACE_MS, "pace_ms": PACE_MS});
    // The kill may come before the head of the answer.
    let Ok(mut stream) = client.stream(&key, with(script)).await else { return };
    assert_eq!(stream.status(), 200);
    if stream.next().await.is_some() {
        talking.fetch_add(1, Ordering::Relaxed);
    }
    let (events, end) = stream.rest().await;
    assert_ne!(end, End::Whole, "half a stream looks whole: {:?}", events.last());
}

/// Asks again and again until nobody answers.
async fn quick(client: Client, key: String) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    while let Ok(reply) = client.chat(&key, say(3)).await {
        assert_eq!(reply.status, 200, "{}", reply.text());
        answered.insert(reply.request_id().to_owned());
    }
    answered
}

/// The same with streams; answered is what was heard to its end.
async fn short_streams(client: Client, key: String) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    while let Ok(stream) = client.stream(&key, with(json!({"tokens": 30, "pace_ms": 1}))).await {
        assert_eq!(stream.status(), 200);
        let request_id = stream.request_id().to_owned();
        let (events, end) = stream.rest().await;
        if !events.last().is_some_and(Event::is_done) {
            assert_ne!(end, End::Whole, "half a stream looks whole: {events:?}");
            break;
        }
        answered.insert(request_id);
    }
    answered
}

fn with(script: Value) -> Value {
    let mut body = say(1);
    body["x_simulator"] = script;
    body
}
