//! HTTP/1.1 by hand: shows what libraries hide, where one chunk ends and how a connection ended.

use crate::patience::PATIENCE;
use serde_json::Value;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How an answer, or the lack of one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As HTTP says.
    Whole,
    /// The connection was closed before that.
    Closed,
    /// The connection was reset before that.
    Reset,
    /// Nothing listens there, or there is no way.
    Refused,
}

/// A request, byte for byte.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Names in small letters, in order of arrival.
    pub headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in small letters, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// Without HTTP's framing.
    pub body: Vec<u8>,
}

/// An open connection on which nothing is being answered; dropping it hangs up.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    address: String,
}

/// An answer whose head has been read; dropping it hangs up.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: Head,
    connection: Connection,
    rest: Rest,
}

/// What of a body is still to come.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Length(usize),
    Chunks,
    UntilClosed,
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of these very bytes, as JSON.
    #[must_use]
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", body: body.into(), ..Self::get(path) }
            .header("content-type", "application/json")
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// With an API key.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn head(&self, host: &str) -> String {
        let Self { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if *method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head
    }
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// How it ended when there is none.
    pub async fn open(address: &str) -> Result<Self, End> {
        patiently(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Self { reader: BufReader::new(stream), address: address.to_owned() })
        })
        .await
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// How the connection ended when there was no answer.
    pub async fn ask(mut self, request: &Request) -> Result<Answer, End> {
        patiently(async {
            self.reader.write_all(request.head(&self.address).as_bytes()).await?;
            self.reader.write_all(&request.body).await?;
            let head = Head::read(&mut self.reader).await?;
            let rest = Rest::of(&head);
            Ok(Answer { head, connection: self, rest })
        })
        .await
    }
}

impl Answer {
    /// Sends a request on a connection of its own and reads the head of the answer.
    ///
    /// # Errors
    /// How the connection ended when there was no answer.
    pub async fn to(address: &str, request: &Request) -> Result<Self, End> {
        Connection::open(address).await?.ask(request).await
    }

    /// The next piece of the body: one chunk as it was framed, or what there is at once of a body of other framing.
    ///
    /// # Errors
    /// How the body ended, `End::Whole` if it ended well.
    pub async fn piece(&mut self) -> Result<Vec<u8>, End> {
        let piece = patiently(self.read_piece()).await?;
        if piece.is_empty() { Err(End::Whole) } else { Ok(piece) }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// How the body ended when it did not end well.
    pub async fn whole(self) -> Result<Reply, End> {
        Ok(self.whole_on_kept().await?.0)
    }

    /// The same, and its connection if more may be asked on it.
    ///
    /// # Errors
    /// How the body ended when it did not end well.
    pub async fn whole_on_kept(mut self) -> Result<(Reply, Option<Connection>), End> {
        let mut body = Vec::new();
        loop {
            match self.piece().await {
                Ok(piece) => body.extend(piece),
                Err(End::Whole) => break,
                Err(end) => return Err(end),
            }
        }
        let is_kept = self.head.header("connection") != Some("close");
        let Head { status, headers } = self.head;
        Ok((Reply { status, headers, body }, is_kept.then_some(self.connection)))
    }

    async fn read_piece(&mut self) -> io::Result<Vec<u8>> {
        match self.rest {
            Rest::Length(0) => Ok(Vec::new()),
            Rest::Length(left) => {
                let piece = read_some(&mut self.connection.reader, left).await?;
                if piece.is_empty() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                self.rest = Rest::Length(left - piece.len());
                Ok(piece)
            }
            Rest::UntilClosed => read_some(&mut self.connection.reader, 64 * 1024).await,
            Rest::Chunks => {
                let chunk = read_chunk(&mut self.connection.reader).await?;
                if chunk.is_empty() {
                    self.rest = Rest::Length(0);
                }
                Ok(chunk)
            }
        }
    }
}

async fn read_some(reader: &mut BufReader<TcpStream>, most: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; most.min(64 * 1024)];
    let length = reader.read(&mut piece).await?;
    piece.truncate(length);
    Ok(piece)
}

async fn read_chunk(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).await?;
    chunk.truncate(length);
    Ok(chunk)
}

impl Rest {
    fn of(head: &Head) -> Self {
        if head.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return Self::Chunks;
        }
        match head.header("content-length") {
            Some(length) => Self::Length(length.parse().unwrap()),
            None => Self::UntilClosed,
        }
    }
}

impl Head {
    async fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ if line == "\r\n" => break,
                _ => lines.push(line.trim_end().to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &String| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Ok(Self { status, headers: lines[1..].iter().map(pair).collect() })
    }

    /// The first value of a header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Our id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id").expect("every answer carries x-request-id")
    }
}

impl Reply {
    /// The first value of a header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Our id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id").expect("every answer carries x-request-id")
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// `metadata.reason` of an error; empty if it has none.
    #[must_use]
    pub fn reason(&self) -> String {
        self.json()["error"]["metadata"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Nothing that a test waits for takes longer; a hang must not look like a slow machine.
async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, End> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => End::Closed,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable => End::Refused,
            // The kernel gave the connection up: who is at the other end is cut off.
            ErrorKind::TimedOut => End::Reset,
            _ => panic!("{error}"),
        }),
        Err(_) => panic!("nothing came for {PATIENCE:?}"),
    }
}
