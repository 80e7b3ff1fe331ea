//! One connection that is kept: sends the request, reads the answer, knows its framing and nothing of its content.

use super::events::EventCounter;
use super::{Call, Window};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const HEADERS_MAX: usize = 64;
const PACED_READ: u64 = 16 << 10;

/// Why there is no answer, or none that counts.
#[derive(Debug, Error)]
pub(super) enum Failed {
    #[error("connect: {0}")]
    Connect(io::ErrorKind),
    #[error("write: {0}")]
    Write(io::ErrorKind),
    #[error("read: {0}")]
    Read(io::ErrorKind),
    #[error("closed")]
    Closed,
    #[error("head: {0}")]
    Head(#[from] httparse::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("stream without [DONE]")]
    Cut,
    #[error("empty body")]
    Empty,
    #[error("timeout")]
    Timeout,
    #[error("over --connections")]
    TooMany,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) first_byte: Instant,
    pub(super) body: EventCounter,
    pub(super) bytes: u64,
    pub(super) keeps_alive: bool,
}

#[derive(Clone, Copy)]
enum Framing {
    Chunked,
    Length(usize),
    UntilClosed,
}

struct Head {
    status: u16,
    framing: Framing,
    keeps_alive: bool,
    first_byte: Instant,
}

/// A connection with what was read and not yet used.
#[derive(Debug)]
pub(super) struct Connection {
    tcp: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    received: usize,
    read_rate: Option<u64>,
}

impl Connection {
    pub(super) async fn open(call: &Call) -> Result<Self, Failed> {
        let tcp = TcpStream::connect(&call.address).await;
        let tcp = tcp.map_err(|error| Failed::Connect(error.kind()))?;
        tcp.set_nodelay(true).map_err(|error| Failed::Connect(error.kind()))?;
        let buffer = Vec::with_capacity(16 << 10);
        Ok(Self { tcp, buffer, start: 0, received: 0, read_rate: call.read_rate })
    }

    /// Bytes that ever came; they tell whether an exchange that failed had begun.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    pub(super) async fn exchange(&mut self, call: &Call, window: Window) -> Result<Answer, Failed> {
        let sent = self.tcp.write_all(&call.request).await;
        sent.map_err(|error| Failed::Write(error.kind()))?;
        let head = self.head().await?;
        let is_stream = call.streams && head.status == 200;
        let mut answer = Answer {
            first_byte: head.first_byte,
            body: EventCounter::new(is_stream, window),
            bytes: 0,
            keeps_alive: head.keeps_alive,
        };
        match head.framing {
            Framing::Chunked => self.chunks(&mut answer).await?,
            Framing::Length(length) => self.exactly(length, &mut answer).await?,
            Framing::UntilClosed => self.rest(&mut answer).await?,
        }
        match head.status {
            200 if is_stream && !answer.body.is_done => Err(Failed::Cut),
            200 if answer.bytes == 0 => Err(Failed::Empty),
            200 => Ok(answer),
            status => Err(Failed::Status(status)),
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    async fn fill(&mut self) -> Result<(), Failed> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = match self.read_rate {
            None => self.tcp.read_buf(&mut self.buffer).await,
            Some(rate) => {
                let read = (&mut self.tcp).take(PACED_READ).read_buf(&mut self.buffer).await;
                let bytes = read.as_ref().copied().unwrap_or(0);
                sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
                read
            }
        };
        match read {
            Ok(0) => Err(Failed::Closed),
            Ok(bytes) => {
                self.received += bytes;
                Ok(())
            }
            Err(error) => Err(Failed::Read(error.kind())),
        }
    }

    async fn head(&mut self) -> Result<Head, Failed> {
        let mut first_byte = None;
        loop {
            if !self.unread().is_empty() {
                let first_byte = *first_byte.get_or_insert_with(Instant::now);
                if let Some((length, head)) = parse(self.unread(), first_byte)? {
                    self.start += length;
                    return Ok(head);
                }
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self, answer: &mut Answer) -> Result<(), Failed> {
        loop {
            let size = self.chunk_size().await?;
            self.exactly(size, answer).await?;
            // The line's end after the data, or the empty trailer after the last chunk.
            while self.unread().len() < 2 {
                self.fill().await?;
            }
            self.start += 2;
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<usize, Failed> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.unread()) {
                let line = self.unread().get(..end).unwrap_or_default();
                let digits = line.iter().map_while(|byte| char::from(*byte).to_digit(16));
                let size = digits.fold(0_usize, |size, digit| {
                    size.saturating_mul(16).saturating_add(usize::try_from(digit).unwrap_or(0))
                });
                self.start += end + 1;
                return Ok(size);
            }
            self.fill().await?;
        }
    }

    async fn exactly(&mut self, length: usize, answer: &mut Answer) -> Result<(), Failed> {
        let mut left = length;
        while left > 0 {
            if self.unread().is_empty() {
                self.fill().await?;
            }
            left -= self.take(left, answer);
        }
        Ok(())
    }

    async fn rest(&mut self, answer: &mut Answer) -> Result<(), Failed> {
        answer.keeps_alive = false;
        loop {
            self.take(usize::MAX, answer);
            match self.fill().await {
                Ok(()) => {}
                Err(Failed::Closed) => return Ok(()),
                Err(failed) => return Err(failed),
            }
        }
    }

    fn take(&mut self, most: usize, answer: &mut Answer) -> usize {
        let piece = self.unread();
        let piece = piece.get(..most.min(piece.len())).unwrap_or_default();
        let length = piece.len();
        answer.body.feed(piece);
        answer.bytes += u64::try_from(length).unwrap_or(0);
        self.start += length;
        length
    }
}

/// The head and its length, once it is whole.
fn parse(bytes: &[u8], first_byte: Instant) -> Result<Option<(usize, Head)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let mut head = Head { status, framing: Framing::UntilClosed, keeps_alive: true, first_byte };
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).unwrap_or_default();
            head.framing = Framing::Length(text.trim().parse().unwrap_or(0));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keeps_alive = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some((length, head)))
}
