//! One wallet that very many clients spend to its end over several data planes, while these die and stand still. That the money is
//! never overdrawn is seen by the poller, that the books are right by the auditor.

use crate::client::say;
use crate::cluster::{Cluster, ClusterSize, Footing, Member, Role};
use crate::ordeal::books;
use crate::patience::{PATIENCE, eventually};
use crate::poller::Poller;
use crate::wanderer::Wanderer;
use rustix::process::Signal;
use servers::Postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SIZE: ClusterSize = ClusterSize { control_planes: 2, billing: 2, data_planes: 3 };
const TOKENS: u64 = 100;
/// What such an answer costs an org of `global`, but for its input, which costs the less.
const OUTPUT_NANO: i64 = 100 * 1_800;
/// How long it takes: long enough that some run on whatever dies.
const PACE_MS: u64 = 10;
/// What a client waits before it asks again for money that others hold, or that its data plane cannot ask for right now.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a data plane stands still, or is dead.
const AWAY: Duration = Duration::from_secs(2);

const SETTINGS: [(&str, &str); 2] = [
    // What nobody uses comes back soon, and how long a busy machine takes for a grant decides nothing.
    ("DATA_PLANE__MONEY__IDLE_RELEASE_AFTER", "1 s"),
    ("DATA_PLANE__MONEY__WAIT_MAX", "20 s"),
];

/// What was spent.
#[derive(Clone, Copy, Debug)]
pub struct Spree {
    /// What was paid in, in nano-units.
    pub credit: i64,
    /// What is left of it.
    pub left: i64,
    /// Answers that clients got, as long as they wanted them.
    pub served: usize,
    /// How often somebody looked at all accounts.
    pub looks: u64,
}

impl Spree {
    /// So many clients of a wallet worth so many requests, each until it is told that nothing is left. Panics if the money was ever
    /// overdrawn, or the books are not right.
    pub async fn of(clients: usize, worth: u32) -> Self {
        let database = Postgres::shared().database();
        let mut cluster = Cluster::start_on(Footing::Together, SIZE, &database, &SETTINGS).await;
        let credit = OUTPUT_NANO * i64::from(worth);
        let org = cluster.new_org("spender", &format!("0.{credit:09} USD")).await;
        let poller = Poller::start(&database);
        let served = Arc::new(AtomicUsize::new(0));
        let mut spending = JoinSet::new();
        for at in 0..clients {
            let client = Wanderer::new(&cluster.data_planes(), at, &org.key);
            spending.spawn(spend(client, served.clone()));
        }
        take_away(&mut cluster, &served).await;
        timeout(PATIENCE * 2, spending.join_all())
            .await
            .expect("some never hear that all is spent");

        let left = eventually("nothing is held any more", async || {
            let balance = cluster.admin().balance(&org.name).await;
            (balance.held == 0).then_some(balance.posted)
        })
        .await;
        let looks = poller.end().await;
        let (books, attempts) = books(&cluster, &database).await;
        books.audit(&attempts);
        cluster.admin().reconciled_with(u64::try_from(books.records()).unwrap()).await;
        Self { credit, left, served: served.load(Ordering::Relaxed), looks }
    }
}

/// One is killed while another one stands still, then the third one is killed, too.
async fn take_away(cluster: &mut Cluster, served: &AtomicUsize) {
    let [first, second, third] = [0, 1, 2].map(|number| Member(Role::DataPlane, number));
    has_served(served, 1).await;
    cluster.signal(second, Signal::STOP);
    cluster.kill(first).await;
    sleep(AWAY).await;
    cluster.start_member(first).await;
    cluster.signal(second, Signal::CONT);
    has_served(served, 20).await;
    cluster.kill(third).await;
    sleep(AWAY).await;
    cluster.start_member(third).await;
}

async fn has_served(served: &AtomicUsize, count: usize) {
    eventually("requests are served", async || {
        (served.load(Ordering::Relaxed) >= count).then_some(())
    })
    .await;
}

/// Asks until nothing is left.
async fn spend(mut client: Wanderer, served: Arc<AtomicUsize>) {
    let mut body = say(TOKENS);
    body["x_simulator"]["pace_ms"] = PACE_MS.into();
    let body = body.to_string();
    loop {
        let Ok(reply) = client.whole(&body).await else { continue };
        match reply.status {
            // What is left at the end makes answers that are shorter.
            200 if reply.header("x-turnpike-limited-by").is_some() => {}
            200 => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            402 if reply.reason() == "insufficient_balance" => return,
            402 => sleep(PAUSE).await,
            503 if reply.reason() == "budget_unavailable" => sleep(PAUSE).await,
            _ => panic!("{}: {}", reply.status, reply.text()),
        }
    }
}
