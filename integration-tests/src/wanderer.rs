//! A client of several data planes, which asks the next one where SDKs and proxies do: when a connection is refused or closed before
//! an answer has begun, and when it is told to try again.

use crate::events::{Event, EventStream};
use crate::http::{Answer, Connection, End, Reply, Request};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const CHAT: &str = "/v1/chat/completions";
/// More often than all data planes can be away one after the other.
const TRIES: usize = 200;
/// How long it waits for a connection, as SDKs do.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two rounds over all of them.
const PAUSE: Duration = Duration::from_millis(50);

/// One client; it keeps its connection.
#[derive(Debug)]
pub(crate) struct Wanderer {
    addresses: Vec<String>,
    at: usize,
    kept: Option<Connection>,
    key: String,
    /// What it was told when it was told to try again.
    pub(crate) refusals: Vec<String>,
}

impl Wanderer {
    /// A client that begins with the so-manieth address.
    pub(crate) fn new(addresses: &[String], at: usize, key: &str) -> Self {
        let (addresses, at) = (addresses.to_vec(), at % addresses.len());
        Self { addresses, at, kept: None, key: key.to_owned(), refusals: Vec::new() }
    }

    /// A chat request, its whole answer.
    ///
    /// # Errors
    /// How the answer ended once it had begun.
    pub(crate) async fn whole(&mut self, body: &str) -> Result<Reply, End> {
        let (reply, kept) = self.ask(body).await.whole_on_kept().await?;
        self.kept = kept;
        Ok(reply)
    }

    /// A chat request with `stream: true` in its body: its id, its events, and how they ended. What is no stream is an error.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(crate) async fn stream(&mut self, body: &str) -> Result<(String, Vec<Event>, End), Reply> {
        let stream = EventStream::of(self.ask(body).await);
        if stream.status() != 200 {
            return Err(stream.into_reply().await.unwrap());
        }
        let request_id = stream.request_id().to_owned();
        let (events, end) = stream.rest().await;
        Ok((request_id, events, end))
    }

    /// The answer of the first that gives one.
    async fn ask(&mut self, body: &str) -> Answer {
        let request = Request::post(CHAT, body).bearer(&self.key);
        for tried in 0..TRIES {
            match self.try_one(&request).await {
                Ok(answer) if may_be_tried_elsewhere(&answer) => {
                    self.refusals.push(answer.whole().await.unwrap().text().to_owned());
                }
                Ok(answer) => return answer,
                // Before it has said anything: as good as never asked.
                Err(End::Refused | End::Closed | End::Reset) => {}
                Err(End::Whole) => panic!("no answer ends like that"),
            }
            self.at = (self.at + 1) % self.addresses.len();
            if (tried + 1) % self.addresses.len() == 0 {
                sleep(PAUSE).await;
            }
        }
        panic!("asked {TRIES} times in vain: {:?}", self.refusals);
    }

    async fn try_one(&mut self, request: &Request) -> Result<Answer, End> {
        let connection = match self.kept.take() {
            Some(kept) => kept,
            None => {
                let opening = Connection::open(&self.addresses[self.at]);
                timeout(CONNECT, opening).await.unwrap_or(Err(End::Refused))?
            }
        };
        connection.ask(request).await
    }
}

fn may_be_tried_elsewhere(answer: &Answer) -> bool {
    answer.head.status == 503 && answer.head.header("x-should-retry") == Some("true")
}
