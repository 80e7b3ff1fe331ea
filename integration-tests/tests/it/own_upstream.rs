//! Upstreams of our own, byte for byte and in TLS: for what the simulator, which speaks plain HTTP, cannot do.

use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it reports, and so what its answers cost.
pub(crate) const PROMPT: i64 = 8;
pub(crate) const SAID: i64 = 2;

/// Documents that put one upstream at an address.
pub(crate) fn upstream(name: &str, url: &str) -> String {
    format!(
        "---\nkind: Upstream\nname: {name}\nspec: {{vendor: simulator, dialect: openai, base_url: '{url}', \
         credential: secret-of-{name}, jurisdiction: SG, stops_on_abort: true}}\n"
    )
}

/// Accepts connections for ever, each in a task of its own.
pub(crate) async fn listen<F>(
    at: &str,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// The next request on a connection, whole; `None` once there is no other.
pub(crate) async fn request<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let (_, length) = head.split_once("content-length: ")?;
    let mut body = vec![0; length.split("\r\n").next()?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// A short answer that leaves the connection open.
pub(crate) async fn answer<S: AsyncWrite + Unpin>(stream: &mut S) {
    let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi you"}});
    let usage =
        json!({"prompt_tokens": PROMPT, "completion_tokens": SAID, "total_tokens": PROMPT + SAID});
    let body = json!({"id": "chatcmpl-own", "object": "chat.completion", "created": 1, "model": "own", "choices": [choice], "usage": usage});
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // Whoever left does not get it.
    drop(stream.write_all((head + &body).as_bytes()).await);
    drop(stream.flush().await);
}
