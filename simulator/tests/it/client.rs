//! A raw HTTP/1.1 client that shows what libraries hide: chunk boundaries and how a connection
//! ended. It also reads the simulator's log.

use std::{io::ErrorKind, net::SocketAddr};

use serde_json::{Value, json};
use simulator::{Simulator, SimulatorConfig};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As HTTP says.
    Whole,
    /// The connection closed inside it.
    Closed,
    Reset,
}

/// An answer whose head has been read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    /// What is left of a body of declared length.
    remaining: Option<usize>,
}

/// A simulator on a free port.
pub(crate) async fn start() -> Simulator {
    start_with(None).await
}

pub(crate) async fn start_with(log: Option<std::path::PathBuf>) -> Simulator {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Simulator::start(SimulatorConfig { listen, log }).await.unwrap()
}

/// A chat request with a script.
pub(crate) fn chat(stream: bool, script: Value) -> Value {
    json!({
        "model": "sim-chat",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "x_simulator": script,
    })
}

/// Sends a request and leaves the answer in the socket.
pub(crate) async fn send(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: simulator\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    BufReader::new(stream)
}

pub(crate) async fn post(simulator: &Simulator, path: &str, body: &Value) -> Answer {
    post_with(simulator, path, "", body).await
}

pub(crate) async fn post_with(
    simulator: &Simulator,
    path: &str,
    headers: &str,
    body: &Value,
) -> Answer {
    let body = body.to_string();
    Answer::read(send(simulator, "POST", path, headers, body.as_bytes()).await).await.unwrap()
}

pub(crate) async fn get(simulator: &Simulator, path: &str) -> Value {
    let answer = Answer::read(send(simulator, "GET", path, "", b"").await).await.unwrap();
    assert_eq!(answer.status, 200, "{path}");
    answer.json().await
}

/// The entry that ends an attempt, awaited.
pub(crate) async fn ended(simulator: &Simulator, attempt: u64) -> Value {
    let mut after = 0;
    for _ in 0..100 {
        let entries = get(simulator, &format!("/_log?after={after}&wait_ms=10000")).await;
        for entry in entries.as_array().unwrap() {
            after = entry["n"].as_u64().unwrap();
            if entry["event"] == "end" && entry["attempt"] == attempt {
                return entry.clone();
            }
        }
    }
    panic!("attempt {attempt} never ended");
}

impl Answer {
    /// Reads the head; the end of the connection if there is none.
    pub(crate) async fn read(mut reader: BufReader<TcpStream>) -> Result<Self, End> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line).await {
                Ok(0) => return Err(End::Closed),
                Ok(_) if line == "\r\n" => break,
                Ok(_) => lines.push(line.trim_end().to_owned()),
                Err(error) => return Err(broken(&error)),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, reader, remaining: None };
        answer.remaining = answer.header("content-length").map(|length| length.parse().unwrap());
        Ok(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The next chunk as it was framed; of a body of declared length, what there is at once.
    pub(crate) async fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let read = match self.remaining {
            Some(0) => return Err(End::Whole),
            Some(remaining) => self.read_some(remaining).await,
            None => self.read_framed().await,
        };
        match read {
            Ok(chunk) if chunk.is_empty() => Err(End::Whole),
            Ok(chunk) => Ok(chunk),
            Err(error) => Err(broken(&error)),
        }
    }

    /// All that is left of the body, and how it ended.
    pub(crate) async fn rest(mut self) -> (Vec<Vec<u8>>, End) {
        let mut chunks = Vec::new();
        loop {
            match self.chunk().await {
                Ok(chunk) => chunks.push(chunk),
                Err(end) => return (chunks, end),
            }
        }
    }

    pub(crate) async fn json(self) -> Value {
        let (chunks, end) = self.rest().await;
        assert_eq!(end, End::Whole);
        serde_json::from_slice(&chunks.concat()).unwrap()
    }

    /// The payloads of a stream, one per chunk of the wire, and how it ended.
    pub(crate) async fn events(self) -> (Vec<String>, End) {
        assert_eq!(self.header("content-type"), Some("text/event-stream"));
        let (chunks, end) = self.rest().await;
        let payload = |chunk: Vec<u8>| {
            let text = String::from_utf8(chunk).unwrap();
            let payload = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n"));
            payload.unwrap_or_else(|| panic!("not one event: {text:?}")).to_owned()
        };
        (chunks.into_iter().map(payload).collect(), end)
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(mut self) -> bool {
        while self.chunk().await.is_ok() {}
        self.reader.read_to_end(&mut Vec::new()).await.is_ok_and(|read| read == 0)
    }

    async fn read_some(&mut self, remaining: usize) -> std::io::Result<Vec<u8>> {
        let mut chunk = vec![0; remaining];
        let read = self.reader.read(&mut chunk).await?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        self.remaining = Some(remaining - read);
        Ok(chunk)
    }

    async fn read_framed(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk).await?;
        chunk.truncate(length);
        if length == 0 {
            self.remaining = Some(0);
        }
        Ok(chunk)
    }
}

fn broken(error: &std::io::Error) -> End {
    match error.kind() {
        ErrorKind::UnexpectedEof => End::Closed,
        ErrorKind::ConnectionReset => End::Reset,
        _ => panic!("{error}"),
    }
}
