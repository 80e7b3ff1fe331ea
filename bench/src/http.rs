//! The little HTTP that the rig speaks beside the load: is it there, what do its metrics say, be configured so.

use anyhow::Context;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// All of it, head included.
    pub text: String,
}

/// `GET`.
///
/// # Errors
/// When there is no answer, or none in time.
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    send(address, "GET", path, &[], "").await
}

/// One request on a connection of its own.
///
/// # Errors
/// When there is no answer, or none in time.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
) -> anyhow::Result<Answer> {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body);
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        // Not every proxy closes a connection because it is asked to.
        while !is_whole(&bytes) && stream.read_buf(&mut bytes).await? > 0 {}
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = timeout(PATIENCE, exchange).await.context("no answer in time")??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no HTTP: {text:.100}"))?;
    Ok(Answer { status, text })
}

/// Whether all is there that the head promises. One that promises nothing ends with the connection.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| bytes.len() >= head.len() + 4 + length)
}

/// The value of a metric that has no labels.
///
/// # Errors
/// When there is no such metric.
pub async fn metric(address: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let answer = get(address, "/metrics").await?;
    let mut lines = answer.text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("/metrics has no {name}"))?;
    Ok(value.trim().parse()?)
}
