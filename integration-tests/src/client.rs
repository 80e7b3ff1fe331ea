//! A client program: base URL and key alone, each request on a connection of its own.

use crate::events::EventStream;
use crate::http::{Answer, End, Reply, Request};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A client of one listener.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
}

/// A chat request for `demo/chat`, answered by so many tokens.
#[must_use]
pub fn say(tokens: u64) -> Value {
    json!({
        "model": "demo/chat",
        "messages": [{"role": "user", "content": "hello"}],
        "x_simulator": {"tokens": tokens},
    })
}

impl Client {
    /// For a URL such as `http://127.0.0.1:8080/v1`; paths of requests are whole, so its path does not matter.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let address = address.split_once('/').map_or(address, |(address, _)| address);
        Self { address: address.to_owned() }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// How the connection ended when there was no answer.
    pub async fn open(&self, request: &Request) -> Result<Answer, End> {
        Answer::to(&self.address, request).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// How the connection ended when the answer is not whole.
    pub async fn try_send(&self, request: &Request) -> Result<Reply, End> {
        self.open(request).await?.whole().await
    }

    /// A chat request, its whole answer.
    ///
    /// # Errors
    /// How the connection ended when the answer is not whole.
    pub async fn chat(&self, key: &str, body: Value) -> Result<Reply, End> {
        self.try_send(&Request::post(CHAT, body.to_string()).bearer(key)).await
    }

    /// A chat request with `stream: true`, its answer event by event.
    ///
    /// # Errors
    /// How the connection ended when there was no answer.
    pub async fn stream(&self, key: &str, body: Value) -> Result<EventStream, End> {
        self.stream_at(CHAT, key, body).await
    }

    /// The same at any path.
    ///
    /// # Errors
    /// How the connection ended when there was no answer.
    pub async fn stream_at(
        &self,
        path: &str,
        key: &str,
        mut body: Value,
    ) -> Result<EventStream, End> {
        body["stream"] = Value::Bool(true);
        let answer = self.open(&Request::post(path, body.to_string()).bearer(key)).await?;
        Ok(EventStream::of(answer))
    }
}
