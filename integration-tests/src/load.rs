//! Clients of several data planes that ask until it is over, one request after the other, each half its time for streams; and what
//! became of each request.

use crate::client::say;
use crate::http::End;
use crate::patience::eventually;
use crate::wanderer::Wanderer;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// A whole answer takes so many tokens and milliseconds for each, and a stream so many.
const WHOLE: (u64, u64) = (3, 10);
const STREAM: (u64, u64) = (10, 20);

/// What clients were told, request by request.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The ids of requests whose whole answers came.
    pub served: Vec<String>,
    /// How others ended in the middle: with a closed connection, or an error as the last event of a stream.
    pub cut: Vec<String>,
    /// Other answers than 200, but for those that said to try elsewhere.
    pub refused: Vec<String>,
    /// What was said by those that said to try elsewhere.
    pub sent_away: Vec<String>,
}

/// Clients at work.
pub struct Load {
    is_over: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many clients of one key, dealt out to the data planes.
    #[must_use]
    pub fn start(addresses: &[String], key: &str, count: usize) -> Self {
        let (is_over, told) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Told>>::default());
        let mut clients = JoinSet::new();
        for at in 0..count {
            let client = Wanderer::new(addresses, at, key);
            clients.spawn(insist(client, is_over.clone(), told.clone()));
        }
        Self { is_over, told, clients }
    }

    /// Waits until so many more are served.
    pub async fn serves(&mut self, more: usize) {
        let before = self.told.lock().served.len();
        eventually("requests are served", async || {
            if let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            (self.told.lock().served.len() >= before + more).then_some(())
        })
        .await;
    }

    /// Lets each end the request that it is at; returns what became of all.
    pub async fn end(mut self) -> Told {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.told.lock().clone()
    }
}

async fn insist(mut client: Wanderer, is_over: Arc<AtomicBool>, told: Arc<Mutex<Told>>) {
    let (whole, stream) = (body(WHOLE, false), body(STREAM, true));
    while !is_over.load(Ordering::Relaxed) {
        match client.whole(&whole).await {
            Ok(reply) if reply.status == 200 => {
                told.lock().served.push(reply.request_id().to_owned());
            }
            Ok(reply) => told.lock().refused.push(reply.text().to_owned()),
            Err(end) => told.lock().cut.push(format!("{end:?}")),
        }
        match client.stream(&stream).await {
            Ok((id, events, End::Whole)) if events.last().is_some_and(|last| last.is_done()) => {
                told.lock().served.push(id);
            }
            Ok((id, events, end)) => told.lock().cut.push(format!("{id}: {end:?}, {events:?}")),
            Err(reply) => told.lock().refused.push(reply.text().to_owned()),
        }
        told.lock().sent_away.append(&mut client.refusals);
    }
}

fn body((tokens, pace_ms): (u64, u64), is_stream: bool) -> String {
    let mut body = say(tokens);
    body["x_simulator"]["pace_ms"] = pace_ms.into();
    body["stream"] = Value::Bool(is_stream);
    body.to_string()
}
