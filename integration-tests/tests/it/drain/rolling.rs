//! A rolling restart of data planes under load: clients that go to the next one when a connection is refused or closed, or they are told
//! to, notice nothing else.

use super::{NOISE, paced};
use integration_tests::{
    Answer, Connection, End, EventStream, Plane, Request, SplitGateway, eventually, load_factor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";
/// Of three data planes one at most is away.
const TRIES: usize = 12;

/// A client of several data planes that keeps its connection, and asks the next one where SDKs and proxies do.
struct Wanderer {
    addresses: Vec<String>,
    at: usize,
    kept: Option<Connection>,
    key: String,
}

impl Wanderer {
    /// The answer of the first that gives one.
    async fn ask(&mut self, request: &Request) -> Answer {
        for _ in 0..TRIES {
            match self.try_one(request).await {
                Ok(answer) if answer.head.status == 503 => {
                    assert_eq!(answer.head.header("x-should-retry"), Some("true"));
                    let refusal = answer.whole().await.unwrap();
                    assert!(refusal.text().contains("is stopping"), "{}", refusal.text());
                }
                Ok(answer) => return answer,
                // Before it has said anything: as good as never asked.
                Err(End::Refused | End::Closed | End::Reset) => {}
                Err(End::Whole) => panic!("no answer ends like that"),
            }
            self.at = (self.at + 1) % self.addresses.len();
        }
        panic!("asked {TRIES} times in vain");
    }

    async fn try_one(&mut self, request: &Request) -> Result<Answer, End> {
        let connection = match self.kept.take() {
            Some(kept) => kept,
            None => Connection::open(&self.addresses[self.at]).await?,
        };
        connection.ask(request).await
    }

    async fn whole(&mut self) {
        let request = Request::post(CHAT, paced(3, 10).to_string()).bearer(&self.key);
        let (reply, kept) = self.ask(&request).await.whole_on_kept().await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.kept = kept;
    }

    async fn stream(&mut self) {
        let mut body = paced(10, 20);
        body["stream"] = true.into();
        let request = Request::post(CHAT, body.to_string()).bearer(&self.key);
        let stream = EventStream::of(self.ask(&request).await);
        assert_eq!(stream.status(), 200);
        let (events, end) = stream.rest().await;
        assert!(end == End::Whole && events.last().unwrap().is_done(), "{end:?} {events:?}");
    }
}

/// Clients that ask until it is over, one after the other, each half its time for streams.
struct Load {
    is_over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(planes: &[Plane], key: &str, count: usize) -> Self {
        let (is_over, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut clients = JoinSet::new();
        let addresses: Vec<String> =
            planes.iter().map(|plane| plane.client().address().to_owned()).collect();
        for at in 0..count {
            let (is_over, served) = (is_over.clone(), served.clone());
            let (addresses, key) = (addresses.clone(), key.to_owned());
            let at = at % addresses.len();
            clients.spawn(async move {
                let mut client = Wanderer { addresses, at, kept: None, key };
                while !is_over.load(Ordering::Relaxed) {
                    client.whole().await;
                    served.fetch_add(1, Ordering::Relaxed);
                    client.stream().await;
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { is_over, served, clients }
    }

    /// Waits for so many more.
    async fn serves(&mut self, more: usize) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("requests are served", async || {
            if let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            (self.served.load(Ordering::Relaxed) >= before + more).then_some(())
        })
        .await;
    }

    async fn end(mut self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.served.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_rolling_restart_of_three_data_planes_loses_no_request() {
    let settings = [
        ("TURNPIKE__DATA_PLANE__DRAIN__GRACE", "300 ms"),
        ("TURNPIKE__DATA_PLANE__MONEY__WAIT_MAX", "20 s"),
    ];
    let split = SplitGateway::start(&settings).await;
    let org = split.new_org("rolling", "50.00 USD").await;
    let mut planes = ["one", "two", "three"].map(|name| split.another_plane(name));
    for plane in &mut planes {
        plane.start().await;
        plane.knows(&org.key).await;
    }
    let mut load = Load::start(&planes, &org.key, 12 * load_factor());
    for _ in 0..2 {
        for plane in &mut planes {
            load.serves(24).await;
            plane.stop().await;
            load.serves(24).await;
            plane.start().await;
        }
    }
    load.serves(24).await;
    let served = load.end().await;
    for plane in &mut planes {
        plane.stop().await;
        assert!(!plane.said().contains(NOISE), "{}", plane.said());
        // What it had not shipped when it ended, it ships now.
        plane.start().await;
    }

    // Each answer has one event, and nothing else has: what was closed or refused had never begun.
    let admin = split.admin();
    let rows = eventually("every request is billed", async || {
        let rows = admin.usage("rolling").await;
        (rows.len() >= served).then_some(rows)
    })
    .await;
    assert!(rows.iter().all(|row| row["outcome"] == "completed"), "{rows:?}");
    admin.reconciled_with(u64::try_from(served).unwrap()).await;
}
