//! `raw-proxy`: the floor. HTTP/1.1 by hand, with the least work of a gateway: one task polls both sockets, the request goes
//! out in one write, the answer's bytes go on as they were read, and buffers are borrowed only while a request runs.
//!
//! Not for real use: no limits, no time-outs, no pipelining.

mod head;

use anyhow::Context;
use bench::listen::listen;
use bench::work::{ASK_FOR_USAGE, Tokens, Wallets, Wanted};
use clap::Parser;
use head::Body;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BUFFER: usize = 4 << 10;
const BUFFER_KEPT_MAX: usize = 64 << 10;
const READ_MIN: usize = 2 << 10;

const UNAUTHORIZED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
const PAYMENT_REQUIRED: &[u8] = b"HTTP/1.1 402 Payment Required\r\ncontent-length: 0\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";

/// A reference proxy by hand.
#[derive(Parser)]
struct Options {
    /// Where it listens
    listen: SocketAddr,
    /// Where it forwards to
    upstream: SocketAddr,
}

struct Proxy {
    upstream: SocketAddr,
    idle: RefCell<Vec<TcpStream>>,
    buffers: RefCell<Vec<Vec<u8>>>,
    wallets: Wallets,
    tokens: Cell<u64>,
}

/// What came in, and what goes out.
struct Buffers {
    read: Vec<u8>,
    written: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listener = listen(options.listen).context("cannot listen")?;
    let proxy = Rc::new(Proxy {
        upstream: options.upstream,
        idle: RefCell::default(),
        buffers: RefCell::default(),
        wallets: Wallets::default(),
        tokens: Cell::new(0),
    });
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        client.set_nodelay(true)?;
        let proxy = proxy.clone();
        spawn_local(async move { drop(proxy.connection(client).await) });
    }
}

impl Proxy {
    fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= BUFFER_KEPT_MAX {
            self.buffers.borrow_mut().push(buffer);
        }
    }

    async fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        loop {
            // No buffer is held while a connection idles.
            client.readable().await?;
            let mut buffers = Buffers { read: self.buffer(), written: self.buffer() };
            let goes_on = self.request(&mut client, &mut buffers).await;
            self.give_back(buffers.read);
            self.give_back(buffers.written);
            if !goes_on? {
                return Ok(());
            }
        }
    }

    /// One request; whether another may follow.
    async fn request(&self, client: &mut TcpStream, buffers: &mut Buffers) -> io::Result<bool> {
        let Buffers { read: rx, written: tx } = buffers;
        let head = loop {
            if read(client, rx).await? == 0 {
                return Ok(false);
            }
            match head::request(rx, tx) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(_) => return refuse(client, BAD_REQUEST).await,
            }
        };
        let end = head.length + head.body;
        while rx.len() < end {
            if read(client, rx).await? == 0 {
                return Ok(false);
            }
        }
        let key = head.authorization.clone().and_then(|at| self.wallets.key(rx.get(at)?));
        let Some(key) = key else { return refuse(client, UNAUTHORIZED).await };
        let body = rx.get(head.length..end).unwrap_or_default();
        let Ok(wanted) = serde_json::from_slice::<Wanted<'_>>(body) else {
            return refuse(client, BAD_REQUEST).await;
        };
        let held = wanted.hold(body.len());
        if !self.wallets.hold(key, held) {
            return refuse(client, PAYMENT_REQUIRED).await;
        }
        std::hint::black_box(&wanted.model);
        let ask = wanted.lacks_usage();
        let (front, back) =
            if ask { (ASK_FOR_USAGE, body.get(1..).unwrap_or_default()) } else { (&[][..], body) };
        write!(tx, "content-length: {}\r\n\r\n", front.len() + back.len())?;
        tx.extend_from_slice(front);
        tx.extend_from_slice(back);
        let Some(used) = self.exchange(client, buffers).await? else { return Ok(false) };
        self.wallets.settle(key, held, &used);
        self.tokens.set(self.tokens.get() + used.count());
        Ok(true)
    }

    /// Sends the request on and its answer back; what was used, or `None` when the connection cannot go on.
    async fn exchange(
        &self,
        client: &mut TcpStream,
        buffers: &mut Buffers,
    ) -> io::Result<Option<Tokens>> {
        let Buffers { read: rx, written: tx } = buffers;
        rx.clear();
        let Some(mut upstream) = self.send(tx, rx).await else {
            client.write_all(BAD_GATEWAY).await?;
            return Ok(Some(Tokens::default()));
        };
        let (mut from, mut body) = loop {
            if let Ok(Some(head)) = head::response(rx) {
                break head;
            }
            if read(&mut upstream, rx).await? == 0 {
                return Ok(None);
            }
        };
        let mut used = Tokens::default();
        loop {
            let piece = rx.get(from..).unwrap_or_default();
            if let Some(found) = Tokens::find(piece) {
                used = found;
            }
            let is_whole = body.feed(piece);
            client.write_all(rx).await?;
            if is_whole {
                break;
            }
            rx.clear();
            from = 0;
            if read(&mut upstream, rx).await? == 0 {
                return Ok(None);
            }
        }
        self.idle.borrow_mut().push(upstream);
        Ok(Some(used))
    }

    /// Sends on a connection that was kept, or on a new one if that has died, and reads the first bytes.
    async fn send(&self, request: &[u8], rx: &mut Vec<u8>) -> Option<TcpStream> {
        let kept = self.idle.borrow_mut().pop();
        if let Some(mut kept) = kept
            && begins(&mut kept, request, rx).await
        {
            return Some(kept);
        }
        let mut fresh = TcpStream::connect(self.upstream).await.ok()?;
        fresh.set_nodelay(true).ok()?;
        begins(&mut fresh, request, rx).await.then_some(fresh)
    }
}

async fn begins(upstream: &mut TcpStream, request: &[u8], rx: &mut Vec<u8>) -> bool {
    upstream.write_all(request).await.is_ok()
        && matches!(read(upstream, rx).await, Ok(bytes) if bytes > 0)
}

async fn refuse(client: &mut TcpStream, answer: &[u8]) -> io::Result<bool> {
    client.write_all(answer).await?;
    Ok(false)
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ_MIN {
        buffer.reserve(BUFFER.max(buffer.len()));
    }
    stream.read_buf(buffer).await
}

impl Body {
    /// Whether the body is whole with the next bytes of it, which are not touched.
    fn feed(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Length(left) => {
                *left = left.saturating_sub(piece.len());
                *left == 0
            }
            Self::Chunked(chunks) => chunks.feed(piece),
        }
    }
}
